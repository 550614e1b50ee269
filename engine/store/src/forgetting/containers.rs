//! Containers of images that are not stored.

use stella_domain::Timestamp;

use super::Old;
use crate::sql::Sql;
use crate::{Store, StoreError};

const OLD: Old = Old { table: "observed", id: "container", with: &[("loaded", "container")], push_over };

impl Store {
    /// Forgets containers that ended before `before` and whose image is not stored, with what they loaded, `piece` of them a
    /// transaction. What is known of stored images' use rests on the others. Gives how many went; thousands at most.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_containers(&self, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        self.forget_old(&OLD, before, piece).await
    }
}

/// That the container `o` ended before `before`, and no stored image goes by the name of its image.
fn push_over(sql: &mut Sql, before: Timestamp) {
    sql.push("o.stopped_at < ").push_bind(before.as_millis());
    sql.push(" AND NOT EXISTS (SELECT 1 FROM image_alias a WHERE a.tenant = o.tenant AND a.name = o.image)");
}
