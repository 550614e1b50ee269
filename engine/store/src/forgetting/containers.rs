//! Containers of images that are not stored.

use stella_domain::Timestamp;

use super::{MOST, keys, push_keys};
use crate::sql::Sql;
use crate::{Store, StoreError};

impl Store {
    /// Forgets containers that ended before `before` and whose image is not stored, with what they loaded, `piece` of them a
    /// transaction. What is known of stored images' use rests on the others. Gives how many went; thousands at most.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_containers(&self, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        let mut sql = self.sql("SELECT o.tenant, o.container FROM observed o WHERE ");
        push_over(&mut sql, before);
        sql.push(" LIMIT ").push_bind(MOST);
        let found = keys(&sql.build().fetch_all(self.reader()).await?);
        let mut all = 0;
        for containers in found.chunks(piece.max(1)) {
            let mut tx = self.begin_alone(&["observed"]).await?;
            let mut sql = self.sql("DELETE FROM observed AS o WHERE (o.tenant, o.container) IN ");
            push_keys(&mut sql, containers);
            push_over(sql.push(" AND "), before);
            let gone = keys(&sql.push(" RETURNING tenant, container").build().fetch_all(&mut *tx).await?);
            if !gone.is_empty() {
                let mut sql = self.sql("DELETE FROM loaded WHERE (tenant, container) IN ");
                push_keys(&mut sql, &gone);
                sql.build().execute(&mut *tx).await?;
            }
            tx.commit().await?;
            all += gone.len() as u64;
        }
        Ok(all)
    }
}

/// That the container `o` ended before `before`, and no stored image goes by the name of its image.
fn push_over(sql: &mut Sql, before: Timestamp) {
    sql.push("o.stopped_at < ").push_bind(before.as_millis());
    sql.push(" AND NOT EXISTS (SELECT 1 FROM image_alias a WHERE a.tenant = o.tenant AND a.name = o.image)");
}
