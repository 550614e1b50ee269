//! What a policy would change over everything that is known, before it is put into force.

use std::collections::BTreeMap;

use stella_api::admission::ImageVerdict;
use stella_api::policy::{FindingChange, ImageChange, Impact, ImpactCounts, NamespaceImpact};
use stella_domain::Tenant;

use super::difference::difference;
use super::findings::Judged;
use super::policies::{LoadedPolicy, PolicySet, digest_of};
use super::ruleset::ruleset;
use super::scopes::{Scopes, scopes};
use super::survey::{KnownImage, SurveyError, each_image};
use crate::app::App;

/// The most changes that are listed.
const MOST: usize = 1000;

/// What changes when `candidate` stands in place of the policies named `replaces` of its tenant.
///
/// # Errors
/// See [`SurveyError`].
pub async fn impact(
    app: &App,
    set: &PolicySet,
    candidate: LoadedPolicy,
    replaces: &[String],
) -> Result<Impact, SurveyError> {
    let tenant = candidate.revision.tenant.clone();
    let digest = digest_of(&candidate.document);
    let present = set.by_tenant.get(&tenant).map(Vec::as_slice).unwrap_or_default();
    let replaced: Vec<LoadedPolicy> =
        present.iter().filter(|policy| replaces.contains(&policy.revision.name)).cloned().collect();
    let diff = difference(&ruleset(&replaced).unwrap_or_default(), &candidate.document);
    let (namespaces, ground, now) = (app.namespaces.all(), app.settings.ground(), app.clock.now());
    let (before, after) =
        (scopes(set, &namespaces, ground), scopes(&set.with(candidate, replaces), &namespaces, ground));
    let statements = app.statements.of(&app.store, &tenant).await?;
    let mut seen = Seen::default();
    each_image(app, &tenant, |image| {
        seen.images += 1;
        let mut known: BTreeMap<(&str, &str), (Judged, Judged)> = BTreeMap::new();
        for place in places(image, &tenant, &before, &after) {
            let Some((old, new)) = before.by_id.get(place.before).zip(after.by_id.get(place.after)) else { continue };
            let (old, new) = known
                .entry((place.before, place.after))
                .or_insert_with(|| (image.judge(old, &statements, now), image.judge(new, &statements, now)));
            seen.note(image, place.namespace, old, new);
        }
    })
    .await?;
    seen.changes.sort_by(|a, b| {
        let rank = |change: &ImageChange| (change.namespace.clone(), std::cmp::Reverse(severity(&change.to)));
        rank(a).cmp(&rank(b)).then_with(|| a.image.cmp(&b.image))
    });
    let truncated = seen.changes.len() > MOST;
    seen.changes.truncate(MOST);
    let namespaces = seen.namespaces.into_iter().map(|(namespace, counts)| NamespaceImpact { namespace, counts });
    Ok(Impact {
        policy_digest: digest,
        replaces: replaced.into_iter().map(|policy| policy.revision.name).collect(),
        diff,
        images: seen.images,
        totals: seen.totals,
        namespaces: namespaces.collect(),
        changes: seen.changes,
        truncated,
        issues: Vec::new(),
    })
}

/// Somewhere an image is judged, by which scope now and then.
struct Place<'a> {
    namespace: Option<&'a str>,
    before: &'a str,
    after: &'a str,
}

/// The tenant as a whole, then each namespace of it where the image runs.
fn places<'a>(image: &'a KnownImage, tenant: &Tenant, before: &'a Scopes, after: &'a Scopes) -> Vec<Place<'a>> {
    let whole = before.widest.get(tenant).zip(after.widest.get(tenant));
    let whole = whole.map(|(before, after)| Place { namespace: None, before, after });
    let scope = |found: &'a Scopes, namespace: &str| {
        let named = |name: &str| found.namespaces.iter().find(|entry| entry.namespace == name);
        let entry = named(namespace).or_else(|| named("*")).filter(|entry| entry.tenant == *tenant);
        entry.map(|entry| entry.scope.as_str())
    };
    let running = image.runs_in.iter().filter_map(|namespace| {
        let (before, after) = scope(before, namespace).zip(scope(after, namespace))?;
        Some(Place { namespace: Some(namespace), before, after })
    });
    whole.into_iter().chain(running).collect()
}

#[derive(Default)]
struct Seen {
    images: usize,
    totals: ImpactCounts,
    namespaces: BTreeMap<String, ImpactCounts>,
    changes: Vec<ImageChange>,
}

impl Seen {
    fn note(&mut self, image: &KnownImage, namespace: Option<&str>, old: &Judged, new: &Judged) {
        let (from, to) = (old.decision.verdict, new.decision.verdict);
        let counts = match namespace {
            None => &mut self.totals,
            Some(name) => self.namespaces.entry(name.to_owned()).or_default(),
        };
        match (from, to) {
            (from, to) if from == to => counts.unchanged += 1,
            (_, ImageVerdict::Blocked) => counts.newly_blocked += 1,
            (ImageVerdict::Pass, _) => counts.newly_warned += 1,
            _ => counts.freed += 1,
        }
        let findings = finding_changes(image, old, new);
        if from == to && findings.is_empty() {
            return;
        }
        let decider = new.evaluation.decider.as_ref();
        self.changes.push(ImageChange {
            image: image.summary.digest,
            reference: image.summary.reference.clone(),
            namespace: namespace.map(str::to_owned),
            from: word(from).to_owned(),
            to: word(to).to_owned(),
            decided_by: decider.map(|decider| format!("{}: {}", decider.policy, decider.rule)),
            findings: findings.len(),
            examples: findings.into_iter().take(3).collect(),
        });
    }
}

/// Findings whose status changes, worst first.
fn finding_changes(image: &KnownImage, old: &Judged, new: &Judged) -> Vec<FindingChange> {
    let verdicts = old.evaluation.verdicts.iter().zip(&new.evaluation.verdicts);
    let changed = image.findings.iter().zip(verdicts).filter(|(_, (old, new))| old.status != new.status);
    let told = changed.map(|((row, _), (old, new))| FindingChange {
        advisory_id: row.advisory_id.clone(),
        package: row.purl.clone(),
        from: old.status.name().to_owned(),
        to: new.status.name().to_owned(),
    });
    told.collect()
}

const fn word(verdict: ImageVerdict) -> &'static str {
    match verdict {
        ImageVerdict::Pass => "pass",
        ImageVerdict::Warn => "warn",
        ImageVerdict::Blocked => "blocked",
    }
}

fn severity(word: &str) -> u8 {
    match word {
        "blocked" => 2,
        "warn" => 1,
        _ => 0,
    }
}
