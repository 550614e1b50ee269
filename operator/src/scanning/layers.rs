//! Images put together from stored layers.

use std::collections::HashMap;

use stella_domain::{Digest, Tenant};
use stella_inventory::{Inventory, LayerInventory, fold};
use stella_store::StoreError;

use crate::app::App;

/// The inventory of an image, or the layers that are missing for it, in the image's order.
pub(super) type Composed = Result<Inventory, Vec<Digest>>;

/// Puts an image together from the layers that the product read itself and, with an `owner`, those that this tenant sent.
///
/// # Errors
/// When the database does not answer or a stored layer is damaged.
pub(super) async fn compose(app: &App, owner: Option<&Tenant>, diff_ids: &[Digest]) -> Result<Composed, StoreError> {
    // Layers that were there when somebody asked are there still, though by now they may be missing for whoever asks anew.
    let missing = app.store.layers_gone(owner, diff_ids).await?;
    if !missing.is_empty() {
        return Ok(Err(missing));
    }
    let mut layers: HashMap<Digest, LayerInventory> = HashMap::new();
    for diff_id in diff_ids {
        // An image may have the same layer several times.
        if !layers.contains_key(diff_id) {
            let Some(layer) = app.store.layer(owner, diff_id).await? else { return Ok(Err(vec![*diff_id])) };
            layers.insert(*diff_id, layer);
        }
    }
    let stack: Vec<&LayerInventory> = diff_ids.iter().map(|diff_id| &layers[diff_id]).collect();
    Ok(Ok(fold(&stack)))
}
