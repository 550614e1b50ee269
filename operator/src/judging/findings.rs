//! One image in one scope.

use stella_api::admission::{ImageDecision, ImageVerdict, WorstFinding};
use stella_api::finding::Finding;
use stella_domain::{Digest, Timestamp};
use stella_policy::{Compiled, Context, Evaluation, FindingInput, TrustClass, evaluate};
use stella_store::FindingRow;

/// The verdict of an image, now and from the next instant on at which time alone changes it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The evaluation behind it.
    pub evaluation: Evaluation,
    /// What holds now.
    pub decision: ImageDecision,
    /// Until when.
    pub valid_until: Option<Timestamp>,
    /// What holds from then on.
    pub next: Option<ImageDecision>,
}

/// What is known of the image beside its findings.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The digest it is filed under.
    pub digest: Digest,
    /// Every name of it: digests and references.
    pub names: &'a [String],
    /// A reference it goes by.
    pub reference: Option<&'a str>,
    /// The environment.
    pub environment: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// Judges the findings of one image by `policies`.
#[must_use]
pub fn judge_image(policies: &[&Compiled], rows: &[FindingRow], subject: &Subject<'_>) -> Judged {
    let findings: Vec<Finding> = rows.iter().filter_map(|row| serde_json::from_str(&row.body).ok()).collect();
    let inputs: Vec<FindingInput> = rows.iter().zip(&findings).map(|(row, finding)| input(row, finding)).collect();
    let context = context(subject);
    let evaluation = evaluate(policies, &inputs, &context);
    let next = evaluation.valid_until.map(|until| {
        let later = evaluate(policies, &inputs, &Context { now: until, ..context.clone() });
        decision(&later, rows, &findings)
    });
    Judged { decision: decision(&evaluation, rows, &findings), valid_until: evaluation.valid_until, next, evaluation }
}

fn context(subject: &Subject<'_>) -> Context {
    let digests = subject.names.iter().filter_map(|name| name.parse().ok()).collect();
    let reference = subject.reference.map(str::to_owned);
    Context {
        repository: reference.as_deref().map(repository),
        image: reference,
        digests,
        namespace: None,
        environment: subject.environment.map(str::to_owned),
        entrypoints: Vec::new(),
        now: subject.now,
    }
}

/// A reference without tag and digest.
fn repository(reference: &str) -> String {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before.to_owned(),
        _ => name.to_owned(),
    }
}

fn input(row: &FindingRow, finding: &Finding) -> FindingInput {
    FindingInput {
        advisory_ids: finding.aliases.clone(),
        source: finding.sources.first().cloned(),
        trust: finding.sources.iter().find_map(|source| trust(source)),
        package: finding.package.name.clone(),
        version: finding.package.version.clone(),
        purl: Some(finding.package.purl.clone()),
        path: Some(finding.location.path.clone()),
        layer: finding.location.layer,
        reachability: row.reach,
        kev: finding.kev,
        epss: finding.epss,
        fix_available: !finding.fixed_in.is_empty(),
        unknown_since: Some(row.first_seen),
        ..FindingInput::new(row.id.clone(), finding.severity)
    }
}

/// Trust by the kind of publisher behind a feed.
fn trust(source: &str) -> Option<TrustClass> {
    match source {
        "Debian" | "Alpine" | "AlmaLinux" => Some(TrustClass::Distro),
        "GHSA" | "npm" | "Go" => Some(TrustClass::Platform),
        other => TrustClass::of_source(other).or(Some(TrustClass::Community)),
    }
}

fn decision(evaluation: &Evaluation, rows: &[FindingRow], findings: &[Finding]) -> ImageDecision {
    let verdict = match evaluation.image {
        stella_policy::ImageVerdict::Pass => ImageVerdict::Pass,
        stella_policy::ImageVerdict::Warn => ImageVerdict::Warn,
        stella_policy::ImageVerdict::Blocked => ImageVerdict::Blocked,
    };
    let worst = evaluation.deciding.iter().take(3).map(|at| WorstFinding {
        advisory_id: findings[*at].advisory_id.clone(),
        package: findings[*at].package.name.clone(),
        version: findings[*at].package.version.clone(),
        severity: findings[*at].severity,
        fixed_in: findings[*at].fixed_in.clone(),
        in_use: rows[*at].reach.in_use(),
    });
    ImageDecision {
        verdict,
        policy: evaluation.decider.as_ref().map(|decider| decider.policy.clone()),
        rule: evaluation.decider.as_ref().map(|decider| decider.rule.clone()),
        worst: worst.collect(),
        count: u32::try_from(evaluation.deciding.len()).unwrap_or(u32::MAX),
        reasons: evaluation.decider.iter().map(|decider| format!("rule: {}", decider.rule)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_lose_tag_and_digest_but_not_the_port() {
        assert_eq!(repository("registry.example.com:5000/team/app:1.2"), "registry.example.com:5000/team/app");
        assert_eq!(repository("registry.example.com:5000/team/app"), "registry.example.com:5000/team/app");
        assert_eq!(repository("team/app:1@sha256:00"), "team/app");
    }
}
