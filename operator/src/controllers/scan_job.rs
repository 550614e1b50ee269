//! `ScanJob`: one image, or the images of workloads.

use std::collections::BTreeSet;
use std::time::Duration;

use stella_crds::{
    ImageSource, ImageTarget, ReportRef, ScanJob, ScanJobSpec, ScanJobStatus, ScanPhase, SeverityCounts, Threshold,
    WorkloadTarget,
};
use stella_domain::{Digest, Severity, Tenant, Timestamp};
use stella_store::{FindingRow, NewScan, PullSecrets, Scan, ScanSource, ScanStatus};

use super::status::{Conditions, instant, time};
use super::{Observed, ReconcileError, asked_now, schedule};
use crate::app::App;
use crate::namespaces::selects;
use crate::scanning::submit;

/// How often a run in progress is looked at.
const RUNNING: Duration = Duration::from_secs(1);
/// How often a finished one is looked at: its findings change with the feeds, its verdict with what is observed.
const SETTLED: Duration = Duration::from_secs(15);
/// Age in days from which a feed counts as stale.
const STALE_DAYS: i64 = 30;

/// Moves the job on as far as it can go.
///
/// # Errors
/// See [`ReconcileError`].
pub async fn observe(app: &App, job: &ScanJob) -> Result<Observed<ScanJobStatus>, ReconcileError> {
    let namespace = job.metadata.namespace.as_deref().ok_or(ReconcileError::Nameless("namespace"))?;
    let tenant = app.namespaces.tenant_of(namespace);
    let now = app.clock.now();
    let mut status = job.status.clone().unwrap_or_default();
    let generation = job.metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::of(&status.conditions, generation, now);
    status.observed_generation = generation;
    if let Some(reason) = refused(&job.spec) {
        conditions.set("Ready", false, reason.0, reason.1);
        conditions.only_while("Stalled", true, reason.0, reason.1);
        status.conditions = conditions.finish();
        return Ok(Observed { status, again: Duration::from_secs(3600), delete: false });
    }
    conditions.only_while("Stalled", false, "", "");
    if let Some(workloads) = &job.spec.workloads {
        count_workloads(app, &tenant, namespace, workloads, &mut status).await?;
        conditions.set("Ready", true, "Counted", "the images of the selected workloads are counted");
        status.conditions = conditions.finish();
        return Ok(Observed { status, again: SETTLED, delete: false });
    }
    start_if_due(app, job, &tenant, &mut status, now).await?;
    let mut again = SETTLED;
    if let Some(scan) = current_scan(app, &tenant, &status).await? {
        show(app, &job.spec, &scan, &mut status, &mut conditions).await?;
        if !scan.status.is_final() {
            again = RUNNING;
        }
    // Of a scan that was forgotten stands what it said.
    } else if status.scan_id.is_none() {
        conditions.set("Ready", false, "Suspended", "no run has been started");
    }
    if let Some(next) = &status.next_schedule_time {
        let wait = instant(next).seconds_since(now).clamp(1, 15);
        again = again.min(Duration::from_secs(u64::try_from(wait).unwrap_or(15)));
    }
    status.conditions = conditions.finish();
    let over = job.spec.ttl_seconds_after_finished.zip(status.completed_at.as_ref());
    let delete =
        over.is_some_and(|(ttl, ended)| instant(ended).plus_seconds(ttl) <= now && job.spec.schedule.is_none());
    Ok(Observed { status, again, delete })
}

/// What this version cannot act on; said, never ignored.
fn refused(spec: &ScanJobSpec) -> Option<(&'static str, &'static str)> {
    if spec.image.is_some() == spec.workloads.is_some() {
        return Some(("Invalid", "exactly one of spec.image and spec.workloads is needed"));
    }
    if spec.workloads.is_some() && (!spec.image_pull_secrets.is_empty() || spec.service_account_name.is_some()) {
        return Some((
            "Unsupported",
            "spec.imagePullSecrets and spec.serviceAccountName are for spec.image; running images are read on their nodes",
        ));
    }
    if spec.workloads.as_ref().is_some_and(|w| w.selector.is_some() || !w.kinds.is_empty()) {
        return Some(("Unsupported", "spec.workloads.selector and spec.workloads.kinds are not supported yet"));
    }
    if spec.workloads.is_some() && (spec.schedule.is_some() || spec.force) {
        return Some(("Unsupported", "spec.schedule and spec.force with spec.workloads are not supported yet"));
    }
    let readable = |text: &String| schedule::next(text, Timestamp::from_millis(0)).is_ok();
    if !spec.schedule.as_ref().is_none_or(readable) {
        return Some(("Invalid", "spec.schedule is not a cron expression of five fields that ever falls due"));
    }
    schedule::unsupported_zone(spec.time_zone.as_deref()).map(|message| ("Unsupported", message))
}

