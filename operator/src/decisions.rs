//! Forgets decisions of webhooks that are out of their time, or find no room beside newer ones.

use std::convert::Infallible;
use std::time::Duration;

use stella_api::admission::DECISION_DAYS;
use stella_store::DecisionBounds;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Decisions that are kept of a tenant.
const MOST: i64 = 100_000;
/// Bytes that they may have together.
const MOST_BYTES: i64 = 128 << 20;
/// How often those are looked for that have to go; in between there may be more.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: what the database does not take is forgotten next time.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    while token.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let before = app.clock.now().plus_seconds(-DECISION_DAYS * 86_400);
        let bounds = DecisionBounds { before, most: MOST, most_bytes: MOST_BYTES };
        match app.store.forget_decisions(&bounds).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "old decisions forgotten"),
            Err(error) => tracing::warn!(%error, "old decisions cannot be forgotten"),
        }
    }
    Ok(())
}
