//! Java archives that say nothing of themselves.

use stella_advisory::Artifacts;
use stella_inventory::Inventory;
use tokio::task::JoinError;

use crate::app::App;

/// Gives archives without a name of their own the one they were published under, where the feeds have a table of those. What that
/// leaves without a name is looked up again when the table is another one.
///
/// # Errors
/// When the work was broken off. A table that cannot be read leaves the archives as they are.
pub(super) async fn named(app: &App, mut inventory: Inventory) -> Result<Inventory, JoinError> {
    if inventory.unnamed_archives() == 0 {
        return Ok(inventory);
    }
    let Some(artifacts) = Artifacts::below(&app.settings.feeds) else { return Ok(inventory) };
    tokio::task::spawn_blocking(move || {
        if let Err(error) = artifacts.name(&mut inventory) {
            tracing::warn!(%error, "Java archives stay without a name");
        }
        inventory
    })
    .await
}
