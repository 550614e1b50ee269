//! Layer inventories, once a layer.

use sqlx::Row as _;
use stella_domain::{Digest, Tenant};
use stella_inventory::LayerInventory;

use crate::codec::{pack, unpack};
use crate::{Store, StoreError};

/// Version of the analyzers. It is part of the key of what they made, so that newer ones look again.
pub const ANALYZER_VERSION: i64 = 2;

impl Store {
    /// Those of `layers` that nobody has, in the order given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn layers_missing(&self, tenant: &Tenant, layers: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let mut missing = Vec::new();
        for diff_id in layers {
            let found =
                sqlx::query("SELECT 1 FROM layer_inv WHERE diff_id = $1 AND analyzer = $2 AND tenant IN ('', $3)")
                    .bind(diff_id.to_string())
                    .bind(ANALYZER_VERSION)
                    .bind(tenant.as_str())
                    .fetch_optional(self.reader())
                    .await?;
            if found.is_none() {
                missing.push(*diff_id);
            }
        }
        Ok(missing)
    }

    /// Keeps layers: for everybody when the product read and verified them itself (`owner` is `None`), else for one tenant.
    ///
    /// # Errors
    /// When the database does not take them; then none is kept.
    pub async fn put_layers(&self, owner: Option<&Tenant>, layers: &[LayerInventory]) -> Result<(), StoreError> {
        let packed: Result<Vec<_>, _> = layers.iter().map(|l| pack("layer", l).map(|body| (l.diff_id, body))).collect();
        let mut tx = self.begin().await?;
        for (diff_id, body) in packed? {
            sqlx::query(
                "INSERT INTO layer_inv (tenant, diff_id, analyzer, body) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant, diff_id, analyzer) DO UPDATE SET body = excluded.body",
            )
            .bind(owner.map_or("", Tenant::as_str))
            .bind(diff_id.to_string())
            .bind(ANALYZER_VERSION)
            .bind(body)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The layer `diff_id`, a verified one before one that the tenant sent.
    ///
    /// # Errors
    /// When the database does not answer or the stored layer is damaged.
    pub async fn layer(&self, tenant: &Tenant, diff_id: &Digest) -> Result<Option<LayerInventory>, StoreError> {
        let row = sqlx::query(
            "SELECT body FROM layer_inv WHERE diff_id = $1 AND analyzer = $2 AND tenant IN ('', $3) ORDER BY tenant LIMIT 1",
        )
        .bind(diff_id.to_string())
        .bind(ANALYZER_VERSION)
        .bind(tenant.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| unpack("layer", row.get::<&[u8], _>(0))).transpose()
    }
}
