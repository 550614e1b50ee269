//! Reports that nobody asked for any more.

use stella_domain::Timestamp;

use super::{MOST, keys, push_keys};
use crate::sql::Sql;
use crate::{Store, StoreError};

impl Store {
    /// Forgets reports that were not asked for since `before`, `piece` of them a transaction. The last one of a stored image stays.
    /// Gives how many went; thousands at most.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_reports(&self, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        let mut sql = self.sql("SELECT r.tenant, r.id FROM report r WHERE ");
        push_over(&mut sql, before);
        sql.push(" LIMIT ").push_bind(MOST);
        let found = keys(&sql.build().fetch_all(self.reader()).await?);
        let mut all = 0;
        for reports in found.chunks(piece.max(1)) {
            let mut tx = self.begin().await?;
            let mut sql = self.sql("DELETE FROM report AS r WHERE (r.tenant, r.id) IN ");
            push_keys(&mut sql, reports);
            push_over(sql.push(" AND "), before);
            let gone = sql.build().execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            all += gone;
        }
        Ok(all)
    }
}

/// That the report `r` was not asked for since `before`, and is not the last one of a stored image.
fn push_over(sql: &mut Sql, before: Timestamp) {
    sql.push("r.asked_at < ").push_bind(before.as_millis());
    sql.push(
        " AND (EXISTS (SELECT 1 FROM report n WHERE n.tenant = r.tenant AND n.digest = r.digest
              AND (n.asked_at > r.asked_at OR (n.asked_at = r.asked_at AND n.id > r.id)))
            OR NOT EXISTS (SELECT 1 FROM image i WHERE i.tenant = r.tenant AND i.digest = r.digest))",
    );
}