/// Starts a run: the first one, one that fell due, or one that was asked for by annotation.
async fn start_if_due(
    app: &App,
    job: &ScanJob,
    tenant: &Tenant,
    status: &mut ScanJobStatus,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    let spec = &job.spec;
    let empty = std::collections::BTreeMap::new();
    let asked =
        asked_now(job.metadata.annotations.as_ref().unwrap_or(&empty), status.last_handled_reconcile_at.as_ref());
    let first = status.scan_id.is_none();
    let due = status.next_schedule_time.as_ref().is_some_and(|next| instant(next) <= now);
    if spec.suspend || !(first || due || asked.is_some()) {
        return Ok(());
    }
    let image = spec.image.clone().unwrap_or_default();
    let new = NewScan {
        digest: image.digest.as_deref().and_then(|digest| digest.parse().ok()),
        reference: image.reference,
        source: source(spec.source),
        pull_secrets: pull_secrets(job),
        force: spec.force || due || asked.is_some(),
        metadata: spec.metadata.clone(),
        timeout_seconds: spec.timeout_seconds,
        ..NewScan::default()
    };
    let submitted = submit(app, tenant, new).await?;
    status.scan_id = Some(submitted.scan.id);
    status.started_at = Some(time(now));
    status.completed_at = None;
    status.last_handled_reconcile_at = asked.cloned().or(status.last_handled_reconcile_at.take());
    if due {
        status.last_schedule_time = Some(time(now));
    }
    status.next_schedule_time = match &spec.schedule {
        Some(text) => schedule::next(text, now).ok().map(time),
        None => None,
    };
    Ok(())
}

/// The Secrets of the job's namespace that its image is pulled with.
fn pull_secrets(job: &ScanJob) -> Option<PullSecrets> {
    let secrets = job.spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect();
    let service_account = job.spec.service_account_name.clone();
    Some(PullSecrets { namespace: job.metadata.namespace.clone()?, secrets, service_account })
}

const fn source(source: ImageSource) -> ScanSource {
    match source {
        ImageSource::Auto => ScanSource::Auto,
        ImageSource::Node => ScanSource::Node,
        ImageSource::Registry => ScanSource::Registry,
    }
}

async fn current_scan(app: &App, tenant: &Tenant, status: &ScanJobStatus) -> Result<Option<Scan>, ReconcileError> {
    match &status.scan_id {
        Some(id) => Ok(app.store.scan(tenant, id).await?),
        None => Ok(None),
    }
}

/// Writes what became of the scan into the status.
async fn show(
    app: &App,
    spec: &ScanJobSpec,
    scan: &Scan,
    status: &mut ScanJobStatus,
    conditions: &mut Conditions,
) -> Result<(), ReconcileError> {
    status.phase = Some(match scan.status {
        ScanStatus::Pending => ScanPhase::Pending,
        ScanStatus::Running => ScanPhase::Running,
        ScanStatus::Succeeded => ScanPhase::Succeeded,
        ScanStatus::Failed => ScanPhase::Failed,
        ScanStatus::Cancelled => ScanPhase::Cancelled,
    });
    status.failure_reason = scan.failure.clone().map(|reason| reason.chars().take(1000).collect());
    status.image = Some(ImageTarget {
        reference: scan.reference.clone(),
        digest: scan.digest.or(scan.asked_digest).map(|digest| digest.to_string()),
    });
    conditions.only_while("Reconciling", !scan.status.is_final(), "Scanning", "the image is being scanned");
    match (scan.status, scan.digest) {
        (ScanStatus::Succeeded, Some(digest)) => succeeded(app, spec, scan, digest, status, conditions).await?,
        (ScanStatus::Failed, _) => {
            status.completed_at = Some(time(scan.updated_at));
            conditions.set("Ready", false, "ScanFailed", status.failure_reason.clone().unwrap_or_default());
        }
        (ScanStatus::Cancelled, _) => {
            status.completed_at = Some(time(scan.updated_at));
            conditions.set("Ready", false, "Cancelled", "the scan was called off");
        }
        _ => conditions.set("Ready", false, "Scanning", "the image is being scanned"),
    }
    Ok(())
}

