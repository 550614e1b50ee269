//! Layer inventories, once a layer.

use std::collections::HashSet;

use rusqlite::Connection;
use sqlx::Row as _;
use stella_domain::{Digest, Tenant};
use stella_inventory::{ANALYZER_VERSION, LayerInventory};

use crate::codec::{digest, pack, unpack};
use crate::{BlobError, Store, StoreError};

/// Layers asked for in one statement.
const QUESTIONS: usize = 500;
/// That a layer `l` is not about to be forgotten.
const KEPT: &str = " AND NOT EXISTS (SELECT 1 FROM layer_unused u WHERE u.tenant = l.tenant AND u.diff_id = l.diff_id \
                    AND u.analyzer = l.analyzer)";

impl Store {
    /// Those of `layers` that have to be read or sent, in the order given: they are neither among those the product read itself
    /// nor, with an `owner`, among those that this tenant sent, or are about to be forgotten. The others stay for a day at least.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn layers_missing(&self, owner: Option<&Tenant>, layers: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.layers_without(owner, layers, KEPT).await
    }

    /// Those of `layers` that are not there at all, in the order given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn layers_gone(&self, owner: Option<&Tenant>, layers: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.layers_without(owner, layers, "").await
    }

    /// Those of `layers` that are not among the stored ones for which `condition` holds.
    async fn layers_without(
        &self,
        owner: Option<&Tenant>,
        layers: &[Digest],
        condition: &'static str,
    ) -> Result<Vec<Digest>, StoreError> {
        if let Some(local) = self.local() {
            return local.read(|connection| missing(connection, owner, layers, condition));
        }
        let mut known = HashSet::new();
        for chunk in layers.chunks(QUESTIONS) {
            let mut sql = self.sql("SELECT l.diff_id FROM layer_inv l WHERE l.analyzer = ");
            sql.push_bind(ANALYZER_VERSION).push(" AND l.tenant IN ('', ").push_bind(tenant_of(owner)).push(")");
            let mut list = sql.push(condition).push(" AND l.diff_id IN (").separated(", ");
            chunk.iter().for_each(|diff_id| {
                list.push_bind(diff_id.to_string());
            });
            sql.push(")");
            for row in sql.build().fetch_all(self.reader()).await? {
                known.insert(digest("layer", row.get(0))?);
            }
        }
        Ok(layers.iter().filter(|layer| !known.contains(layer)).copied().collect())
    }

    /// Keeps layers: for everybody when the product read and verified them itself (`owner` is `None`), else for one tenant.
    ///
    /// # Errors
    /// When the database, or the place for blobs, does not take them; then none is kept.
    pub async fn put_layers(&self, owner: Option<&Tenant>, layers: &[LayerInventory]) -> Result<(), StoreError> {
        let packed: Result<Vec<_>, _> = layers.iter().map(|l| pack("layer", l).map(|body| (l.diff_id, body))).collect();
        let placed = self.put_outside(packed?).await?;
        let mut tx = self.begin().await?;
        self.keep_layers(&mut tx, owner, layers).await?;
        for (diff_id, body) in placed {
            let (body, blob) = body.columns();
            sqlx::query(
                "INSERT INTO layer_inv (tenant, diff_id, analyzer, body, blob) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (tenant, diff_id, analyzer) DO UPDATE SET body = excluded.body, blob = excluded.blob",
            )
            .bind(tenant_of(owner))
            .bind(diff_id.to_string())
            .bind(ANALYZER_VERSION)
            .bind(body)
            .bind(blob)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes back that layers are about to be forgotten. Before they are written: whoever forgets them holds these rows first, too.
    async fn keep_layers(
        &self,
        tx: &mut crate::database::Connection,
        owner: Option<&Tenant>,
        layers: &[LayerInventory],
    ) -> Result<(), StoreError> {
        for chunk in layers.chunks(QUESTIONS) {
            let mut sql = self.sql("DELETE FROM layer_unused WHERE tenant = ");
            sql.push_bind(tenant_of(owner)).push(" AND analyzer = ").push_bind(ANALYZER_VERSION);
            let mut list = sql.push(" AND diff_id IN (").separated(", ");
            chunk.iter().for_each(|layer| {
                list.push_bind(layer.diff_id.to_string());
            });
            sql.push(")");
            sql.build().execute(&mut *tx).await?;
        }
        Ok(())
    }

    /// The layer `diff_id`: as the product read it, else, with an `owner`, as this tenant sent it.
    ///
    /// # Errors
    /// When the database does not answer or the stored layer is damaged. One whose blob is lost or damaged counts as missing from then
    /// on ([`Self::layers_missing`]), so that it is read or sent again.
    pub async fn layer(&self, owner: Option<&Tenant>, diff_id: &Digest) -> Result<Option<LayerInventory>, StoreError> {
        let row = sqlx::query(
            "SELECT body, blob FROM layer_inv WHERE diff_id = $1 AND analyzer = $2 AND tenant IN ('', $3) ORDER BY tenant LIMIT 1",
        )
        .bind(diff_id.to_string())
        .bind(ANALYZER_VERSION)
        .bind(tenant_of(owner))
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let body = match self.bring_in(row.get(0), row.get(1)).await {
            Err(StoreError::Blob(lost @ (BlobError::Absent { .. } | BlobError::Damaged { .. }))) => {
                self.note_lost(row.get(1)).await?;
                return Err(lost.into());
            }
            body => body?,
        };
        unpack("layer", &body).map(Some)
    }

    /// Has the layers in a lost blob count as missing, as those do that are about to be forgotten. Those that images consist of stay, so
    /// that a place that was named wrongly costs none.
    async fn note_lost(&self, blob: Option<String>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO layer_unused (tenant, diff_id, analyzer, since)
             SELECT tenant, diff_id, analyzer, 0 FROM layer_inv WHERE blob = $1
             ON CONFLICT (tenant, diff_id, analyzer) DO NOTHING",
        )
        .bind(blob)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The same, one layer after the other, from one state of the file.
fn missing(
    file: &Connection,
    owner: Option<&Tenant>,
    layers: &[Digest],
    condition: &str,
) -> Result<Vec<Digest>, StoreError> {
    let state = file.unchecked_transaction()?;
    let mut sql = state.prepare_cached(&format!(
        "SELECT 1 FROM layer_inv l WHERE l.tenant = ?1 AND l.diff_id = ?2 AND l.analyzer = ?3{condition}"
    ))?;
    let mut missing = Vec::new();
    for layer in layers {
        let diff_id = layer.to_string();
        let mut is_of = |tenant: &str| sql.exists((tenant, &diff_id, ANALYZER_VERSION));
        let is_known = is_of("")? || owner.map(|owner| is_of(owner.as_str())).transpose()?.unwrap_or(false);
        if !is_known {
            missing.push(*layer);
        }
    }
    Ok(missing)
}

/// Layers that the product read itself belong to nobody.
fn tenant_of(owner: Option<&Tenant>) -> &str {
    owner.map_or("", Tenant::as_str)
}
