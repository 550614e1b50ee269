//! The queue's worker: moves every open scan as far as it can go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stella_api::node::NodeWork;
use stella_domain::{Digest, Tenant};
use stella_store::{Scan, ScanStatus, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::from_url;
use super::matching::{MatchError, Matched, match_image};
use super::place::node_with;
use super::registry;
use super::rematch::rematch;
use crate::app::App;

/// How often open scans are looked at when nothing happens.
const LOOK: Duration = Duration::from_secs(2);
/// How many images are pulled from registries at once.
const PULLS: usize = 2;

/// Runs until `token` is cancelled.
///
/// # Errors
/// When the database does not answer.
pub async fn run(app: App, token: CancellationToken) -> Result<(), StoreError> {
    let pulls = Arc::new(Semaphore::new(PULLS));
    let mut pulling: JoinSet<Scan> = JoinSet::new();
    let mut busy: BTreeSet<String> = BTreeSet::new();
    loop {
        for scan in app.store.open_scans().await? {
            if busy.contains(&work_id(&scan)) {
                continue;
            }
            if step(&app, &scan).await? == Next::Pull {
                busy.insert(work_id(&scan));
                pulling.spawn(pull(app.clone(), scan, Arc::clone(&pulls)));
            }
        }
        let more = rematch(&app).await?;
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = app.scans_changed.notified() => {}
            Some(done) = pulling.join_next() => {
                if let Ok(scan) = done {
                    busy.remove(&work_id(&scan));
                }
            }
            () = tokio::time::sleep(if more { Duration::ZERO } else { LOOK }) => {}
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Pull,
}

/// Moves one scan on.
async fn step(app: &App, scan: &Scan) -> Result<Next, StoreError> {
    let now = app.clock.now();
    if now >= scan.deadline {
        app.work.done(&work_id(scan));
        let reason = "the time for this scan is over; no node that runs the image answered, and it was not pulled";
        finish(app, scan, ScanStatus::Failed, None, reason).await?;
        return Ok(Next::Wait);
    }
    if scan.source != "url"
        && let Some(image) = stored(app, scan).await?
    {
        conclude(app, scan, &image).await?;
        return Ok(Next::Wait);
    }
    if !matches!(scan.source.as_str(), "registry" | "url")
        && let Some(node) = node_with(app, scan).await?
    {
        if scan.status == ScanStatus::Pending {
            let message = format!("asked node {node} to read the image");
            app.store.advance_scan(scan, ScanStatus::Running, None, &message, now).await?;
            app.progress.notify_waiters();
        }
        let work =
            NodeWork::Read { work_id: work_id(scan), image_ref: scan.reference.clone(), digest: scan.asked_digest };
        app.work.offer(&node, &work_id(scan), work);
        return Ok(Next::Wait);
    }
    let may_pull = match scan.source.as_str() {
        // Nothing is filed under a URL, so without advisories it would be fetched again and again.
        "url" => app.index().is_some(),
        "auto" => scan.reference.is_some(),
        source => source == "registry",
    };
    Ok(if may_pull { Next::Pull } else { Next::Wait })
}

/// The stored image that answers a scan: one read since it was asked for when it is forced, else any.
async fn stored(app: &App, scan: &Scan) -> Result<Option<Digest>, StoreError> {
    for name in scan.asked_digest.map(|digest| digest.to_string()).iter().chain(scan.reference.iter()) {
        let Some(image) = app.store.resolve_image(&scan.tenant, name).await? else { continue };
        if !scan.force {
            return Ok(Some(image));
        }
        if app.store.image(&scan.tenant, &image).await?.is_some_and(|record| record.read_at >= scan.updated_at) {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

/// Matches the image of a scan and ends the scan.
async fn conclude(app: &App, scan: &Scan, image: &Digest) -> Result<(), StoreError> {
    match match_image(app, &scan.tenant, image).await {
        Ok(Matched { findings, notice }) => {
            let told = notice.map(|notice| format!("; {notice}")).unwrap_or_default();
            finish(app, scan, ScanStatus::Succeeded, Some(image), &format!("{findings} findings{told}")).await
        }
        Err(MatchError::NoIndex) => Ok(()),
        Err(MatchError::Store(error)) => Err(error),
        Err(error) => finish(app, scan, ScanStatus::Failed, Some(image), &error.to_string()).await,
    }
}

async fn pull(app: App, scan: Scan, places: Arc<Semaphore>) -> Scan {
    let left = u64::try_from(scan.deadline.seconds_since(app.clock.now())).unwrap_or_default();
    let ended = match tokio::time::timeout(Duration::from_secs(left), read(&app, &scan, &places)).await {
        Ok(ended) => ended,
        Err(_) => fail(&app, &scan, "the time for this scan is over, and the image was not read to its end").await,
    };
    if let Err(error) = ended {
        tracing::error!(scan = scan.id, %error, "the end of a scan could not be kept");
    }
    scan
}

/// Reads the image of a scan when there is a place, and ends the scan.
async fn read(app: &App, scan: &Scan, places: &Semaphore) -> Result<(), StoreError> {
    let Ok(_place) = places.acquire().await else { return Ok(()) };
    let by_url = scan.source == "url";
    let from = if by_url { "" } else { " from its registry" };
    let message = format!("reading {}{from}", scan.shown().unwrap_or_default());
    if !app.store.advance_scan(scan, ScanStatus::Running, None, &message, app.clock.now()).await? {
        // It was called off while it waited.
        return Ok(());
    }
    app.progress.notify_waiters();
    let outcome = if by_url {
        from_url::read(app, scan).await.map_err(|error| error.to_string())
    } else {
        registry::read(app, scan).await.map_err(|error| error.to_string())
    };
    match outcome {
        Ok(image) => conclude(app, scan, &image).await,
        Err(reason) => fail(app, scan, &reason).await,
    }
}

async fn finish(
    app: &App,
    scan: &Scan,
    status: ScanStatus,
    image: Option<&Digest>,
    message: &str,
) -> Result<(), StoreError> {
    if app.store.advance_scan(scan, status, image, message, app.clock.now()).await? {
        app.metrics.scans.with_label_values(&[status.name()]).inc();
        tracing::info!(scan = scan.id, status = status.name(), reference = scan.shown(), message, "scan ended");
    }
    app.work.done(&work_id(scan));
    app.progress.notify_waiters();
    Ok(())
}

/// Ends a scan because its image could not be read.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn fail(app: &App, scan: &Scan, reason: &str) -> Result<(), StoreError> {
    finish(app, scan, ScanStatus::Failed, None, reason).await
}

/// Names a piece of work for a node: tenant, scan and attempt.
fn work_id(scan: &Scan) -> String {
    format!("{}/{}/{}", scan.tenant, scan.id, scan.attempt)
}

/// The tenant and scan that a piece of work belongs to.
#[must_use]
pub fn open_work_id(work_id: &str) -> Option<(Tenant, &str)> {
    let mut parts = work_id.splitn(3, '/');
    Some((parts.next()?.parse().ok()?, parts.next()?))
}
