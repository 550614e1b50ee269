//! What somebody wrote about an image while it was forgotten.

use stella_domain::Timestamp;

use super::images::push_forget_findings;
use super::{MOST, keys, owner, push_keys};
use crate::codec::digest;
use crate::sql::Batch;
use crate::{Store, StoreError};

impl Store {
    /// Forgets findings of images that are not stored, and names and verdicts of such images that are older than `before`. Gives
    /// how many images and names that were.
    ///
    /// # Errors
    /// When the database does not take it; what went before stays gone.
    pub async fn forget_strays(&self, before: Timestamp, piece: usize) -> Result<u64, StoreError> {
        let findings = self.forget_stray_findings().await?;
        let names = self.forget_stray("image_alias", "name", "seen_at", before, piece).await?;
        // Of all scopes at once.
        let verdicts = self.forget_stray("verdict", "digest", "since", before, piece).await?;
        Ok(findings + names + verdicts)
    }

    async fn forget_stray_findings(&self) -> Result<u64, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT c.tenant, c.digest FROM finding_count c
             WHERE NOT EXISTS (SELECT 1 FROM image i WHERE i.tenant = c.tenant AND i.digest = c.digest) LIMIT $1",
        )
        .bind(MOST)
        .fetch_all(self.reader())
        .await?;
        let mut all = 0;
        for (tenant, image) in keys(&rows) {
            let (tenant, image) = (owner("finding", &tenant)?, digest("finding", &image)?);
            let mut tx = self.begin_alone(&["image", tenant.as_str()]).await?;
            self.be_alone(&mut tx, &["findings", tenant.as_str()]).await?;
            let stored = sqlx::query("SELECT 1 FROM image WHERE tenant = $1 AND digest = $2")
                .bind(tenant.as_str())
                .bind(image.to_string())
                .fetch_optional(&mut *tx)
                .await?;
            if stored.is_some() {
                tx.rollback().await?;
                continue;
            }
            let mut batch = Batch::on(&tx);
            push_forget_findings(&mut batch, &tenant, &image);
            batch.run(&mut tx).await?;
            tx.commit().await?;
            all += 1;
        }
        Ok(all)
    }

    /// Forgets rows of `table` that are named by tenant and `name`, are of an image that is not stored, and older than `before`.
    async fn forget_stray(
        &self,
        table: &'static str,
        name: &'static str,
        time: &'static str,
        before: Timestamp,
        piece: usize,
    ) -> Result<u64, StoreError> {
        let stray = format!(
            " AND NOT EXISTS (SELECT 1 FROM image i WHERE i.tenant = {table}.tenant AND i.digest = {table}.digest)"
        );
        let mut sql = self.sql(format!("SELECT DISTINCT tenant, {name} FROM {table} WHERE {time} < "));
        sql.push_bind(before.as_millis()).push(&stray).push(" LIMIT ").push_bind(MOST);
        let found = keys(&sql.build().fetch_all(self.reader()).await?);
        let mut all = 0;
        for rows in found.chunks(piece.max(1)) {
            let mut tx = self.begin().await?;
            let mut sql = self.sql(format!("DELETE FROM {table} WHERE (tenant, {name}) IN "));
            push_keys(&mut sql, rows);
            sql.push(format_args!(" AND {time} < ")).push_bind(before.as_millis()).push(&stray);
            all += sql.build().execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
        }
        Ok(all)
    }
}
