//! Since when an image has its verdict in a scope, and where it ran when the verdict turned.

use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::{from_text, text};
use crate::sql::Batch;
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
        let mut batch = Batch::of(self.sql(""));
        let sql = batch.next("INSERT INTO verdict (tenant, scope, digest, verdict, since, ran_in) VALUES (");
        let mut row = sql.separated(", ");
        row.push_bind(tenant.as_str()).push_bind(scope).push_bind(image.to_string());
        row.push_bind(&new.verdict).push_bind(new.since.as_millis()).push_bind(text("verdict", &new.ran_in)?);
        sql.push(
            ") ON CONFLICT (tenant, scope, digest) DO UPDATE SET verdict = excluded.verdict, since = excluded.since,
               ran_in = excluded.ran_in
             WHERE verdict.verdict <> excluded.verdict",
        );
        self.write_batch(&[], batch).await?;
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
        let mut sql = self.sql("SELECT verdict, since, ran_in FROM verdict WHERE tenant = ");
        sql.push_bind(tenant.as_str()).push(" AND scope = ").push_bind(scope);
        sql.push(" AND digest = ").push_bind(image.to_string());
        let found = self.look_up(sql, |row| {
            Ok(VerdictSince {
                verdict: row.text(0)?.to_owned(),
                since: Timestamp::from_millis(row.number(1)?),
                ran_in: from_text("verdict", row.text(2)?)?,
            })
        });
        Ok(found.await?.pop())
    }
}
