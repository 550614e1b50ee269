//! Which images were matched against which generation of the index.

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};

use crate::codec::digest;
use crate::database::Row;
use crate::sql::Batch;
use crate::{Store, StoreError};

/// Images confirmed in one statement.
const ROWS: usize = 500;

/// An image whose findings are not of the generation in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleImage {
    /// The digest it is filed under.
    pub digest: Digest,
    /// The generation its findings are of; absent when it was never matched.
    pub matched_generation: Option<String>,
    /// Hashes of the packages to look up for it, sorted; absent where not known.
    pub package_keys: Option<Vec<u64>>,
}

impl Store {
    /// At most `limit` images of a tenant that were not matched against `generation`, by digest: those that come after
    /// `after`, where it is given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stale_images(
        &self,
        tenant: &Tenant,
        generation: &str,
        after: Option<&Digest>,
        limit: i64,
    ) -> Result<Vec<StaleImage>, StoreError> {
        let rows = sqlx::query(
            "SELECT digest, matched_generation, package_keys FROM image
             WHERE tenant = $1 AND (matched_generation IS NULL OR matched_generation <> $2) AND digest > $3
             ORDER BY digest LIMIT $4",
        )
        .bind(tenant.as_str())
        .bind(generation)
        .bind(after.map(Digest::to_string).unwrap_or_default())
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        let stale = |row: &Row| {
            Ok(StaleImage {
                digest: digest("image", row.get(0))?,
                matched_generation: row.get(1),
                package_keys: row.get::<Option<&[u8]>, _>(2).map(read_keys),
            })
        };
        rows.iter().map(stale).collect()
    }

    /// Notes that the findings of `images` are those of `generation`, too.
    ///
    /// # Errors
    /// When the database does not take it; then nothing is changed.
    pub async fn confirm_matches(
        &self,
        tenant: &Tenant,
        images: &[Digest],
        generation: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::of(self.sql(""));
        for chunk in images.chunks(ROWS) {
            let sql = batch.next("UPDATE image SET matched_generation = ");
            sql.push_bind(generation).push(", matched_at = ").push_bind(at.as_millis());
            let mut list =
                sql.push(" WHERE tenant = ").push_bind(tenant.as_str()).push(" AND digest IN (").separated(", ");
            chunk.iter().for_each(|image| {
                list.push_bind(image.to_string());
            });
            sql.push(")");
        }
        self.write_batch(&[], batch).await
    }
}

pub(crate) fn write_keys(keys: &[u64]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_le_bytes()).collect()
}

fn read_keys(bytes: &[u8]) -> Vec<u64> {
    let (keys, _) = bytes.as_chunks::<8>();
    keys.iter().map(|key| u64::from_le_bytes(*key)).collect()
}
