//! Hints of other replicas that scans have moved.

use std::convert::Infallible;
use std::time::Duration;

use stella_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// When the database did not answer, it is asked again after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// Wakes the queue and whoever follows a scan when another replica moved one, until `token` is cancelled.
///
/// # Errors
/// Never: without hints the queue and those who follow look by themselves.
pub async fn heed(app: App, token: CancellationToken) -> Result<(), Infallible> {
    while let Some(Err(error)) = token.run_until_cancelled(pass_on(&app)).await {
        tracing::warn!(%error, "hints of other replicas cannot be heard");
        token.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
    }
    token.cancelled().await;
    Ok(())
}

/// Ends at once where there are no other replicas.
async fn pass_on(app: &App) -> Result<(), StoreError> {
    let Some(mut hints) = app.store.hints().await? else { return Ok(()) };
    // What moved while nobody listened.
    app.progress.any_moved();
    loop {
        let moved = hints.next().await?;
        app.scans_changed.notify_one();
        match moved {
            Some(scan) => app.progress.moved(&scan),
            None => app.progress.any_moved(),
        }
    }
}
