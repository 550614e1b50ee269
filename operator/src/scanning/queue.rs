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
    if let Some(image) = stored(app, scan).await? {
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
    let Ok(_place) = places.acquire().await else { return scan };
    let reference = scan.reference.clone().unwrap_or_default();
    let message = message_of(&scan.source, &reference);
    let started = app.store.advance_scan(&scan, ScanStatus::Running, None, &message, app.clock.now()).await;
    app.progress.notify_waiters();
    let outcome = match started {
        Ok(_) if scan.source == "url" => {
            from_url::read(&app, &scan.tenant, &reference).await.map_err(|e| e.to_string())
        }
        Ok(_) => registry::read(&app, &scan).await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let ended = match outcome {
        Ok(image) => conclude(&app, &scan, &image).await,
        Err(reason) => finish(&app, &scan, ScanStatus::Failed, None, &reason).await,
    };
    if let Err(error) = ended {
        tracing::error!(scan = scan.id, %error, "the end of a scan could not be kept");
    }
    scan
}

/// What is said when a pull begins.
fn message_of(source: &str, reference: &str) -> String {
    let from = if source == "url" { "" } else { " from its registry" };
    format!("reading {}{from}", shown(source, reference))
}

/// A name as it may stand in a log: the query of a URL may be a signature that lets everybody in.
fn shown<'a>(source: &str, reference: &'a str) -> &'a str {
    if source == "url" { reference.split(['?', '#']).next().unwrap_or_default() } else { reference }
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
        let reference = scan.reference.as_deref().map(|text| shown(&scan.source, text));
        tracing::info!(scan = scan.id, status = status.name(), reference, message, "scan ended");
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
