//! What callers have spent: requests a second, scans a day, and the first answers to requests that may come twice.

use sqlx::Row as _;
use stella_domain::Timestamp;

use crate::{Store, StoreError};

/// How full a caller's bucket is, in thousandths of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketLevel {
    /// Below zero when more was spent than there was.
    pub level: i64,
    /// When that was.
    pub at: Timestamp,
}

/// What became of a request that named itself by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotent {
    /// It is the first one; its answer is to be kept.
    First,
    /// Another one is being answered now.
    Running,
    /// The same was asked before, and answered like this.
    Answered(Vec<u8>),
    /// Something else was asked by this key.
    Other,
}

impl Store {
    /// Whether other processes may use this database at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !self.is_sqlite()
    }

    /// Changes the bucket `id` as `change` says, alone among all replicas. `change` is given what was kept. A crash of the
    /// database may bring the bucket back to what it was a moment before.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn change_bucket<T>(
        &self,
        id: &str,
        change: impl FnOnce(Option<BucketLevel>) -> (BucketLevel, T) + Send,
    ) -> Result<T, StoreError> {
        let mut tx = self.begin().await?;
        if self.is_shared() {
            // It is written some times a second for each caller, and nobody is told that it is on disk.
            sqlx::query("SET LOCAL synchronous_commit TO off").execute(&mut *tx).await?;
        }
        self.be_alone(&mut tx, &["rate", id]).await?;
        let row =
            sqlx::query("SELECT level, at FROM rate_bucket WHERE id = $1").bind(id).fetch_optional(&mut *tx).await?;
        let kept = row.map(|row| BucketLevel { level: row.get(0), at: Timestamp::from_millis(row.get(1)) });
        let (new, answer) = change(kept);
        sqlx::query(
            "INSERT INTO rate_bucket (id, level, at) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET level = excluded.level, at = excluded.at",
        )
        .bind(id)
        .bind(new.level)
        .bind(new.at.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Counts one more use of the quota `id` on the day that begins at `day`, when that leaves it within `most`. Gives the uses
    /// of the day with this one; `None` when there were `most` already.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn use_quota(&self, id: &str, day: Timestamp, most: u32) -> Result<Option<u32>, StoreError> {
        if most == 0 {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO quota_use (id, day, used) VALUES ($1, $2, 1)
             ON CONFLICT (id, day) DO UPDATE SET used = quota_use.used + 1 WHERE quota_use.used < $3
             RETURNING used",
        )
        .bind(id)
        .bind(day.as_millis())
        .bind(i64::from(most))
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row.map(|row| u32::try_from(row.get::<i64, _>(0)).unwrap_or(u32::MAX)))
    }

    /// Takes one use back, of something that was not done after all.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn give_quota_back(&self, id: &str, day: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE quota_use SET used = used - 1 WHERE id = $1 AND day = $2 AND used > 0")
            .bind(id)
            .bind(day.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Uses of the quota `id` on the day that begins at `day`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn quota_used(&self, id: &str, day: Timestamp) -> Result<u32, StoreError> {
        let row = sqlx::query("SELECT used FROM quota_use WHERE id = $1 AND day = $2")
            .bind(id)
            .bind(day.as_millis())
            .fetch_optional(self.reader())
            .await?;
        Ok(row.map_or(0, |row| u32::try_from(row.get::<i64, _>(0)).unwrap_or(u32::MAX)))
    }

    /// Begins to answer the request with key `id`, whose content has the digest `request`, unless that was done before. Until
    /// `patience` the beginning keeps others away; then its process counts as dead.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn begin_idempotent(
        &self,
        id: &str,
        request: &str,
        now: Timestamp,
        patience: Timestamp,
    ) -> Result<Idempotent, StoreError> {
        let mut tx = self.begin_alone(&["idempotent", id]).await?;
        let row = sqlx::query("SELECT request, answer FROM idempotent WHERE id = $1 AND expires_at > $2")
            .bind(id)
            .bind(now.as_millis())
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(row) = row {
            let other = row.get::<&str, _>(0) != request;
            return Ok(match row.get::<Option<Vec<u8>>, _>(1) {
                _ if other => Idempotent::Other,
                Some(answer) => Idempotent::Answered(answer),
                None => Idempotent::Running,
            });
        }
        sqlx::query(
            "INSERT INTO idempotent (id, request, answer, expires_at) VALUES ($1, $2, NULL, $3)
             ON CONFLICT (id) DO UPDATE SET request = excluded.request, answer = NULL, expires_at = excluded.expires_at",
        )
        .bind(id)
        .bind(request)
        .bind(patience.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Idempotent::First)
    }

    /// Keeps the answer to the request with key `id` until `expires_at`; without an answer forgets that it was asked.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn end_idempotent(
        &self,
        id: &str,
        request: &str,
        answer: Option<&[u8]>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let query = match answer {
            Some(answer) => sqlx::query(
                "UPDATE idempotent SET answer = $3, expires_at = $4 WHERE id = $1 AND request = $2 AND answer IS NULL",
            )
            .bind(id)
            .bind(request)
            .bind(answer.to_vec())
            .bind(expires_at.as_millis()),
            None => sqlx::query("DELETE FROM idempotent WHERE id = $1 AND request = $2 AND answer IS NULL")
                .bind(id)
                .bind(request),
        };
        query.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets buckets not used since `buckets`, days before `days`, and answers that ended by `now`.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn forget_spent(&self, now: Timestamp, buckets: Timestamp, days: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (text, until) in [
            ("DELETE FROM idempotent WHERE expires_at <= $1", now),
            ("DELETE FROM rate_bucket WHERE at < $1", buckets),
            ("DELETE FROM quota_use WHERE day < $1", days),
        ] {
            sqlx::query(text).bind(until.as_millis()).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
