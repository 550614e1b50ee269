//! Blobs that nothing refers to.

use sqlx::Row as _;
use stella_domain::{Digest, Timestamp};

use super::MOST;
use crate::blobs::Blobs;
use crate::codec::digest;
use crate::{Store, StoreError};

impl Store {
    /// Notes which blobs nothing refers to, and removes those that are noted since before `before`. Gives how many went; thousands at
    /// most. Where no place for blobs is set, none goes.
    ///
    /// # Errors
    /// When the database or the place does not take it; what went before stays gone.
    pub async fn forget_blobs(&self, now: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        self.note_unused_blobs(now).await?;
        let Some(outside) = &self.outside else { return Ok(0) };
        let rows = sqlx::query("SELECT digest FROM blob WHERE unused < $1 ORDER BY digest LIMIT $2")
            .bind(before.as_millis())
            .bind(MOST)
            .fetch_all(self.reader())
            .await?;
        let mut gone = 0;
        for row in rows {
            let blob = digest("blob", row.get(0))?;
            gone += u64::from(self.forget_blob(&outside.blobs, &blob, before).await?);
        }
        Ok(gone)
    }

    async fn note_unused_blobs(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE blob SET unused = NULL
             WHERE unused IS NOT NULL AND EXISTS (SELECT 1 FROM layer_inv l WHERE l.blob = blob.digest)",
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE blob SET unused = $1
             WHERE unused IS NULL AND NOT EXISTS (SELECT 1 FROM layer_inv l WHERE l.blob = blob.digest)",
        )
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes one blob, unless somebody took its note back. The bytes go while its row is held: whoever wants to write the same
    /// waits for that, and writes them anew.
    async fn forget_blob(&self, blobs: &Blobs, blob: &Digest, before: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query(
            "DELETE FROM blob WHERE digest = $1 AND unused < $2
               AND NOT EXISTS (SELECT 1 FROM layer_inv l WHERE l.blob = blob.digest)",
        )
        .bind(blob.to_string())
        .bind(before.as_millis())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if gone > 0 {
            blobs.remove(blob).await?;
        }
        tx.commit().await?;
        Ok(gone > 0)
    }
}
