//! `ExportProfile`: runs on a schedule, once, or on request.

use std::time::Duration;

use stella_crds::{ExportProfile, ExportProfileStatus, ExportRunSummary};
use stella_domain::Timestamp;

use super::status::{Conditions, instant, time};
use super::{Observed, ReconcileError, asked_now, schedule};
use crate::app::App;
use crate::exporting;

/// How long to wait when nothing is due.
const IDLE: Duration = Duration::from_secs(300);

/// Runs the profile when it is due.
///
/// # Errors
/// See [`ReconcileError`]. A run that fails is no error: it stands in the status.
pub async fn observe(app: &App, profile: &ExportProfile) -> Result<Observed<ExportProfileStatus>, ReconcileError> {
    let namespace = profile.metadata.namespace.as_deref().ok_or(ReconcileError::Nameless("namespace"))?;
    let name = profile.metadata.name.as_deref().ok_or(ReconcileError::Nameless("name"))?;
    let tenant = app.namespaces.tenant_of(namespace);
    let now = app.clock.now();
    let generation = profile.metadata.generation.unwrap_or_default();
    let mut status = profile.status.clone().unwrap_or_default();
    let mut conditions = Conditions::of(&status.conditions, generation, now);
    let changed = status.observed_generation != generation;
    status.observed_generation = generation;
    let profile_id = format!("export-profile::{tenant}::{name}");
    status.profile_id = Some(profile_id.clone());

    let zone = schedule::unsupported_zone(profile.spec.time_zone.as_deref());
    if let Some(what) = exporting::unsupported(&profile.spec).or(zone) {
        conditions.set("Ready", false, "Unsupported", format!("{what} is not supported yet, and is not ignored"));
        status.conditions = conditions.finish();
        return Ok(Observed { status, again: IDLE, delete: false });
    }
    let empty = std::collections::BTreeMap::new();
    let annotations = profile.metadata.annotations.as_ref().unwrap_or(&empty);
    let asked = asked_now(annotations, status.last_handled_reconcile_at.as_ref()).cloned();
    let fell_due = status.next_run_time.as_ref().is_some_and(|next| instant(next) <= now);
    let once = profile.spec.schedule.is_none() && (status.last_run.is_none() || changed);
    if !profile.spec.suspend && (fell_due || once || asked.is_some()) {
        run(app, profile, &tenant, &profile_id, &mut status, &mut conditions).await;
        status.last_handled_reconcile_at = asked.or(status.last_handled_reconcile_at.take());
    } else if status.last_run.is_none() {
        conditions.set("Ready", true, "Waiting", "no run has fallen due yet");
    }
    let again = plan(profile, &mut status, &mut conditions, now);
    status.conditions = conditions.finish();
    Ok(Observed { status, again, delete: false })
}

async fn run(
    app: &App,
    profile: &ExportProfile,
    tenant: &stella_domain::Tenant,
    profile_id: &str,
    status: &mut ExportProfileStatus,
    conditions: &mut Conditions,
) {
    let started = app.clock.now();
    match exporting::run(app, tenant, profile_id, &profile.spec).await {
        Ok(done) => {
            let ended = app.clock.now();
            status.last_run = Some(ExportRunSummary {
                run_id: done.run_id,
                status: "succeeded".to_owned(),
                started_at: Some(time(done.started_at)),
                completed_at: Some(time(ended)),
                artifacts: i64::try_from(done.artifacts).unwrap_or(i64::MAX),
                manifest_sha256: Some(done.manifest_sha256),
            });
            status.last_successful_time = Some(time(ended));
            conditions.set("Ready", true, "Succeeded", format!("{} artifacts", done.artifacts));
        }
        Err(error) => {
            tracing::warn!(profile = profile_id, %error, "an export failed");
            status.last_run = Some(ExportRunSummary {
                run_id: String::new(),
                status: "failed".to_owned(),
                started_at: Some(time(started)),
                completed_at: Some(time(app.clock.now())),
                artifacts: 0,
                manifest_sha256: None,
            });
            conditions.set("Ready", false, "ExportFailed", error.to_string());
        }
    }
}

/// Sets when the next run falls due; tells when to look again.
fn plan(
    profile: &ExportProfile,
    status: &mut ExportProfileStatus,
    conditions: &mut Conditions,
    now: Timestamp,
) -> Duration {
    let Some(text) = &profile.spec.schedule else {
        status.next_run_time = None;
        return IDLE;
    };
    match schedule::next(text, now) {
        Ok(next) => {
            status.next_run_time = Some(time(next));
            Duration::from_secs(u64::try_from(next.seconds_since(now).clamp(1, 300)).unwrap_or(300))
        }
        Err(message) => {
            status.next_run_time = None;
            conditions.set("Ready", false, "Invalid", format!("spec.schedule: {message}"));
            IDLE
        }
    }
}
