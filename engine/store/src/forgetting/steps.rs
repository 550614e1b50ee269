//! Steps of scans that are done again and again.

use sqlx::Row as _;
use stella_domain::Timestamp;

use super::{Key, MOST};
use crate::{Store, StoreError};

/// Steps of a scan that stay however old they are: those of its last attempts.
const KEPT: i64 = 16;

impl Store {
    /// Forgets steps of scans that are older than `before`, but for the last sixteen of each scan, `piece` of them a transaction.
    /// Gives how many went.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_steps(&self, before: Timestamp, piece: u32) -> Result<u64, StoreError> {
        let rows = sqlx::query(
            "SELECT tenant, scan, max(sequence) - $1 FROM scan_event GROUP BY tenant, scan
             HAVING count(*) > $1 AND min(at) < $2 LIMIT $3",
        )
        .bind(KEPT)
        .bind(before.as_millis())
        .bind(MOST)
        .fetch_all(self.reader())
        .await?;
        let scans: Vec<(Key, i64)> = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        let mut all = 0;
        for (scan, last) in &scans {
            loop {
                let gone = self.forget_steps_of(scan, *last, before, piece).await?;
                all += gone;
                if gone < u64::from(piece.max(1)) {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// Forgets the oldest steps of a scan up to `last`.
    async fn forget_steps_of(&self, scan: &Key, last: i64, before: Timestamp, piece: u32) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query(
            "DELETE FROM scan_event WHERE tenant = $1 AND scan = $2 AND sequence IN (
               SELECT e.sequence FROM scan_event e WHERE e.tenant = $1 AND e.scan = $2 AND e.sequence <= $3 AND e.at < $4
               ORDER BY e.sequence LIMIT $5)",
        )
        .bind(&scan.0)
        .bind(&scan.1)
        .bind(last)
        .bind(before.as_millis())
        .bind(i64::from(piece.max(1)))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}
