//! Layers that no stored image consists of.
//!
//! A layer that no image consists of is noted first. From then on whoever asks is told that it is missing, and sends it again where
//! it is needed, which takes the note back. It goes a day later: by then whoever was told before that it is there has ended.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;
use stella_domain::{Digest, Timestamp};
use stella_inventory::{ANALYZER_VERSION, Inventory};

use super::Key;
use crate::codec::{digest, unpack};
use crate::database::Row;
use crate::images::{read_layers, write_layers};
use crate::sql::Batch;
use crate::{Store, StoreError};

/// Inventories that are read at once.
const INVENTORIES: i64 = 8;
/// Images whose layers are read at once.
const IMAGES: i64 = 500;

/// Layers that stored images consist of, by tenant; those of all tenants by none.
type Used = HashMap<String, HashSet<Digest>>;

/// A layer as it is named.
struct Layer {
    tenant: String,
    diff_id: Digest,
    analyzer: i64,
    /// Since when no image consists of it.
    unused: Option<i64>,
}

impl Store {
    /// Notes, `piece` a transaction, which layers no stored image consists of, and forgets those that are noted since before
    /// `before`. Gives how many went. Layers that later versions read are left to them.
    ///
    /// # Errors
    /// When the database does not take it, or an inventory is damaged, whose layers are not known then; what went before stays gone.
    pub async fn forget_layers(&self, now: Timestamp, before: Timestamp, piece: u32) -> Result<u64, StoreError> {
        self.note_layers_of_images().await?;
        let used = self.used_layers().await?;
        let (mut all, mut after) = (0, None);
        loop {
            let layers = self.layers_after(after.as_ref(), piece).await?;
            let Some(last) = layers.last() else { return Ok(all) };
            after = Some((last.tenant.clone(), last.diff_id, last.analyzer));
            let is_used = |layer: &Layer| {
                let of_tenant = used.get(&layer.tenant).is_some_and(|used| used.contains(&layer.diff_id));
                layer.analyzer == ANALYZER_VERSION && of_tenant
            };
            let known: Vec<Layer> = layers.into_iter().filter(|layer| layer.analyzer <= ANALYZER_VERSION).collect();
            let (in_use, rest): (Vec<_>, Vec<_>) = known.into_iter().partition(is_used);
            let (noted, new): (Vec<_>, Vec<_>) = rest.into_iter().partition(|layer| layer.unused.is_some());
            self.note_unused(&in_use, &new, now).await?;
            all += self.forget_noted(&noted, before).await?;
        }
    }

