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
    let app = app.clone();
    tokio::task::spawn_blocking(move || {
        name(&app, &mut inventory);
        inventory
    })
    .await
}

/// The same at once, for whoever may block. Gives how many archives have a name now that had none.
pub(super) fn name(app: &App, inventory: &mut Inventory) -> usize {
    if inventory.unnamed_archives() == 0 {
        return 0;
    }
    let Some(artifacts) = Artifacts::below(&app.settings.feeds) else { return 0 };
    artifacts.name(inventory).unwrap_or_else(|error| {
        tracing::warn!(%error, "Java archives stay without a name");
        0
    })
}
