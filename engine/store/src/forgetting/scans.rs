//! Scans that ended long ago.

use stella_domain::Timestamp;

use super::Old;
use crate::sql::Sql;
use crate::{Store, StoreError};

const OLD: Old = Old {
    table: "scan",
    id: "id",
    with: &[("scan_event", "scan"), ("scan_lease", "scan"), ("scan_pull_secrets", "scan")],
    push_over,
};

impl Store {
    /// Forgets scans that ended before `before`, with their steps, `piece` of them a transaction. Those stay that a report tells of,
    /// and those that succeeded while their image is stored. Gives how many went; thousands at most.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_scans(&self, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        self.forget_old(&OLD, before, piece).await
    }
}

/// That the scan `o` ended before `before`, and nothing refers to it.
fn push_over(sql: &mut Sql, before: Timestamp) {
    sql.push("o.status IN ('Succeeded', 'Failed', 'Cancelled') AND o.updated_at < ").push_bind(before.as_millis());
    sql.push(
        " AND NOT EXISTS (SELECT 1 FROM report r WHERE r.tenant = o.tenant AND r.scan = o.id AND r.scan <> '')
          AND (o.status <> 'Succeeded'
            OR NOT EXISTS (SELECT 1 FROM image i WHERE i.tenant = o.tenant AND i.digest = o.digest))",
    );
}
