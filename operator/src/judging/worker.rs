//! Works out every verdict anew when something changed, and publishes what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stella_api::admission::{ImageAdmission, ImageVerdict};
use stella_crds::Projection;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_policy::Compiled;
use stella_store::{FindingRow, ImageSummary, StoreError, VerdictSince, VerdictUpdate};
use tokio_util::sync::CancellationToken;

use super::findings::{Judged, Subject, judge_image};
use super::policies::load;
use super::scopes::{Scope, scopes};
use crate::app::App;

/// Changes come in bursts; this long they are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// Verdicts are worked out anew at least this often, for those that time changes.
const AT_LEAST: Duration = Duration::from_secs(30);

/// Runs until `token` is cancelled.
///
/// # Errors
/// When the database does not answer.
pub async fn run(app: App, token: CancellationToken) -> Result<(), StoreError> {
    loop {
        let next_turn = judge_all(&app).await?;
        let wait = next_turn.map_or(AT_LEAST, |at| {
            let millis = (at.as_millis() - app.clock.now().as_millis()).clamp(50, 30_000);
            Duration::from_millis(u64::try_from(millis).unwrap_or(30_000))
        });
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = app.judge.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Everything that verdicts of one tenant's images are worked out from.
struct Images {
    summaries: Vec<ImageSummary>,
    findings: BTreeMap<Digest, Vec<FindingRow>>,
    names: BTreeMap<Digest, Vec<String>>,
    /// Namespaces in which each image runs now.
    runs_in: BTreeMap<Digest, BTreeSet<String>>,
}

async fn images(app: &App, tenant: &Tenant) -> Result<Images, StoreError> {
    let mut all = Images {
        summaries: app.store.images(tenant).await?,
        findings: BTreeMap::new(),
        names: BTreeMap::new(),
        runs_in: BTreeMap::new(),
    };
    // An image that was never matched has no verdict; it counts as not scanned.
    all.summaries.retain(|image| image.matched_generation.is_some());
    let mut by_name = BTreeMap::new();
    for image in &all.summaries {
        let names = app.store.image_names(tenant, &image.digest).await?;
        names.iter().for_each(|name| {
            by_name.insert(name.clone(), image.digest);
        });
        all.names.insert(image.digest, names);
        all.findings.insert(image.digest, app.store.image_findings(tenant, &image.digest).await?);
    }
    for container in app.store.running_containers(tenant).await? {
        if let Some(image) = by_name.get(&container.image) {
            all.runs_in.entry(*image).or_default().insert(container.namespace);
        }
    }
    Ok(all)
}

/// Publishes all verdicts; returns when the next of them changes by time alone.
async fn judge_all(app: &App) -> Result<Option<Timestamp>, StoreError> {
    let (set, now) = (load(&app.store).await?, app.clock.now());
    let ground = app.settings.ground();
    let found = scopes(&set, &app.namespaces.all(), ground);
    let mut by_tenant = BTreeMap::new();
    let mut verdicts = Vec::new();
    for scope in found.by_id.values() {
        if !by_tenant.contains_key(&scope.tenant) {
            by_tenant.insert(scope.tenant.clone(), images(app, &scope.tenant).await?);
        }
        let Some(images) = by_tenant.get(&scope.tenant) else { continue };
        for image in &images.summaries {
            let judged = judge(scope, images, image, now);
            if found.widest.get(&scope.tenant) == Some(&scope.id) {
                keep_findings(app, &scope.tenant, &images.findings[&image.digest], &judged).await?;
            }
            verdicts.push(admission(app, scope, images, image, judged, now).await?);
        }
    }
    let grace_ends = verdicts.iter().flat_map(|verdict| verdict.grace.values().copied());
    let next = verdicts.iter().filter_map(|verdict| verdict.valid_until).chain(grace_ends).filter(|at| *at > now).min();
    app.board.publish(found.namespaces, verdicts, &set.revision, now);
    Ok(next)
}

fn judge(scope: &Scope, images: &Images, image: &ImageSummary, now: Timestamp) -> Judged {
    let policies: Vec<&Compiled> = scope.policies.iter().map(|policy| policy.compiled.as_ref()).collect();
    let subject = Subject {
        digest: image.digest,
        names: &images.names[&image.digest],
        reference: image.reference.as_deref(),
        environment: scope.environment.as_deref(),
        inherits: scope.inherits(),
        now,
    };
    judge_image(&policies, &images.findings[&image.digest], &subject)
}

/// The verdict for the webhooks, with the grace of namespaces where the image ran when it was blocked.
async fn admission(
    app: &App,
    scope: &Scope,
    images: &Images,
    image: &ImageSummary,
    judged: Judged,
    now: Timestamp,
) -> Result<ImageAdmission, StoreError> {
    let runs_in = images.runs_in.get(&image.digest).into_iter().flatten().cloned().collect();
    let verdict = verdict_name(judged.decision.verdict).to_owned();
    let new = VerdictSince { verdict, since: now, ran_in: runs_in };
    let held = app.store.note_verdict(&scope.tenant, &scope.id, &image.digest, &new).await?;
    let until = held.since.plus_seconds(scope.grace_seconds());
    let graced = judged.decision.verdict == ImageVerdict::Blocked && until > now;
    let names = &images.names[&image.digest];
    Ok(ImageAdmission {
        scope: scope.id.clone(),
        image: image.digest,
        digests: names.iter().filter_map(|name| name.parse().ok()).collect(),
        references: names.iter().filter(|name| name.parse::<Digest>().is_err()).cloned().collect(),
        decision: judged.decision,
        valid_until: judged.valid_until,
        next: judged.next,
        grace: held.ran_in.into_iter().filter(|_| graced).map(|namespace| (namespace, until)).collect(),
    })
}

const fn verdict_name(verdict: ImageVerdict) -> &'static str {
    match verdict {
        ImageVerdict::Pass => "pass",
        ImageVerdict::Warn => "warn",
        ImageVerdict::Blocked => "blocked",
    }
}

/// Keeps the verdicts of findings where they changed, for lists.
async fn keep_findings(app: &App, tenant: &Tenant, rows: &[FindingRow], judged: &Judged) -> Result<(), StoreError> {
    let mut updates = Vec::new();
    for (row, verdict) in rows.iter().zip(&judged.evaluation.verdicts) {
        let Ok(text) = serde_json::to_string(verdict) else { continue };
        if text != row.verdict {
            let badge = badge(verdict);
            updates.push(VerdictUpdate { id: row.id.clone(), badge, verdict: text });
        }
    }
    if !updates.is_empty() {
        app.store.set_verdicts(tenant, &updates).await?;
    }
    Ok(())
}

fn badge(verdict: &stella_policy::FindingVerdict) -> String {
    let name = serde_json::to_value(verdict.status.badge()).unwrap_or_default();
    name.as_str().unwrap_or("pass").to_owned()
}

/// What one policy alone does to the images of its tenant, or would do if it enforced. `inherits` is the policy's
/// `admission.inheritEvidence`.
///
/// # Errors
/// When the database does not answer.
pub async fn projection(
    app: &App,
    tenant: &Tenant,
    policy: &Compiled,
    inherits: bool,
) -> Result<Projection, StoreError> {
    let images = images(app, tenant).await?;
    let mut projection = Projection::default();
    for image in &images.summaries {
        let subject = Subject {
            digest: image.digest,
            names: &images.names[&image.digest],
            reference: image.reference.as_deref(),
            environment: None,
            inherits,
            now: app.clock.now(),
        };
        let judged = judge_image(&[policy], &images.findings[&image.digest], &subject);
        projection.images += 1;
        match judged.decision.verdict {
            ImageVerdict::Blocked => projection.blocked += 1,
            ImageVerdict::Warn => projection.warned += 1,
            ImageVerdict::Pass => {}
        }
    }
    Ok(projection)
}
