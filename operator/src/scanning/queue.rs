//! The queue's worker: moves every open scan as far as it can go.

use std::convert::Infallible;
use std::time::Duration;

use stella_api::node::NodeWork;
use stella_domain::{Digest, Tenant};
use stella_store::{Scan, ScanSource, ScanStatus, StoreError};
use tokio_util::sync::CancellationToken;

use super::matching::{MatchError, Matched, match_image};
use super::place::node_with;
use super::pulls::Pulls;
use super::rematch::{Round, rematch};
use super::traced::{for_scan, trace};
use super::uploads::end_abandoned;
use crate::app::App;
use crate::signatures::has_further_names;

/// How often open scans are looked at when nothing happens.
const LOOK: Duration = Duration::from_secs(2);

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: what the database does not answer is asked again.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    let (mut pulls, mut round) = (Pulls::default(), Round::default());
    loop {
        let more = turn(&app, &mut pulls, &mut round).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the queue of scans cannot be looked at");
            false
        });
        tokio::select! {
            () = token.cancelled() => {
                if let Err(error) = pulls.stop(&app).await {
                    tracing::warn!(%error, "scans cannot be given back; others take them over when their leases end");
                }
                return Ok(());
            }
            () = app.scans_changed.notified() => {}
            () = pulls.one_ended() => {}
            () = tokio::time::sleep(if more { Duration::ZERO } else { LOOK }) => {}
        }
    }
}

/// Moves every open scan on, and matches images anew that changed advisories concern. Whether there are more of these.
async fn turn(app: &App, pulls: &mut Pulls, round: &mut Round) -> Result<bool, StoreError> {
    let (mut waiting, open) = (Vec::new(), app.store.open_scans().await?);
    app.work.keep(&open.iter().map(work_id).collect());
    for scan in open {
        if !pulls.has(&scan) && step(app, &scan).await? == Next::Pull {
            waiting.push(scan);
        }
    }
    pulls.begin(app, waiting).await?;
    rematch(app, round).await
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
    if scan.source == ScanSource::Upload {
        end_abandoned(app, scan).await?;
        return Ok(Next::Wait);
    }
    if scan.source != ScanSource::Url
        && let Some(image) = stored(app, scan).await?
    {
        for_scan(app, scan, "conclude a scan", conclude(app, scan, &image)).await?;
        return Ok(Next::Wait);
    }
    if scan.source.is_on_nodes()
        && let Some(node) = node_with(app, scan).await?
    {
        if scan.status == ScanStatus::Pending {
            let message = format!("asked node {node} to read the image");
            app.store.advance_scan(scan, ScanStatus::Running, None, &message, now).await?;
            app.progress.moved(&scan.id);
        }
        let work = NodeWork::Read {
            work_id: work_id(scan),
            image_ref: scan.reference.clone(),
            digest: scan.asked_digest,
            traceparent: trace(scan).map(str::to_owned),
        };
        app.work.offer(&node, &work_id(scan), work);
        return Ok(Next::Wait);
    }
    let may_pull = match scan.source {
        // Nothing is filed under a URL, so without advisories it would be fetched again and again.
        ScanSource::Url => app.index().is_some(),
        ScanSource::Auto => scan.reference.is_some(),
        ScanSource::Registry => true,
        ScanSource::Node | ScanSource::Upload | ScanSource::Sbom => false,
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
///
/// # Errors
/// When the database does not answer.
pub(super) async fn conclude(app: &App, scan: &Scan, image: &Digest) -> Result<(), StoreError> {
    match match_image(app, &scan.tenant, image).await {
        Ok(Matched { findings, notice }) => {
            // A tag or an index that came with this scan is looked at with it.
            if scan.force || has_further_names(app, &scan.tenant, image).await? {
                app.store.recheck_image(&scan.tenant, image, app.clock.now()).await?;
            }
            app.signatures.want();
            let told = notice.map(|notice| format!("; {notice}")).unwrap_or_default();
            finish(app, scan, ScanStatus::Succeeded, Some(image), &format!("{findings} findings{told}")).await
        }
        Err(MatchError::NoIndex) => Ok(()),
        Err(MatchError::Store(error)) => Err(error),
        Err(error) => finish(app, scan, ScanStatus::Failed, Some(image), &error.to_string()).await,
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
    app.progress.moved(&scan.id);
    Ok(())
}

/// Ends a scan because its image could not be read.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn fail(app: &App, scan: &Scan, reason: &str) -> Result<(), StoreError> {
    finish(app, scan, ScanStatus::Failed, None, reason).await
}

/// Names a piece of work: tenant, scan and attempt.
pub(super) fn work_id(scan: &Scan) -> String {
    format!("{}/{}/{}", scan.tenant, scan.id, scan.attempt)
}

/// The tenant and scan that a piece of work belongs to.
#[must_use]
pub fn open_work_id(work_id: &str) -> Option<(Tenant, &str)> {
    let mut parts = work_id.splitn(3, '/');
    Some((parts.next()?.parse().ok()?, parts.next()?))
}
