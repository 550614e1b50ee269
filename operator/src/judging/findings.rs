//! One image in one scope.

use std::borrow::Borrow;
use std::cmp::Reverse;

use stella_advisory::vex::Shelf;
use stella_api::admission::{ImageDecision, ImageVerdict, UnscannedAction, VerdictConfidence, WorstFinding};
use stella_api::finding::Finding;
use stella_domain::{Digest, Reachability, Tenant, Timestamp};
use stella_judged::{policy_input, statements};
use stella_policy::{Compiled, Context, Evaluation, FindingInput, FindingVerdict, Waived, evaluate, waived};
use stella_store::{FindingRow, StoreError};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::said::said_of;
use crate::app::App;
use crate::signatures::{Demand, Provenance};

/// Findings that rules alone are asked about at once. To let others work costs a change of threads, which takes longer.
const FEW: usize = 1000;

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
    /// Paths of the processes that its containers were started with.
    pub entrypoints: &'a [String],
    /// Whether use in other images of the repository counts where none of this one is known.
    pub inherits: bool,
    /// What others say.
    pub statements: &'a Shelf,
    /// Now.
    pub now: Timestamp,
}

impl Judged {
    /// The same with what is demanded of the image's signatures. Time alone changes nothing of that: what was found is looked for
    /// again before it expires, and is published then.
    #[must_use]
    pub fn with_demands(
        mut self,
        provenance: &Provenance,
        demands: &[&Demand],
        unscanned: UnscannedAction,
        now: Timestamp,
    ) -> Self {
        let decide = |decision| provenance.decide(decision, demands.iter().copied(), unscanned, now);
        (self.decision, self.next) = (decide(self.decision), self.next.map(decide));
        self
    }
}

impl Subject<'_> {
    fn reach(&self, row: &FindingRow) -> Reachability {
        let inherited = self.inherits && row.reach == Reachability::Unknown && row.inherited_reach.in_use();
        if inherited { row.inherited_reach } else { row.reach }
    }
}

/// A finding as it is kept, with the facts in it.
pub type Facts<'a> = (&'a FindingRow, &'a Finding);

/// The facts in `rows`. What cannot be read is left out, together with its row, and said.
pub fn readable<R: Borrow<FindingRow>>(rows: impl IntoIterator<Item = R>) -> Vec<(R, Finding)> {
    let read = |row: R| match serde_json::from_str(&row.borrow().body) {
        Ok(finding) => Some((row, finding)),
        Err(error) => {
            tracing::error!(finding = row.borrow().id, %error, "a stored finding cannot be read, so no policy sees it");
            None
        }
    };
    rows.into_iter().filter_map(read).collect()
}

