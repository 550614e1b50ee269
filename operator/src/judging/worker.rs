//! Works out verdicts anew when something changed, those of one image or all of them, and publishes what differs.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use stella_api::admission::{ImageAdmission, ImageVerdict};
use stella_crds::{PolicySpec, Projection};
use stella_domain::{Hasher, Tenant, Timestamp};
use stella_policy::Compiled;
use stella_store::{ImageSummary, StoreError, VerdictSince, VerdictUpdate};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entry::{confirmed_at, entry, told_names};
use super::findings::{Judged, kept};
use super::pending::Asked;
use super::policies::{load, unscanned};
use super::scopes::{Scope, Scopes, scopes};
use super::survey::{KnownImage, SurveyError, each_image, known_images};
use crate::app::App;
use crate::signatures::{Demand, Provenance};

/// Changes come in bursts; this long they are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// All verdicts are worked out anew at least this often, unless that takes long.
const AT_LEAST: Duration = Duration::from_secs(30);

/// When the database did not answer, it is asked again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// Looking at everything may take this part of the time when nothing asks for it.
const SHARE: u32 = 10;

/// Runs until `token` is cancelled.
///
/// # Errors
/// Never: while the database does not answer, what was published stands.
pub async fn run(app: App, token: CancellationToken) -> Result<(), Infallible> {
    loop {
        let began = Instant::now();
        let next_turn = match judge_all(&app).await {
            Ok(next_turn) => next_turn,
            Err(error) => {
                tracing::warn!(%error, "verdicts cannot be worked out");
                match token.run_until_cancelled(tokio::time::sleep(AGAIN)).await {
                    Some(()) => continue,
                    None => return Ok(()),
                }
            }
        };
        let mut until = due(&app, next_turn, AT_LEAST.max(began.elapsed() * SHARE));
        // Until all of them have to be looked at, single images are.
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = app.judge.notified() => {
                    tokio::time::sleep(GATHER).await;
                    break;
                }
                () = tokio::time::sleep_until(until) => break,
                () = app.unjudged.added() => {
                    tokio::time::sleep(GATHER).await;
                    match judge_some(&app).await {
                        Ok(Some(next_turn)) => until = until.min(due(&app, next_turn, AT_LEAST)),
                        Ok(None) => break,
                        Err(error) => {
                            tracing::warn!(%error, "verdicts of images cannot be worked out");
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// When to look again: at the next instant at which time alone changes a verdict, and at the latest after `most`.
fn due(app: &App, next_turn: Option<Timestamp>, most: Duration) -> Instant {
    let wait = next_turn.map_or(most, |at| {
        let millis = (at.as_millis() - app.clock.now().as_millis()).max(50);
        most.min(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
    });
    Instant::now() + wait
}

/// Publishes all verdicts; returns when the next of them changes by time alone.
async fn judge_all(app: &App) -> Result<Option<Timestamp>, SurveyError> {
    // What is asked for from here on is not seen by this look.
    drop(app.unjudged.take());
    let (set, now) = (load(app).await?, app.clock.now());
    let found = scopes(&set, &app.namespaces.all(), app.settings.ground());
    let mut verdicts = Vec::new();
    // What is written here is noticed here; only others have to be looked for.
    let mut seen = app.store.is_shared().then(Hasher::new);
    for tenant in found.by_id.values().map(|scope| &scope.tenant).collect::<BTreeSet<_>>() {
        let mut images = known_images(app, tenant).await?;
        while let Some(image) = images.next().await.transpose()? {
            if let Some(seen) = &mut seen {
                image.name_into(seen);
            }
            verdicts.extend(judge(app, &found, tenant, &image, now).await?);
        }
    }
    if let Some(seen) = seen {
        app.unjudged.surveyed(seen.finish());
    }
    let next = next_turn(&verdicts, now);
    app.board.publish(found.namespaces, verdicts, &set.revision, now);
    Ok(next)
}

/// Publishes the verdicts of images that ask for them; returns when the next of these changes by time alone. `None` when more
/// than these images changed since everything was looked at.
async fn judge_some(app: &App) -> Result<Option<Option<Timestamp>>, StoreError> {
    let (set, now) = (load(app).await?, app.clock.now());
    let found = scopes(&set, &app.namespaces.all(), app.settings.ground());
    if set.revision != app.board.revision() {
        return Ok(None);
    }
    let mut verdicts = Vec::new();
    for ((tenant, image), asked) in app.unjudged.take() {
        if !found.widest.contains_key(&tenant) {
            continue;
        }
        let Some(summary) = app.store.image_summary(&tenant, &image).await? else { continue };
        verdicts.extend(judge_one(app, &found, &set.revision, &tenant, summary, asked, now).await?);
    }
    let next = next_turn(&verdicts, now);
    app.board.publish_images(verdicts, now);
    Ok(Some(next))
}

/// The verdicts of one image in every scope of its tenant, worked out as far as they are not known.
async fn judge_one(
    app: &App,
    found: &Scopes,
    revision: &str,
    tenant: &Tenant,
    summary: ImageSummary,
    asked: Asked,
    now: Timestamp,
) -> Result<Vec<ImageAdmission>, StoreError> {
    let scopes: Vec<&Scope> = found.by_id.values().filter(|scope| scope.tenant == *tenant).collect();
    match (asked, &scopes[..]) {
        (Asked::Known(known), [scope]) if known.scope == scope.id && known.revision == revision => {
            let Some(image) = KnownImage::load(app, tenant, summary, false).await? else { return Ok(Vec::new()) };
            return Ok(vec![admission(app, scope, &image, known.judged, now).await?]);
        }
        (Asked::Confirmation, _) => {
            if let Some(confirmed) = confirmed(app, tenant, &scopes, &summary, now).await? {
                return Ok(confirmed);
            }
        }
        _ => {}
    }
    let Some(image) = KnownImage::load(app, tenant, summary, true).await? else { return Ok(Vec::new()) };
    judge(app, found, tenant, &image, now).await
}

/// The verdicts of an image as they were published, with the time at which they were confirmed since. `None` where one is missing,
/// or is of an image that goes by other names since: policies look at them.
async fn confirmed(
    app: &App,
    tenant: &Tenant,
    scopes: &[&Scope],
    summary: &ImageSummary,
    now: Timestamp,
) -> Result<Option<Vec<ImageAdmission>>, StoreError> {
    let published = scopes.iter().map(|scope| app.board.image(&scope.id, &summary.digest));
    let Some(published) = published.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let names = app.store.image_names(tenant, &summary.digest).await?;
    let are_demanding = scopes.iter().any(|scope| scope.demands().next().is_some());
    let provenance =
        if are_demanding { Provenance::load(app, tenant, &summary.digest).await? } else { Provenance::default() };
    let mut verdicts = Vec::new();
    for (scope, published) in scopes.iter().zip(published) {
        let (digests, references) = told_names(scope, &names, &provenance, &published.decision, &published.grace, now);
        if (&published.digests, &published.references) != (&digests, &references) {
            return Ok(None);
        }
        verdicts.push(ImageAdmission { confirmed_at: confirmed_at(scope, summary), ..published });
    }
    Ok(Some(verdicts))
}

fn next_turn(verdicts: &[ImageAdmission], now: Timestamp) -> Option<Timestamp> {
    let grace_ends = verdicts.iter().flat_map(|verdict| verdict.grace.values().copied());
    verdicts.iter().filter_map(|verdict| verdict.valid_until).chain(grace_ends).filter(|at| *at > now).min()
}

/// The verdicts of one image in every scope of its tenant; those of the widest are kept for lists.
async fn judge(
    app: &App,
    found: &Scopes,
    tenant: &Tenant,
    image: &KnownImage,
    now: Timestamp,
) -> Result<Vec<ImageAdmission>, StoreError> {
    let statements = app.statements.of(&app.store, tenant).await?;
    let mut verdicts = Vec::new();
    for scope in found.by_id.values().filter(|scope| scope.tenant == *tenant) {
        let judged = image.judge(scope, &statements, now);
        if found.widest.get(tenant) == Some(&scope.id) {
            keep_findings(app, tenant, image, &judged).await?;
        }
        verdicts.push(admission(app, scope, image, judged, now).await?);
    }
    Ok(verdicts)
}

/// The verdict for the webhooks, with the grace of namespaces where the image ran when it was blocked.
async fn admission(
    app: &App,
    scope: &Scope,
    image: &KnownImage,
    judged: Judged,
    now: Timestamp,
) -> Result<ImageAdmission, StoreError> {
    let digest = image.summary.digest;
    let runs_in = image.runs_in.iter().cloned().collect();
    let verdict = verdict_name(judged.decision.verdict).to_owned();
    let new = VerdictSince { verdict, since: now, ran_in: runs_in };
    let held = app.store.note_verdict(&scope.tenant, &scope.id, &digest, &new).await?;
    let until = held.since.plus_seconds(scope.grace_seconds());
    let graced = judged.decision.verdict == ImageVerdict::Blocked && until > now;
    let grace = held.ran_in.into_iter().filter(|_| graced).map(|namespace| (namespace, until)).collect();
    Ok(entry(scope, image, judged, grace, now))
}

const fn verdict_name(verdict: ImageVerdict) -> &'static str {
    match verdict {
        ImageVerdict::Pass => "pass",
        ImageVerdict::Warn => "warn",
        ImageVerdict::Blocked => "blocked",
    }
}

/// Keeps the verdicts of findings where they changed, for lists.
async fn keep_findings(app: &App, tenant: &Tenant, image: &KnownImage, judged: &Judged) -> Result<(), StoreError> {
    let mut updates = Vec::new();
    for ((row, _), verdict) in image.findings.iter().zip(&judged.evaluation.verdicts) {
        let Some((badge, verdict)) = kept(verdict) else { continue };
        if verdict != row.verdict {
            updates.push(VerdictUpdate { id: row.id.clone(), badge, verdict });
        }
    }
    if !updates.is_empty() {
        app.store.set_verdicts(tenant, &image.summary.digest, &updates).await?;
    }
    Ok(())
}

/// What one policy alone does to the images of its tenant, or would do if it enforced, and when time alone changes that.
/// `spec` is the policy's, and `demand` what it demands of signatures.
///
/// # Errors
/// See [`SurveyError`].
pub async fn projection(
    app: &App,
    tenant: &Tenant,
    policy: &Compiled,
    spec: &PolicySpec,
    demand: Option<&Demand>,
) -> Result<(Projection, Option<Timestamp>), SurveyError> {
    let (statements, now) = (app.statements.of(&app.store, tenant).await?, app.clock.now());
    let (mut projection, mut until) = (Projection::default(), None);
    each_image(app, tenant, |image| {
        projection.images += 1;
        let judged = image.judge_by(&[policy], None, spec.admission.inherit_evidence, &statements, now);
        let judged = judged.with_demands(&image.provenance, demand.as_slice(), unscanned(spec), now);
        until = until.into_iter().chain(judged.valid_until).min();
        match judged.decision.verdict {
            ImageVerdict::Blocked => projection.blocked += 1,
            ImageVerdict::Warn => projection.warned += 1,
            ImageVerdict::Pass => {}
        }
    })
    .await?;
    Ok((projection, until))
}
