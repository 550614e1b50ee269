//! Forgetting what nobody uses any more (decision 029).
//!
//! ```text
//!   containers, reports, scans ──► image ──► layers          an arrow: keeps
//!   report ──► scan
//! ```
//!
//! What may go is looked for beside all other work. It goes in small transactions, each of which looks again: whatever came to be
//! used in between stays.

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

impl Store {
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