/// Judges the findings of one image by `policies`; verdicts are in the order of `findings`.
#[must_use]
pub fn judge_image(policies: &[&Compiled], findings: &[Facts<'_>], subject: &Subject<'_>) -> Judged {
    let inputs = inputs(findings, subject);
    let context = context(subject);
    let evaluation = evaluated(policies, &inputs, &context);
    for failure in &evaluation.failures {
        tracing::warn!(policy = failure.policy, error = %failure.error, "a policy gave no answer, so the image is blocked");
    }
    let next = evaluation.valid_until.map(|until| {
        let later = evaluated(policies, &inputs, &Context { now: until, ..context.clone() });
        decision(&later, findings, subject)
    });
    Judged { decision: decision(&evaluation, findings, subject), valid_until: evaluation.valid_until, next, evaluation }
}

/// What each waiver of `policies` hides of the findings of one image.
#[must_use]
pub fn waived_of(policies: &[&Compiled], findings: &[Facts<'_>], subject: &Subject<'_>) -> Vec<Waived> {
    let (inputs, context) = (inputs(findings, subject), context(subject));
    in_its_time(|| waived(policies, &inputs, &context))
}

fn inputs(findings: &[Facts<'_>], subject: &Subject<'_>) -> Vec<FindingInput> {
    findings.iter().map(|(row, finding)| input(row, finding, subject)).collect()
}

/// Paths of the processes that containers of the image were started with, where one of `policies` asks for them.
///
/// # Errors
/// When the database does not answer.
pub async fn entrypoints(
    app: &App,
    tenant: &Tenant,
    names: &[String],
    policies: &[&Compiled],
) -> Result<Vec<String>, StoreError> {
    if policies.iter().any(|policy| policy.asks_for_entrypoints()) {
        app.store.entrypoints_of(tenant, names).await
    } else {
        Ok(Vec::new())
    }
}

/// Evaluates. Where that may take long, others are let work meanwhile: Rego may take seconds.
#[must_use]
pub fn evaluated(policies: &[&Compiled], inputs: &[FindingInput], context: &Context) -> Evaluation {
    let is_long = inputs.len() > FEW || policies.iter().any(|policy| policy.has_rego());
    if is_long { in_its_time(|| evaluate(policies, inputs, context)) } else { evaluate(policies, inputs, context) }
}

fn in_its_time<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// What lists keep of a finding's verdict: the console's word, and the verdict as JSON.
pub(super) fn kept(verdict: &FindingVerdict) -> Option<(String, String)> {
    let badge = match serde_json::to_value(verdict.status.badge()) {
        Ok(serde_json::Value::String(badge)) => badge,
        _ => "pass".to_owned(),
    };
    Some((badge, serde_json::to_string(verdict).ok()?))
}

fn context(subject: &Subject<'_>) -> Context {
    let digests = subject.names.iter().filter_map(|name| name.parse().ok()).collect();
    let reference = subject.reference.map(str::to_owned);
    Context {
        repository: reference.as_deref().map(repository),
        image: reference,
        digests,
        environment: subject.environment.map(str::to_owned),
        entrypoints: subject.entrypoints.to_vec(),
        now: subject.now,
    }
}

/// A reference without tag and digest.
pub(crate) fn repository(reference: &str) -> String {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before.to_owned(),
        _ => name.to_owned(),
    }
}

fn input(row: &FindingRow, finding: &Finding, subject: &Subject<'_>) -> FindingInput {
    FindingInput {
        id: row.id.clone(),
        reachability: subject.reach(row),
        vex: said_of(finding, subject).as_ref().map(statements).unwrap_or_default(),
        unknown_since: Some(row.first_seen),
        ..policy_input(finding)
    }
}

fn decision(evaluation: &Evaluation, findings: &[Facts<'_>], subject: &Subject<'_>) -> ImageDecision {
    let verdict = match evaluation.image {
        stella_policy::ImageVerdict::Pass => ImageVerdict::Pass,
        stella_policy::ImageVerdict::Warn => ImageVerdict::Warn,
        stella_policy::ImageVerdict::Blocked => ImageVerdict::Blocked,
    };
    let worst = evaluation.deciding.iter().take(3).map(|at| {
        let (row, finding) = findings[*at];
        WorstFinding {
            advisory_id: finding.advisory_id.clone(),
            package: finding.package.name.clone(),
            version: finding.package.version.clone(),
            severity: finding.severity,
            fixed_in: finding.fixed_in.clone(),
            in_use: subject.reach(row).in_use(),
            inherited: !row.reach.in_use() && subject.reach(row).in_use(),
        }
    });
    ImageDecision {
        verdict,
        policy: evaluation.decider.as_ref().map(|decider| decider.policy.clone()),
        rule: evaluation.decider.as_ref().map(|decider| decider.rule.clone()),
        worst: worst.collect(),
        count: u32::try_from(evaluation.deciding.len()).unwrap_or(u32::MAX),
        reasons: reasons(evaluation),
        failed: !evaluation.failures.is_empty(),
        quieted_by: quieted_by(evaluation, findings),
        signed: false,
        sbom: false,
        confidence: confidence(evaluation),
    }
}

/// The policies that gave no answer, else the rule that decided.
fn reasons(evaluation: &Evaluation) -> Vec<String> {
    let failed: Vec<String> =
        evaluation.failures.iter().map(|failure| format!("policy.failed: {}", failure.policy)).collect();
    let decided = evaluation.decider.iter().filter(|_| failed.is_empty());
    decided.map(|decider| format!("rule: {}", decider.rule)).chain(failed.iter().cloned()).collect()
}

/// Who hides the worst finding that does not count.
fn quieted_by(evaluation: &Evaluation, findings: &[Facts<'_>]) -> Option<String> {
    let hidden = evaluation.verdicts.iter().zip(findings).filter(|(verdict, _)| verdict.quieted_by.is_some());
    let worst = hidden.min_by_key(|(verdict, (row, _))| (Reverse(verdict.severity), &row.id))?;
    worst.0.quieted_by.clone()
}

/// The least confidence among the findings that the verdict rests on.
fn confidence(evaluation: &Evaluation) -> Option<VerdictConfidence> {
    let all = || (0..evaluation.verdicts.len()).collect();
    let rests_on = if evaluation.deciding.is_empty() { all() } else { evaluation.deciding.clone() };
    let known = rests_on.into_iter().filter_map(|at| {
        let verdict = &evaluation.verdicts[at];
        verdict.unknown_confidence.zip(verdict.confidence_band)
    });
    let (value, band) = known.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(VerdictConfidence { value, band: band.name().to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stella_policy::{Format, ImageVerdict as Verdict, parse};

    use super::*;

    fn row(id: &str, body: String, reach: Reachability, inherited_reach: Reachability) -> FindingRow {
        FindingRow {
            id: id.into(),
            digest: Digest::of("new"),
            rank: 0,
            severity: stella_domain::Severity::High,
            advisory_id: "CVE-2026-0001".into(),
            names: Vec::new(),
            component: 0,
            purl: "pkg:pypi/a@1".into(),
            kev: false,
            fixed: false,
            reach,
            reach_reason: String::new(),
            evidence: "[]".into(),
            inherited_reach,
            inherited: "[]".into(),
            badge: "pass".into(),
            verdict: "{}".into(),
            body,
            first_seen: Timestamp::from_millis(0),
        }
    }

    fn subject<'a>(statements: &'a Shelf, entrypoints: &'a [String]) -> Subject<'a> {
        Subject {
            digest: Digest::of("new"),
            names: &[],
            reference: None,
            environment: None,
            entrypoints,
            inherits: false,
            statements,
            now: Timestamp::from_millis(0),
        }
    }

    fn body(id: &str) -> String {
        json!({"findingId": id, "advisoryId": id, "aliases": [], "severity": "High", "cvss": null, "kev": false, "epss": null,
               "package": {"name": "a", "version": "1", "ecosystem": "PyPI", "purl": "pkg:pypi/a@1", "source": null},
               "location": {"path": "p", "layer": null}, "fixedIn": [], "summary": "", "sources": [],
               "reachability": {"status": "unknown", "evidence": []}, "verdict": {}, "vex": null})
        .to_string()
    }

    #[test]
    fn a_damaged_row_does_not_shift_the_facts_of_those_after_it() {
        let unknown = Reachability::Unknown;
        let rows =
            [("a", body("a")), ("b", "{".to_owned()), ("c", body("c"))].map(|(id, b)| row(id, b, unknown, unknown));
        let read: Vec<(String, String)> =
            readable(&rows).into_iter().map(|(row, f)| (row.id.clone(), f.finding_id)).collect();
        assert_eq!(read, [("a".to_owned(), "a".to_owned()), ("c".to_owned(), "c".to_owned())]);
    }

    #[test]
    fn use_is_inherited_until_there_is_some_of_its_own() {
        let shelf = Shelf::default();
        let subject = |inherits| Subject { inherits, ..subject(&shelf, &[]) };
        let row = |reach, inherited_reach| row("f", "{}".into(), reach, inherited_reach);
        let (unknown, runtime, unused) = (Reachability::Unknown, Reachability::Runtime, Reachability::Unreachable);
        assert_eq!(subject(true).reach(&row(unknown, runtime)), runtime);
        assert_eq!(subject(false).reach(&row(unknown, runtime)), unknown, "only where a policy asks for it");
        assert_eq!(subject(true).reach(&row(unused, runtime)), unused, "its own observation goes first");
        assert_eq!(subject(true).reach(&row(unknown, unused)), unknown, "that it was not used is not inherited");
    }

    #[test]
    fn a_rule_may_name_what_containers_were_started_with() {
        let text =
            "version: '1.0'\nrules: [{name: python, match: {usedByEntrypoint: ['/usr/bin/python3*']}, action: block}]";
        let document = parse(text, Format::Yaml).accept().unwrap();
        let policy = Compiled::new("p", 0, &document).unwrap();
        let (shelf, started) = (Shelf::default(), ["/usr/bin/python3.11".to_owned()]);
        let verdict = |reach, started: &[String]| {
            let rows = [row("f", body("f"), reach, Reachability::Unknown)];
            let read = readable(&rows);
            let facts: Vec<Facts<'_>> = read.iter().map(|(row, finding)| (*row, finding)).collect();
            judge_image(&[&policy], &facts, &subject(&shelf, started)).evaluation.image
        };
        assert_eq!(verdict(Reachability::Runtime, &started), Verdict::Blocked);
        assert_eq!(verdict(Reachability::Unreachable, &started), Verdict::Pass, "it does not use the package");
        assert_eq!(verdict(Reachability::Runtime, &["/bin/sh".to_owned()]), Verdict::Pass);
        assert_eq!(verdict(Reachability::Runtime, &[]), Verdict::Pass);
    }

    #[test]
    fn a_decision_tells_how_sure_it_is_and_who_hides_the_worst() {
        let text = "version: '1.0'\nrules: [{name: used, reachability: [runtime], action: block}]\nwaivers:\n\
                    - {id: w1, advisory: a, justification: j, owner: o, ticket: t, expires: 2030-01-01T00:00:00Z}\n\
                    - {id: w2, advisory: b, justification: j, owner: o, ticket: t, expires: 2030-01-01T00:00:00Z}\n";
        let policy = Compiled::new("p", 0, &parse(text, Format::Yaml).accept().unwrap()).unwrap();
        let shelf = Shelf::default();
        let decision = |found: &[(&str, Reachability)], day: i64| {
            let rows: Vec<_> =
                found.iter().map(|(id, reach)| row(id, body(id), *reach, Reachability::Unknown)).collect();
            let read = readable(&rows);
            let facts: Vec<Facts<'_>> = read.iter().map(|(row, finding)| (*row, finding)).collect();
            let subject = Subject { now: Timestamp::from_millis(day * 86_400_000), ..subject(&shelf, &[]) };
            judge_image(&[&policy], &facts, &subject).decision
        };
        let (unknown, runtime) = (Reachability::Unknown, Reachability::Runtime);
        let sure = |found: &[(&str, Reachability)], day| {
            decision(found, day).confidence.map(|confidence| (confidence.value, confidence.band))
        };
        assert_eq!(sure(&[("c", unknown)], 0), Some((0.8, "high".to_owned())));
        assert_eq!(sure(&[("c", unknown), ("d", Reachability::Unreachable)], 4), Some((0.6, "medium".to_owned())));
        assert_eq!(sure(&[("c", unknown), ("d", runtime)], 4), None, "what blocks is known, and that alone counts");
        assert_eq!(sure(&[], 0), None);
        let hidden = decision(&[("b", unknown), ("a", unknown), ("c", unknown)], 0);
        assert_eq!(hidden.quieted_by.as_deref(), Some("w1"), "of equal ones the first by its id");
        assert_eq!(decision(&[("c", unknown)], 0).quieted_by, None);
    }

    #[test]
    fn repositories_lose_tag_and_digest_but_not_the_port() {
        assert_eq!(repository("registry.example.com:5000/team/app:1.2"), "registry.example.com:5000/team/app");
        assert_eq!(repository("registry.example.com:5000/team/app"), "registry.example.com:5000/team/app");
        assert_eq!(repository("team/app:1@sha256:00"), "team/app");
    }
}
