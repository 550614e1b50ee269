//! Scans that ended long ago.

use stella_domain::Timestamp;

use super::{MOST, keys, push_keys};
use crate::sql::Sql;
use crate::{Store, StoreError};

impl Store {
    /// Forgets scans that ended before `before`, with their steps, `piece` of them a transaction. Those stay that a report tells of,
    /// and those that succeeded while their image is stored. Gives how many went; thousands at most.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_scans(&self, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        let mut sql = self.sql("SELECT s.tenant, s.id FROM scan s WHERE ");
        push_over(&mut sql, before);
        sql.push(" LIMIT ").push_bind(MOST);
        let found = keys(&sql.build().fetch_all(self.reader()).await?);
        let mut all = 0;
        for scans in found.chunks(piece.max(1)) {
            let mut tx = self.begin().await?;
            let mut sql = self.sql("DELETE FROM scan AS s WHERE (s.tenant, s.id) IN ");
            push_keys(&mut sql, scans);
            push_over(sql.push(" AND "), before);
            let gone = keys(&sql.push(" RETURNING tenant, id").build().fetch_all(&mut *tx).await?);
            if !gone.is_empty() {
                for table in ["scan_event", "scan_lease", "scan_pull_secrets"] {
                    let mut sql = self.sql(format!("DELETE FROM {table} WHERE (tenant, scan) IN "));
                    push_keys(&mut sql, &gone);
                    sql.build().execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
            all += gone.len() as u64;
        }
        Ok(all)
    }
}

/// That the scan `s` ended before `before`, and nothing refers to it.
fn push_over(sql: &mut Sql, before: Timestamp) {
    sql.push("s.status IN ('Succeeded', 'Failed', 'Cancelled') AND s.updated_at < ").push_bind(before.as_millis());
    sql.push(
        " AND NOT EXISTS (SELECT 1 FROM report r WHERE r.tenant = s.tenant AND r.scan = s.id AND r.scan <> '')
          AND (s.status <> 'Succeeded'
            OR NOT EXISTS (SELECT 1 FROM image i WHERE i.tenant = s.tenant AND i.digest = s.digest))",
    );
}
