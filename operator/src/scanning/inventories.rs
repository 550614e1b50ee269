//! Inventories that nodes send.

use std::sync::Arc;

use stella_advisory::naming::package_hashes;
use stella_api::node::{InventoryReceipt, NodeInventory, NodeReading};
use stella_domain::Tenant;
use stella_service::spans::{Kind, step};
use stella_store::{ImageRecord, StoreError};

use super::archives::named;
use super::layers::compose;
use super::matching::{MatchError, match_image};
use super::{open_work_id, queue};
use crate::app::App;

/// Why an inventory was refused.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It names no image.
    #[error("imageDigest and digests are both empty: an inventory has to be filed under a digest")]
    Nameless,
    /// The work was broken off.
    #[error("naming archives was broken off: {0}")]
    Broken(#[from] tokio::task::JoinError),
    /// A flat inventory claims to consist of layers.
    #[error("a rootfs inventory must not name layers")]
    LayeredRootfs,
}

/// Files an inventory and goes on with the scans that wait for it. Answers with the layers that are still missing, and then
/// files nothing.
///
/// # Errors
/// See [`InventoryError`].
pub async fn take_inventory(
    app: &App,
    tenant: &Tenant,
    sent: NodeInventory,
) -> Result<InventoryReceipt, InventoryError> {
    let (inventory, way) = match sent.outcome {
        NodeReading::Failed { ref reason } => {
            give_up(app, tenant, &sent, reason).await?;
            return Ok(InventoryReceipt { image_digest: None, missing: Vec::new() });
        }
        NodeReading::Layers { ref diff_ids, ref layers } => {
            step(Kind::Client, "store: keep layers", app.store.put_layers(None, layers)).await?;
            match compose(app, None, diff_ids).await? {
                Ok(inventory) => (inventory, "layers"),
                Err(missing) => return Ok(InventoryReceipt { image_digest: None, missing }),
            }
        }
        NodeReading::Rootfs { ref inventory, .. } if inventory.layers.is_empty() => (inventory.clone(), "rootfs"),
        NodeReading::Rootfs { .. } => return Err(InventoryError::LayeredRootfs),
    };
    let digest = sent.image_digest.or_else(|| sent.digests.first().copied()).ok_or(InventoryError::Nameless)?;
    let reference = Some(sent.image_ref.clone()).filter(|name| !name.is_empty());
    let names: Vec<String> = sent.digests.iter().map(ToString::to_string).chain(reference.clone()).collect();
    let inventory = named(app, inventory).await?;
    let package_keys = package_hashes(&inventory);
    let read_at = app.clock.now();
    let record = ImageRecord { digest, reference, way: way.to_owned(), inventory, read_at, package_keys };
    let record = Arc::new(record);
    step(Kind::Client, "store: keep an image", app.store.put_image(tenant, Arc::clone(&record), &names)).await?;
    tracing::info!(image = %digest, reference = record.reference, way, node = sent.node, "image read");
    match match_image(app, tenant, &digest).await {
        Ok(_) | Err(MatchError::NoIndex) => {}
        Err(MatchError::Store(error)) => return Err(error.into()),
        Err(error) => tracing::warn!(image = %digest, %error, "an image that was read could not be matched"),
    }
    app.scans_changed.notify_one();
    Ok(InventoryReceipt { image_digest: Some(digest), missing: Vec::new() })
}

/// A node that cannot read an image ends the scan, with what it said.
async fn give_up(app: &App, tenant: &Tenant, sent: &NodeInventory, reason: &str) -> Result<(), StoreError> {
    tracing::warn!(node = sent.node, image = sent.image_ref, reason, "a node could not read an image");
    let Some(work_id) = &sent.work_id else { return Ok(()) };
    app.work.done(work_id);
    let Some((owner, id)) = open_work_id(work_id) else { return Ok(()) };
    if owner != *tenant {
        return Ok(());
    }
    if let Some(scan) = app.store.scan(&owner, id).await? {
        queue::fail(app, &scan, &format!("node {} could not read it: {reason}", sent.node)).await?;
    }
    Ok(())
}
