//! Forgetting what is too old to keep, and what nobody uses any more (decision 029).

use std::convert::Infallible;
use std::time::Duration;

use stella_domain::Timestamp;
use stella_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::exporting;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days for which runtime events, and nodes that are heard no more, are kept; what follows from events stays.
pub(crate) const EVENT_DAYS: i64 = 45;
/// Seconds after which a bucket of requests is full in any case.
const BUCKETS: i64 = 3600;
/// Days for which it is known how many scans a token asked for.
const QUOTA_DAYS: i64 = 7;
/// Days after which a signature is no more waited for that nobody looks for.
const CHECK_DAYS: i64 = 7;
/// Events that are forgotten at once; the database takes new ones in between.
const EVENTS: u32 = 5000;
/// Other rows that are forgotten at once.
const PIECE: u32 = 200;
/// Images that are looked at together; each is forgotten by itself.
const IMAGES: i64 = 100;
/// Before the first look whoever uses something has the time to say so.
const FIRST: Duration = Duration::from_secs(300);
/// How often old ones are looked for.
const LOOK: Duration = Duration::from_secs(3600);
/// Seconds for which other replicas leave it to the one that began.
const CLAIM: i64 = 3000;

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: what the database does not take is forgotten next time.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    let mut wait = FIRST;
    while token.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        token.run_until_cancelled(look(&app)).await;
        wait = LOOK;
    }
    Ok(())
}

/// Forgets all there is to forget, when no other replica does.
async fn look(app: &App) {
    let now = app.clock.now();
    match app.store.claim_forgetting(now, now.plus_seconds(CLAIM)).await {
        Ok(true) => forget(app, now).await,
        Ok(false) => tracing::debug!("another replica forgets what is old"),
        Err(error) => tracing::warn!(%error, "what is too old cannot be forgotten"),
    }
}

/// What keeps others goes before what it keeps. One kind that cannot be forgotten keeps none of the others.
async fn forget(app: &App, now: Timestamp) {
    if let Err(error) = exporting::end_orphans(app, false).await {
        tracing::warn!(%error, "exports that were left behind cannot be ended");
    }
    note(app, "events", events(app, now).await);
    note(app, "nodes", app.store.forget_nodes(days_before(now, EVENT_DAYS)).await);
    note(app, "spent", spent(app, now).await);
    note(app, "checks", app.store.forget_signature_checks(days_before(now, CHECK_DAYS)).await);
    let (store, keep, piece) = (&app.store, app.settings.keep, PIECE as usize);
    if let Some(before) = before(now, keep.keep_reports_days) {
        note(app, "reports", store.forget_reports(before, piece).await);
    }
    if let Some(before) = before(now, keep.keep_images_days) {
        note(app, "images", images(app, before, now).await);
        note(app, "containers", store.forget_containers(before, piece).await);
        note(app, "strays", store.forget_strays(days_before(now, 1), piece).await);
        note(app, "layers", store.forget_layers(now, days_before(now, 1), PIECE).await);
    }
    if let Some(before) = before(now, keep.keep_scans_days) {
        note(app, "scans", store.forget_scans(before, piece).await);
        note(app, "steps", store.forget_steps(before, PIECE).await);
    }
    note(app, "blobs", store.forget_blobs(now, days_before(now, 1)).await);
}

/// Counts what went, and says so.
fn note(app: &App, kind: &'static str, gone: Result<u64, StoreError>) {
    match gone {
        Ok(0) => {}
        Ok(gone) => {
            app.metrics.forgotten.with_label_values(&[kind]).inc_by(gone);
            tracing::info!(kind, gone, "forgotten");
        }
        Err(error) => tracing::warn!(kind, %error, "what is too old cannot be forgotten"),
    }
}

fn days_before(now: Timestamp, days: i64) -> Timestamp {
    now.plus_seconds(-days * DAY)
}

/// The instant before which things are old that are kept for `days`; none where they are kept for ever.
fn before(now: Timestamp, days: u16) -> Option<Timestamp> {
    (days > 0).then(|| days_before(now, i64::from(days)))
}

async fn spent(app: &App, now: Timestamp) -> Result<u64, StoreError> {
    app.store.forget_spent(now, now.plus_seconds(-BUCKETS), days_before(now, QUOTA_DAYS)).await?;
    Ok(0)
}

async fn events(app: &App, now: Timestamp) -> Result<u64, StoreError> {
    let before = days_before(now, EVENT_DAYS);
    let mut gone = 0;
    loop {
        let piece = app.store.forget_events(before, EVENTS).await?;
        gone += piece;
        if piece < u64::from(EVENTS) {
            return Ok(gone);
        }
    }
}

async fn images(app: &App, before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
    let (mut gone, mut after) = (0, None);
    loop {
        let unused = app.store.unused_images(before, after.as_ref(), IMAGES).await?;
        for (tenant, image) in &unused {
            gone += u64::from(app.store.forget_image(tenant, image, before, now).await?);
        }
        let Some(last) = unused.last().cloned() else { break };
        after = Some(last);
    }
    if gone > 0 {
        // What was published of them is not known any more.
        app.judge.notify_one();
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_old_that_is_kept_for_ever() {
        let now = Timestamp::from_millis(10 * DAY * 1000);
        assert_eq!(before(now, 0), None);
        assert_eq!(before(now, 3), Some(Timestamp::from_millis(7 * DAY * 1000)));
    }
}
