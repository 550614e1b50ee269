//! Honest coverage: every running container is in exactly one state.

use std::convert::Infallible;
use std::time::Duration;

use stella_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it is counted.
const COUNT: Duration = Duration::from_secs(15);

/// Counts until `token` is cancelled.
///
/// # Errors
/// Never: what the database does not answer is counted next time.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    loop {
        if let Err(error) = count(&app).await {
            tracing::warn!(%error, "running containers cannot be counted");
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(COUNT) => {}
        }
    }
}

async fn count(app: &App) -> Result<(), StoreError> {
    let (mut fresh, mut stale) = (0, 0);
    let generation = app.index().map(|index| index.info().generation.hex());
    for tenant in app.store.tenants().await? {
        for container in app.store.running_containers(&tenant).await? {
            let image = match app.store.resolve_image(&tenant, &container.image).await? {
                Some(digest) => app.store.image_summary(&tenant, &digest).await?,
                None => None,
            };
            let current = image.is_some_and(|i| generation.is_some() && i.matched_generation == generation);
            if current { fresh += 1 } else { stale += 1 }
        }
    }
    app.metrics.coverage.with_label_values(&["fresh"]).set(fresh);
    app.metrics.coverage.with_label_values(&["stale"]).set(stale);
    Ok(())
}