    /// Fills in the layers of images that earlier versions stored.
    async fn note_layers_of_images(&self) -> Result<(), StoreError> {
        loop {
            let rows = sqlx::query("SELECT tenant, digest, inventory FROM image WHERE layers IS NULL LIMIT $1")
                .bind(INVENTORIES)
                .fetch_all(self.reader())
                .await?;
            if rows.is_empty() {
                return Ok(());
            }
            let layers = |row: &Row| -> Result<(Key, Vec<u8>), StoreError> {
                let inventory: Inventory = unpack("inventory", row.get::<&[u8], _>(2))?;
                Ok(((row.get(0), row.get(1)), write_layers(&inventory.layers)))
            };
            let images = rows.iter().map(layers).collect::<Result<Vec<_>, _>>()?;
            let mut tx = self.begin().await?;
            for ((tenant, image), layers) in images {
                sqlx::query("UPDATE image SET layers = $3 WHERE tenant = $1 AND digest = $2 AND layers IS NULL")
                    .bind(tenant)
                    .bind(image)
                    .bind(layers)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
        }
    }

    async fn used_layers(&self) -> Result<Used, StoreError> {
        let (mut used, mut after) = (Used::new(), Key::default());
        loop {
            let rows = sqlx::query(
                "SELECT tenant, digest, layers FROM image WHERE (tenant, digest) > ($1, $2) ORDER BY tenant, digest LIMIT $3",
            )
            .bind(&after.0)
            .bind(&after.1)
            .bind(IMAGES)
            .fetch_all(self.reader())
            .await?;
            let Some(last) = rows.last() else { return Ok(used) };
            after = (last.get(0), last.get(1));
            for row in &rows {
                let layers: Vec<Digest> =
                    row.get::<Option<&[u8]>, _>(2).map(read_layers).into_iter().flatten().collect();
                // What the product read itself belongs to everybody.
                used.entry(String::new()).or_default().extend(&layers);
                used.entry(row.get(0)).or_default().extend(&layers);
            }
        }
    }

    async fn layers_after(&self, after: Option<&(String, Digest, i64)>, most: u32) -> Result<Vec<Layer>, StoreError> {
        let (tenant, diff_id, analyzer) = after
            .map(|(tenant, diff_id, analyzer)| (tenant.as_str(), diff_id.to_string(), *analyzer))
            .unwrap_or_default();
        let rows = sqlx::query(
            "SELECT l.tenant, l.diff_id, l.analyzer, u.since FROM layer_inv l LEFT JOIN layer_unused u
               ON u.tenant = l.tenant AND u.diff_id = l.diff_id AND u.analyzer = l.analyzer
             WHERE (l.tenant, l.diff_id, l.analyzer) > ($1, $2, $3) ORDER BY l.tenant, l.diff_id, l.analyzer LIMIT $4",
        )
        .bind(tenant)
        .bind(diff_id)
        .bind(analyzer)
        .bind(i64::from(most.max(1)))
        .fetch_all(self.reader())
        .await?;
        let layer = |row: &Row| -> Result<Layer, StoreError> {
            Ok(Layer {
                tenant: row.get(0),
                diff_id: digest("layer", row.get(1))?,
                analyzer: row.get(2),
                unused: row.get(3),
            })
        };
        rows.iter().map(layer).collect()
    }

    /// Notes that no image consists of `unused`, and takes that back for `used`.
    async fn note_unused(&self, used: &[Layer], unused: &[Layer], now: Timestamp) -> Result<(), StoreError> {
        let back: Vec<&Layer> = used.iter().filter(|layer| layer.unused.is_some()).collect();
        if back.is_empty() && unused.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let mut batch = Batch::on(&tx);
        for layer in back {
            push_delete(&mut batch, "layer_unused", layer);
        }
        if !unused.is_empty() {
            let sql = batch.next("INSERT INTO layer_unused (tenant, diff_id, analyzer, since) ");
            sql.push_values(unused, |mut row, layer| {
                row.push_bind(layer.tenant.as_str()).push_bind(layer.diff_id.to_string());
                row.push_bind(layer.analyzer).push_bind(now.as_millis());
            });
            sql.push(" ON CONFLICT (tenant, diff_id, analyzer) DO NOTHING");
        }
        batch.run(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets those of `layers` that are still noted since before `before`.
    async fn forget_noted(&self, layers: &[Layer], before: Timestamp) -> Result<u64, StoreError> {
        let is_over = |layer: &&Layer| layer.unused.is_some_and(|since| since < before.as_millis());
        let over: Vec<&Layer> = layers.iter().filter(is_over).collect();
        if over.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let mut batch = Batch::on(&tx);
        let mut gone = 0;
        // Whoever writes a layer has taken its note before, so the note says who was first.
        let alone = if self.is_shared() { " FOR UPDATE SKIP LOCKED" } else { "" };
        for layer in over {
            let noted = format!(
                "SELECT 1 FROM layer_unused WHERE tenant = $1 AND diff_id = $2 AND analyzer = $3 AND since < $4{alone}"
            );
            let noted = sqlx::query(sqlx::AssertSqlSafe(noted))
                .bind(&layer.tenant)
                .bind(layer.diff_id.to_string())
                .bind(layer.analyzer)
                .bind(before.as_millis())
                .fetch_optional(&mut *tx)
                .await?;
            if noted.is_some() {
                push_delete(&mut batch, "layer_inv", layer);
                push_delete(&mut batch, "layer_unused", layer);
                gone += 1;
            }
        }
        batch.run(&mut tx).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

fn push_delete(batch: &mut Batch, table: &'static str, layer: &Layer) {
    let sql = batch.next(format_args!("DELETE FROM {table} WHERE tenant = ")).push_bind(layer.tenant.as_str());
    sql.push(" AND diff_id = ").push_bind(layer.diff_id.to_string());
    sql.push(" AND analyzer = ").push_bind(layer.analyzer);
}
