//! Since when an image has its verdict in a scope, and where it ran when the verdict turned.

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::{from_text, text};
use crate::{Store, StoreError};

/// A verdict with its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictSince {
    /// `pass`, `warn` or `blocked`.
    pub verdict: String,
    /// Since when.
    pub since: Timestamp,
    /// Namespaces in which the image ran at that moment, sorted.
    pub ran_in: Vec<String>,
}

impl Store {
    /// Notes the verdict of an image in a scope. Only a verdict that differs from the last one moves `since` and `ran_in`; the
    /// first one of all counts as a turn. Returns what holds.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn note_verdict(
        &self,
        tenant: &Tenant,
        scope: &str,
        image: &Digest,
        new: &VerdictSince,
    ) -> Result<VerdictSince, StoreError> {
        if let Some(old) = self.verdict_since(tenant, scope, image).await?
            && old.verdict == new.verdict
        {
            return Ok(old);
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO verdict (tenant, scope, digest, verdict, since, ran_in) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (tenant, scope, digest) DO UPDATE SET verdict = excluded.verdict, since = excluded.since,
               ran_in = excluded.ran_in
             WHERE verdict.verdict <> excluded.verdict",
        )
        .bind(tenant.as_str())
        .bind(scope)
        .bind(image.to_string())
        .bind(&new.verdict)
        .bind(new.since.as_millis())
        .bind(text("verdict", &new.ran_in)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        // Another replica may have been faster.
        Ok(self.verdict_since(tenant, scope, image).await?.unwrap_or_else(|| new.clone()))
    }

    /// The verdict as last noted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn verdict_since(
        &self,
        tenant: &Tenant,
        scope: &str,
        image: &Digest,
    ) -> Result<Option<VerdictSince>, StoreError> {
        let row =
            sqlx::query("SELECT verdict, since, ran_in FROM verdict WHERE tenant = $1 AND scope = $2 AND digest = $3")
                .bind(tenant.as_str())
                .bind(scope)
                .bind(image.to_string())
                .fetch_optional(self.reader())
                .await?;
        row.map(|row| {
            Ok(VerdictSince {
                verdict: row.get(0),
                since: Timestamp::from_millis(row.get(1)),
                ran_in: from_text("verdict", row.get(2))?,
            })
        })
        .transpose()
    }
}
