//! Reports that nobody asked for any more.

use stella_domain::Timestamp;

use super::Old;
use crate::sql::Sql;
use crate::{Store, StoreError};

const OLD: Old = Old { table: "report", id: "id", with: &[], push_over };

impl Store {
    /// Forgets reports that were not asked for since `before`, `piece` of them a transaction. The last one of a stored image stays.
    /// Gives how many went; thousands at most.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_reports(&self, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        self.forget_old(&OLD, before, piece).await
    }
}

/// That the report `o` was not asked for since `before`, and is not the last one of a stored image.
fn push_over(sql: &mut Sql, before: Timestamp) {
    sql.push("o.asked_at < ").push_bind(before.as_millis());
    sql.push(
        " AND (EXISTS (SELECT 1 FROM report n WHERE n.tenant = o.tenant AND n.digest = o.digest
              AND (n.asked_at > o.asked_at OR (n.asked_at = o.asked_at AND n.id > o.id)))
            OR NOT EXISTS (SELECT 1 FROM image i WHERE i.tenant = o.tenant AND i.digest = o.digest))",
    );
}
