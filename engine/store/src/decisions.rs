//! What webhooks decided: kept for a while, within bounds for each tenant, and given back as it came.

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::filing::pieces;
use crate::sql::Sql;
use crate::{Store, StoreError};

/// Decisions that are forgotten at once; the database takes new ones in between.
const PIECE: i64 = 2000;

/// The record of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    /// Whose it is.
    pub tenant: Tenant,
    /// When it was made.
    pub at: Timestamp,
    /// The record, JSON on one line.
    pub body: String,
}

impl DecisionRow {
    /// Names the record among those of the same tenant and time: the digest of its text.
    #[must_use]
    pub fn id(&self) -> String {
        Digest::of(&self.body).hex()
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionBounds {
    /// Older ones are forgotten.
    pub before: Timestamp,
    /// The most of one tenant.
    pub most: i64,
    /// The most bytes of one tenant.
    pub most_bytes: i64,
}

impl Store {
    /// Keeps records; returns how many of them were new.
    ///
    /// # Errors
    /// When the database does not take them; then none is kept.
    pub async fn keep_decisions(&self, rows: &[DecisionRow]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let mut new = 0;
        for rows in pieces(rows) {
            let mut sql = Sql::on(&tx, "INSERT INTO decision (tenant, at, id, bytes, body) ");
            sql.push_values(rows, |mut values, row| {
                let bytes = i64::try_from(row.body.len()).unwrap_or(i64::MAX);
                values
                    .push_bind(row.tenant.as_str().to_owned())
                    .push_bind(row.at.as_millis())
                    .push_bind(row.id())
                    .push_bind(bytes)
                    .push_bind(row.body.clone());
            });
            sql.push(" ON CONFLICT (tenant, at, id, bytes) DO NOTHING");
            new += sql.build().execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(new)
    }

    /// The records of a tenant, oldest first, after the one made at `after` with that id, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn decisions(
        &self,
        tenant: &Tenant,
        after: (Timestamp, &str),
        limit: i64,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        let (at, id) = after;
        let rows = sqlx::query(
            "SELECT at, body FROM decision WHERE tenant = $1 AND (at, id) > ($2, $3) ORDER BY at, id LIMIT $4",
        )
        .bind(tenant.as_str())
        .bind(at.as_millis())
        .bind(id)
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        let read = |row: &crate::database::Row| DecisionRow {
            tenant: tenant.clone(),
            at: Timestamp::from_millis(row.get(0)),
            body: row.get(1),
        };
        Ok(rows.iter().map(read).collect())
    }

    /// Forgets decisions that are out of bounds, the oldest first; returns how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_decisions(&self, bounds: &DecisionBounds) -> Result<u64, StoreError> {
        let kept = sqlx::query("SELECT tenant, COUNT(*), CAST(SUM(bytes) AS BIGINT) FROM decision GROUP BY tenant")
            .fetch_all(self.reader())
            .await?;
        let mut gone = 0;
        for row in &kept {
            let (tenant, count, bytes): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
            gone += self.forget_until(&tenant, bounds.before.as_millis(), "").await?;
            if count > bounds.most || bytes > bounds.most_bytes {
                gone += self.forget_beyond(&tenant, bounds).await?;
            }
        }
        Ok(gone)
    }

    /// Forgets the oldest that find no room beside the newer ones.
    async fn forget_beyond(&self, tenant: &str, bounds: &DecisionBounds) -> Result<u64, StoreError> {
        let last = sqlx::query(
            "SELECT at, id FROM (
               SELECT at, id, ROW_NUMBER() OVER newest AS place, SUM(bytes) OVER newest AS total
               FROM decision WHERE tenant = $1 WINDOW newest AS (ORDER BY at DESC, id DESC)) AS ranked
             WHERE place > $2 OR total > $3 ORDER BY at DESC, id DESC LIMIT 1",
        )
        .bind(tenant)
        .bind(bounds.most)
        .bind(bounds.most_bytes)
        .fetch_optional(self.reader())
        .await?;
        let Some(last) = last else { return Ok(0) };
        // The id that follows on it, so that it goes too.
        let beyond = last.get::<String, _>(1) + "~";
        self.forget_until(tenant, last.get(0), &beyond).await
    }

    /// Forgets those before the time and id, in pieces.
    async fn forget_until(&self, tenant: &str, at: i64, id: &str) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let mut tx = self.begin().await?;
            let piece = sqlx::query(
                "DELETE FROM decision WHERE tenant = $1 AND (at, id) IN (
                   SELECT at, id FROM decision WHERE tenant = $1 AND (at, id) < ($2, $3) ORDER BY at, id LIMIT $4)",
            )
            .bind(tenant)
            .bind(at)
            .bind(id)
            .bind(PIECE)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            tx.commit().await?;
            gone += piece;
            if piece < PIECE.unsigned_abs() {
                return Ok(gone);
            }
        }
    }
}
