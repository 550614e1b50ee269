//! Images and the names they go by.

use std::sync::Arc;

use sqlx::Row as _;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_inventory::Inventory;

use crate::codec::{digest, pack, pack_json, unpack};
use crate::database::Row;
use crate::matched::write_keys;
use crate::sql::{Batch, Sql};
use crate::{Store, StoreError};

/// An image as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// The digest it is filed under.
    pub digest: Digest,
    /// A reference it goes by.
    pub reference: Option<String>,
    /// `layers`, `rootfs`, `registry`, `upload` or `sbom`.
    pub way: String,
    /// Its contents.
    pub inventory: Inventory,
    /// When it was read.
    pub read_at: Timestamp,
    /// Hashes of the packages to look up for it, sorted; empty when read back.
    pub package_keys: Vec<u64>,
}

/// An inventory in the form in which it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedInventory(Vec<u8>);

impl PackedInventory {
    /// That of an inventory by its JSON ([`Inventory::to_json`]). This takes a while for large ones.
    ///
    /// # Errors
    /// When there is no memory to pack it in.
    pub fn of_json(json: &[u8]) -> Result<Self, StoreError> {
        pack_json("inventory", json).map(Self)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The digest it is filed under.
    pub digest: Digest,
    /// A reference it goes by.
    pub reference: Option<String>,
    /// How it was read.
    pub way: String,
    /// Generation of the index its findings come from; absent when it was never matched.
    pub matched_generation: Option<String>,
    /// When it was matched against that one, or found to have nothing that changed in it.
    pub matched_at: Option<Timestamp>,
}

impl Store {
    /// Keeps an image under its digest and each of `names` (further digests, references that a node resolved).
    ///
    /// # Errors
    /// When the database does not take it; then nothing of it is kept.
    pub async fn put_image(
        &self,
        tenant: &Tenant,
        image: impl Into<Arc<ImageRecord>>,
        names: &[String],
    ) -> Result<(), StoreError> {
        let (owner, image, names) = (tenant.clone(), image.into(), names.to_vec());
        let packed = Arc::clone(&image);
        self.write(
            &[&["image", tenant.as_str()]],
            move || pack("inventory", &packed.inventory),
            move |writing, body| {
                let mut batch = writing.batch();
                write_image(&mut batch, &owner, &image, body, &names);
                Box::pin(async move { writing.run(batch).await })
            },
        )
        .await
    }

    /// Says that `name` means the image `digest` from now on.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn put_name(
        &self,
        tenant: &Tenant,
        name: &str,
        digest: &Digest,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::of(self.sql(""));
        put_alias(&mut batch, tenant, name, digest, at);
        self.write_batch(&[], batch).await
    }

    /// Notes that somebody asked for an image, so that it counts as used. Noted once a day; an image that is not there stays so.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn image_asked(&self, tenant: &Tenant, image: &Digest, at: Timestamp) -> Result<(), StoreError> {
        let row = sqlx::query("SELECT seen_at FROM image_alias WHERE tenant = $1 AND name = $2")
            .bind(tenant.as_str())
            .bind(image.to_string())
            .fetch_optional(self.reader())
            .await?;
        let day_before = at.plus_seconds(-86_400).as_millis();
        if row.is_none_or(|row| row.get::<i64, _>(0) >= day_before) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE image_alias SET seen_at = $3 WHERE tenant = $1 AND name = $2 AND seen_at < $3")
            .bind(tenant.as_str())
            .bind(image.to_string())
            .bind(at.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The digest that `name` (a digest or a reference) is filed under.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn resolve_image(&self, tenant: &Tenant, name: &str) -> Result<Option<Digest>, StoreError> {
        let mut sql = self.sql("SELECT digest FROM image_alias WHERE tenant = ");
        sql.push_bind(tenant.as_str()).push(" AND name = ").push_bind(name);
        Ok(self.look_up(sql, |row| digest("image name", row.text(0)?)).await?.pop())
    }

    /// Every name of an image, sorted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn image_names(&self, tenant: &Tenant, digest: &Digest) -> Result<Vec<String>, StoreError> {
        let mut sql = self.sql("");
        push_names(&mut sql, tenant, digest);
        self.look_up(sql, |row| Ok(row.text(0)?.to_owned())).await
    }

