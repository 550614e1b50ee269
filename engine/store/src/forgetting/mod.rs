//! Forgetting what nobody uses any more (decision 029).
//!
//! ```text
//!   containers, reports, scans ──► image ──► layers          an arrow: keeps
//!   report ──► scan                          layer ──► blob
//! ```
//!
//! What may go is looked for beside all other work. It goes in small transactions, each of which looks again: whatever came to be
//! used in between stays.

mod blobs;
mod containers;
mod images;
mod layers;
mod reports;
mod scans;
mod steps;
mod strays;

use sqlx::Row as _;
use stella_domain::{Tenant, TenantError, Timestamp};

use crate::codec::damaged;
use crate::database::Row;
use crate::sql::Sql;
use crate::{Store, StoreError};

/// The most rows that are looked for at once; what is left over goes next time.
const MOST: i64 = 10_000;

/// The two columns that name a row.
type Key = (String, String);

/// Rows that go once they are old, unless something refers to them.
struct Old {
    table: &'static str,
    /// The column that names a row beside its tenant.
    id: &'static str,
    /// Tables whose rows go with it, and the column there that names it.
    with: &'static [(&'static str, &'static str)],
    /// Adds that the row `o` is older than the instant, and that nothing refers to it.
    push_over: fn(&mut Sql, Timestamp),
}

impl Store {
    /// Forgets rows, `piece` of them a transaction. Gives how many went; thousands at most.
    async fn forget_old(&self, old: &Old, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        let Old { table, id, with, push_over } = old;
        let mut sql = self.sql(format!("SELECT o.tenant, o.{id} FROM {table} o WHERE "));
        push_over(&mut sql, before);
        sql.push(" LIMIT ").push_bind(MOST);
        let found = keys(&sql.build().fetch_all(self.reader()).await?);
        let mut all = 0;
        for rows in found.chunks(piece.max(1)) {
            let mut tx = self.begin_alone(&[table]).await?;
            let mut sql = self.sql(format!("DELETE FROM {table} AS o WHERE (o.tenant, o.{id}) IN "));
            push_keys(&mut sql, rows);
            push_over(sql.push(" AND "), before);
            sql.push(format_args!(" RETURNING tenant, {id}"));
            let gone = keys(&sql.build().fetch_all(&mut *tx).await?);
            for (table, column) in with.iter().filter(|_| !gone.is_empty()) {
                let mut sql = self.sql(format!("DELETE FROM {table} WHERE (tenant, {column}) IN "));
                push_keys(&mut sql, &gone);
                sql.build().execute(&mut *tx).await?;
            }
            tx.commit().await?;
            all += gone.len() as u64;
        }
        Ok(all)
    }

    /// Whether this process is the one to forget what is old until `until`: on PostgreSQL one of all replicas is.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn claim_forgetting(&self, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        if !self.is_shared() {
            return Ok(true);
        }
        let mut tx = self.begin().await?;
        let claimed = sqlx::query(
            "INSERT INTO forgetting (name, until) VALUES ('all', $2)
             ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE forgetting.until <= $1",
        )
        .bind(now.as_millis())
        .bind(until.as_millis())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(claimed > 0)
    }
}

/// The tenant that a row of `what` belongs to.
fn owner(what: &'static str, tenant: &str) -> Result<Tenant, StoreError> {
    tenant.parse().map_err(|error: TenantError| damaged(what, error))
}

/// The names of rows, whose two columns come first.
fn keys(rows: &[Row]) -> Vec<Key> {
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Adds a list of rows by their names, as `(a, b) IN` takes it.
fn push_keys(sql: &mut Sql, keys: &[Key]) {
    sql.push("(");
    sql.push_values(keys, |mut row, (first, second)| {
        row.push_bind(first.as_str()).push_bind(second.as_str());
    });
    sql.push(")");
}
