//! Blobs that nothing refers to.
//!
//! The request that removes one may take long, and nobody waits for it with a transaction: the row is marked as going first, and
//! goes itself afterwards. Whoever wants to write the same bytes meanwhile waits until the mark is gone.

use sqlx::Row as _;
use stella_domain::{Digest, Timestamp};

use super::MOST;
use crate::blobs::Blobs;
use crate::codec::digest;
use crate::{Store, StoreError};

/// After so many milliseconds the process that marked a blob as going has ended; others remove it then.
const GOING: i64 = 3_600_000;

impl Store {
    /// Notes which blobs nothing refers to, and removes those that are noted since before `before`. Gives how many went; thousands at
    /// most. Where no place for blobs is set, none goes; nor does any from a place that is another installation's.
    ///
    /// # Errors
    /// When the database or the place does not take it, or the place is another's; what went before stays gone.
    pub async fn forget_blobs(&self, now: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        self.note_unused_blobs(now).await?;
        let Some(outside) = &self.outside else { return Ok(0) };
        // It may have been taken over since the start, or was away then.
        self.claim_blobs(None).await?;
        let rows = sqlx::query("SELECT digest, unused FROM blob WHERE unused < $1 ORDER BY digest LIMIT $2")
            .bind(before.as_millis())
            .bind(MOST)
            .fetch_all(self.reader())
            .await?;
        let mut gone = 0;
        for row in rows {
            let blob = digest("blob", row.get(0))?;
            gone += u64::from(self.forget_blob(&outside.blobs, &blob, row.get(1), now, before).await?);
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

    /// Removes one blob, which is noted `since` then, unless somebody took its note back or is removing it.
    async fn forget_blob(
        &self,
        blobs: &Blobs,
        blob: &Digest,
        since: i64,
        now: Timestamp,
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        // An instant below zero is a mark: since when the blob is going.
        let mark = -now.as_millis();
        let mut tx = self.begin().await?;
        let marked = sqlx::query(
            "UPDATE blob SET unused = $2 WHERE digest = $1 AND unused < $3 AND (unused >= 0 OR unused > $4)
               AND NOT EXISTS (SELECT 1 FROM layer_inv l WHERE l.blob = blob.digest)",
        )
        .bind(blob.to_string())
        .bind(mark)
        .bind(before.as_millis())
        .bind(mark + GOING)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        if marked == 0 {
            return Ok(false);
        }
        let removed = blobs.remove(blob).await;
        let name = blob.to_string();
        let after = match removed {
            Ok(()) => sqlx::query("DELETE FROM blob WHERE digest = $1 AND unused = $2").bind(&name).bind(mark),
            // Noted as before, so that nobody waits for what does not go.
            Err(_) => {
                let again = sqlx::query("UPDATE blob SET unused = $3 WHERE digest = $1 AND unused = $2");
                again.bind(&name).bind(mark).bind(since.max(0))
            }
        };
        let mut tx = self.begin().await?;
        after.execute(&mut *tx).await?;
        tx.commit().await?;
        removed?;
        Ok(true)
    }
}
