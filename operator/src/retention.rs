//! Forgetting what is too old to keep.

use std::convert::Infallible;
use std::time::Duration;

use stella_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Days for which runtime events, and nodes that are heard no more, are kept; what follows from events stays.
const EVENT_DAYS: i64 = 45;
/// Seconds after which a bucket of requests is full in any case.
const BUCKETS: i64 = 3600;
/// Days for which it is known how many scans a token asked for.
const QUOTA_DAYS: i64 = 7;
/// Events that are forgotten at once; the database takes new ones in between.
const PIECE: u32 = 5000;
/// How often old ones are looked for.
const LOOK: Duration = Duration::from_secs(3600);

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: what the database does not take is forgotten next time.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    loop {
        if let Err(error) = forget(&app).await {
            tracing::warn!(%error, "what is too old cannot be forgotten");
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn forget(app: &App) -> Result<(), StoreError> {
    let now = app.clock.now();
    let before = now.plus_seconds(-EVENT_DAYS * 86_400);
    app.store.forget_nodes(before).await?;
    app.store.forget_spent(now, now.plus_seconds(-BUCKETS), now.plus_seconds(-QUOTA_DAYS * 86_400)).await?;
    let mut gone = 0;
    loop {
        let piece = app.store.forget_events(before, PIECE).await?;
        gone += piece;
        if piece < u64::from(PIECE) {
            break;
        }
    }
    if gone > 0 {
        tracing::info!(gone, "old runtime events forgotten");
    }
    Ok(())
}
