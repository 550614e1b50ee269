//! Forgetting what is too old to keep.

use std::time::Duration;

use stella_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Days for which runtime events, and nodes that are heard no more, are kept; what follows from events stays.
const EVENT_DAYS: i64 = 45;
/// How often old ones are looked for.
const LOOK: Duration = Duration::from_secs(3600);

/// Runs until `token` is cancelled.
///
/// # Errors
/// When the database does not answer.
pub async fn run(app: App, token: CancellationToken) -> Result<(), StoreError> {
    loop {
        let before = app.clock.now().plus_seconds(-EVENT_DAYS * 86_400);
        app.store.forget_nodes(before).await?;
        let gone = app.store.forget_events(before).await?;
        if gone > 0 {
            tracing::info!(gone, "old runtime events forgotten");
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