    /// Every name of an image, those first that were last given to it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recent_image_names(&self, tenant: &Tenant, digest: &Digest) -> Result<Vec<String>, StoreError> {
        let mut sql = self.sql("SELECT name FROM image_alias WHERE tenant = ");
        sql.push_bind(tenant.as_str()).push(" AND digest = ").push_bind(digest.to_string());
        sql.push(" ORDER BY seen_at DESC, name");
        self.look_up(sql, |row| Ok(row.text(0)?.to_owned())).await
    }

    /// Images that go by a name in `repository`, with any tag or digest: the `limit` that were read last, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn images_of_repository(
        &self,
        tenant: &Tenant,
        repository: &str,
        limit: i64,
    ) -> Result<Vec<Digest>, StoreError> {
        // ';' and 'A' follow ':' and '@': the ranges are those of the names that begin with repository and separator.
        let rows = sqlx::query(
            "SELECT digest FROM image WHERE tenant = $1 AND digest IN (
               SELECT digest FROM image_alias WHERE tenant = $1
                 AND (name = $2 OR (name > $2 || ':' AND name < $2 || ';' AND substr(name, length($2) + 2) NOT LIKE '%/%')
                   OR (name > $2 || '@' AND name < $2 || 'A')))
             ORDER BY read_at DESC, digest LIMIT $3",
        )
        .bind(tenant.as_str())
        .bind(repository)
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|row| digest("image name", row.get(0))).collect()
    }

    /// The image filed under `digest`.
    ///
    /// # Errors
    /// When the database does not answer or the stored inventory is damaged.
    pub async fn image(&self, tenant: &Tenant, digest: &Digest) -> Result<Option<ImageRecord>, StoreError> {
        let row = sqlx::query("SELECT reference, way, inventory, read_at FROM image WHERE tenant = $1 AND digest = $2")
            .bind(tenant.as_str())
            .bind(digest.to_string())
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| {
            Ok(ImageRecord {
                digest: *digest,
                reference: row.get(0),
                way: row.get(1),
                inventory: unpack("inventory", row.get::<&[u8], _>(2))?,
                read_at: Timestamp::from_millis(row.get(3)),
                package_keys: Vec::new(),
            })
        })
        .transpose()
    }

    /// The image filed under `digest`, without its contents.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn image_summary(&self, tenant: &Tenant, digest: &Digest) -> Result<Option<ImageSummary>, StoreError> {
        let row = sqlx::query(
            "SELECT digest, reference, way, matched_generation, matched_at FROM image WHERE tenant = $1 AND digest = $2",
        )
        .bind(tenant.as_str())
        .bind(digest.to_string())
        .fetch_optional(self.reader())
        .await?;
        row.as_ref().map(summary).transpose()
    }

    /// Every image of a tenant, by digest.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn images(&self, tenant: &Tenant) -> Result<Vec<ImageSummary>, StoreError> {
        let rows = sqlx::query(
            "SELECT digest, reference, way, matched_generation, matched_at FROM image WHERE tenant = $1 ORDER BY digest",
        )
        .bind(tenant.as_str())
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(summary).collect()
    }

    /// Tenants that have anything, sorted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let rows = sqlx::query(
            "SELECT tenant FROM image UNION SELECT tenant FROM observed UNION SELECT tenant FROM policy_rev ORDER BY 1",
        )
        .fetch_all(self.reader())
        .await?;
        Ok(rows.iter().filter_map(|row| row.get::<String, _>(0).parse().ok()).collect())
    }
}

fn summary(row: &Row) -> Result<ImageSummary, StoreError> {
    Ok(ImageSummary {
        digest: digest("image", row.get(0))?,
        reference: row.get(1),
        way: row.get(2),
        matched_generation: row.get(3),
        matched_at: row.get::<Option<i64>, _>(4).map(Timestamp::from_millis),
    })
}

/// Writes an image whose inventory is packed as `body`, and its names.
pub(crate) fn write_image(batch: &mut Batch, tenant: &Tenant, image: &ImageRecord, body: Vec<u8>, names: &[String]) {
    let sql = batch
        .next("INSERT INTO image (tenant, digest, reference, way, inventory, read_at, package_keys, layers) VALUES (");
    let mut row = sql.separated(", ");
    row.push_bind(tenant.as_str()).push_bind(image.digest.to_string()).push_bind(&image.reference);
    row.push_bind(&image.way).push_bind(body).push_bind(image.read_at.as_millis());
    row.push_bind(write_keys(&image.package_keys)).push_bind(write_layers(&image.inventory.layers));
    sql.push(
        ") ON CONFLICT (tenant, digest) DO UPDATE SET reference = coalesce(excluded.reference, image.reference),
           way = excluded.way, inventory = excluded.inventory, read_at = excluded.read_at, package_keys = excluded.package_keys,
           layers = excluded.layers, matched_generation = NULL",
    );
    for name in names.iter().chain(std::iter::once(&image.digest.to_string())) {
        put_alias(batch, tenant, name, &image.digest, image.read_at);
    }
}

/// Digests of layers as one value.
pub(crate) fn write_layers(layers: &[Digest]) -> Vec<u8> {
    layers.iter().flat_map(|layer| *layer.as_bytes()).collect()
}

/// Digests of layers out of one value.
pub(crate) fn read_layers(bytes: &[u8]) -> impl Iterator<Item = Digest> {
    let (layers, _) = bytes.as_chunks::<32>();
    layers.iter().map(|layer| Digest::from_bytes(*layer))
}

fn put_alias(batch: &mut Batch, tenant: &Tenant, name: &str, digest: &Digest, at: Timestamp) {
    let sql = batch.next("INSERT INTO image_alias (tenant, name, digest, seen_at) VALUES (");
    let mut row = sql.separated(", ");
    row.push_bind(tenant.as_str()).push_bind(name).push_bind(digest.to_string()).push_bind(at.as_millis());
    // What is written again, as it was read, is not asked for any earlier.
    sql.push(
        ") ON CONFLICT (tenant, name) DO UPDATE SET digest = excluded.digest, seen_at =
           CASE WHEN image_alias.seen_at > excluded.seen_at THEN image_alias.seen_at ELSE excluded.seen_at END",
    );
}

fn push_names(sql: &mut Sql, tenant: &Tenant, digest: &Digest) {
    sql.push("SELECT name FROM image_alias WHERE tenant = ").push_bind(tenant.as_str());
    sql.push(" AND digest = ").push_bind(digest.to_string()).push(" ORDER BY name");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_an_image_are_found_without_passing_over_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut sql = store.sql("EXPLAIN QUERY PLAN ");
        push_names(&mut sql, &Tenant::default(), &Digest::of("image"));
        let rows = sql.build().fetch_all(store.reader()).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(3)).collect();
        assert!(
            plan.len() == 1 && plan[0].contains("COVERING INDEX image_alias_digest (tenant=? AND digest=?)"),
            "{plan:?}"
        );
    }
}