async fn succeeded(
    app: &App,
    spec: &ScanJobSpec,
    scan: &Scan,
    digest: Digest,
    status: &mut ScanJobStatus,
    conditions: &mut Conditions,
) -> Result<(), ReconcileError> {
    let tenant = &scan.tenant;
    let findings = app.store.image_findings(tenant, &digest).await?;
    let report = crate::reports::of_scan(app, scan, &digest).await?;
    let report_id = report.report["reportId"].as_str().unwrap_or_default().to_owned();
    status.summary = Some(counts(&findings));
    status.verdict = report.report["verdict"].as_str().map(str::to_owned);
    status.report = Some(ReportRef { url: format!("/api/v1/reports/{report_id}"), report_id });
    status.read_from = app.store.image_summary(tenant, &digest).await?.map(|image| image.way);
    status.completed_at = Some(time(scan.updated_at));
    status.last_successful_time = Some(time(scan.updated_at));
    conditions.set("Ready", true, "Succeeded", format!("{} findings", findings.len()));
    let least = threshold(spec.threshold);
    let over = findings.iter().filter(|finding| finding.severity >= least && finding.badge != "waived").count();
    let blocked = status.verdict.as_deref() == Some("blocked");
    let message = format!(
        "{over} findings at or over {}, verdict {}",
        least.name(),
        status.verdict.as_deref().unwrap_or("unknown")
    );
    conditions.set("PolicyViolated", over > 0 || blocked, if blocked { "Blocked" } else { "Threshold" }, message);
    stale(app, conditions);
    Ok(())
}

/// Says which feed is old, where one is.
fn stale(app: &App, conditions: &mut Conditions) {
    let Some(index) = app.index() else { return };
    let now = app.clock.now();
    let oldest = index.info().feeds.iter().filter_map(|feed| feed.date.map(|date| (date, &feed.name))).min();
    let Some((date, name)) = oldest else { return };
    let days = now.seconds_since(date) / 86_400;
    conditions.set("DataStale", days >= STALE_DAYS, "FeedAge", format!("the oldest feed, {name}, is {days} days old"));
}

fn threshold(threshold: Threshold) -> Severity {
    match threshold {
        Threshold::Low => Severity::Low,
        Threshold::Medium => Severity::Medium,
        Threshold::High => Severity::High,
        Threshold::Critical => Severity::Critical,
    }
}

fn counts(findings: &[FindingRow]) -> SeverityCounts {
    let mut counts = SeverityCounts::default();
    for finding in findings {
        let place = match finding.severity {
            Severity::Critical => &mut counts.critical,
            Severity::High => &mut counts.high,
            Severity::Medium => &mut counts.medium,
            Severity::Low | Severity::Informational | Severity::None => &mut counts.low,
            Severity::Unknown => &mut counts.unknown,
        };
        *place += 1;
    }
    counts
}

/// Counts the images that run in the selected namespaces, by the state of their scan.
async fn count_workloads(
    app: &App,
    tenant: &Tenant,
    namespace: &str,
    target: &WorkloadTarget,
    status: &mut ScanJobStatus,
) -> Result<(), ReconcileError> {
    let all = app.namespaces.all();
    let selected = |name: &str| match &target.namespace_selector {
        Some(selector) => {
            all.get(name).is_some_and(|known| known.tenant() == *tenant && selects(selector, &known.labels))
        }
        None => name == namespace,
    };
    let generation = app.index().map(|index| index.info().generation.hex());
    let running = app.store.running_containers(tenant).await?;
    let images: BTreeSet<&str> =
        running.iter().filter(|c| selected(&c.namespace)).map(|container| container.image.as_str()).collect();
    let (mut fresh, mut stale) = (0, 0);
    for image in &images {
        let digest = app.store.resolve_image(tenant, image).await?;
        let summary = match digest {
            Some(digest) => app.store.image_summary(tenant, &digest).await?,
            None => None,
        };
        let is_fresh =
            summary.is_some_and(|image| image.matched_generation.is_some() && image.matched_generation == generation);
        if is_fresh { fresh += 1 } else { stale += 1 }
    }
    status.total = i64::try_from(images.len()).ok();
    (status.fresh, status.stale, status.failed, status.excluded) = (Some(fresh), Some(stale), Some(0), Some(0));
    Ok(())
}
