//! Findings against policies: who decides each finding, what that makes of the image, and until when it holds.

use std::borrow::{Borrow, Cow};
use std::cmp::Reverse;

use stella_domain::{Severity, Timestamp};

use crate::action::{ActionKind, Escalation};
use crate::candidates::RuleSet;
use crate::compile::{Compiled, CompiledRule};
use crate::input::{Context, FindingInput};
use crate::rego::{RegoError, VerdictAnswer, finding_document, image_document};
use crate::score::{Confidence, Factors};
use crate::scoring::Scoring;
use crate::verdict::{FindingVerdict, ImageVerdict, Status, Summary};
use crate::vex::cleared_by;
use crate::waiver::{CompiledWaiver, cover};

/// The answer to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// A verdict for each finding, in the order of the findings.
    pub verdicts: Vec<FindingVerdict>,
    /// The verdict of the image.
    pub image: ImageVerdict,
    /// Positions of the findings that the image's verdict rests on, worst first: severity, EPSS, id. Empty when it passes.
    pub deciding: Vec<usize>,
    /// Who decided the worst of them.
    pub decider: Option<Decider>,
    /// The earliest instant at which a status could change though nothing but time does: the end of a rule or waiver that
    /// decided a finding. Absent when no such instant is ahead. Confidences, which decay by the day, are not counted, and what
    /// Rego decides by `input.now` is not foreseen: it changes at the next evaluation.
    pub valid_until: Option<Timestamp>,
    /// Policies that could not be evaluated, such as Rego beyond its limits. While there is one the image is blocked, and so is
    /// each finding that the policy would have been asked about.
    pub failures: Vec<PolicyFailure>,
    /// Rules that were skipped because their time is over.
    pub expired_rules: Vec<Expired>,
    /// Waivers that hid nothing because their time is over.
    pub expired_waivers: Vec<Expired>,
}

impl Evaluation {
    /// Counts the statuses.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(self.verdicts.iter().map(|verdict| verdict.status))
    }
}

/// The rule that decided, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decider {
    /// Name of the policy.
    pub policy: String,
    /// Name of its rule.
    pub rule: String,
}

/// A policy that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFailure {
    /// Name of the policy.
    pub policy: String,
    /// What happened.
    pub error: PolicyError,
}

/// Why a policy gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Its Rego.
    #[error(transparent)]
    Rego(#[from] RegoError),
    /// Its document was accepted once and cannot be read or compiled any more ([`Compiled::unusable`]).
    #[error("its document cannot be used: {0}")]
    Unusable(String),
}

/// What stands in the place of a rule where a policy failed.
const NO_ANSWER: &str = "the policy gave no answer";

/// Something of a policy whose time is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expired {
    /// Name of the policy.
    pub policy: String,
    /// Name of the rule or id of the waiver.
    pub name: String,
}

/// Evaluates `findings` of one image in `context`.
///
/// Policies are asked by priority, higher first, then by name; the first with a waiver or rule that matches a finding decides
/// it. A policy's waivers stand before its own rules and never before those of a policy that is asked earlier. The result is
/// the same for the same arguments.
#[must_use]
pub fn evaluate<P: Borrow<Compiled>>(policies: &[P], findings: &[FindingInput], context: &Context) -> Evaluation {
    let mut ordered: Vec<&Compiled> =
        policies.iter().map(Borrow::<Compiled>::borrow).filter(|policy| policy.holds_in(context)).collect();
    ordered.sort_by_key(|policy| (Reverse(policy.priority()), policy.name()));
    let image_names = context.image_names();
    let bound: Vec<_> = ordered.iter().map(|policy| Bound::new(policy, context, &image_names)).collect();
    let standard = Scoring::default();
    let fallback = ordered.first().map_or(&standard, |policy| &policy.scoring);

    let mut decisions: Vec<Option<Decision<'_>>> = findings.iter().map(|_| None).collect();
    let mut failures = Vec::new();
    for policy in &bound {
        failures.extend(policy.decide_all(findings, context, &mut decisions));
    }
    let mut valid_until = None;
    let verdicts: Vec<_> = findings
        .iter()
        .zip(decisions)
        .map(|(finding, decision)| {
            valid_until = earlier(valid_until, decision.as_ref().and_then(|decision| decision.until));
            verdict(finding, decision, fallback, context.now)
        })
        .collect();

    let by_findings = verdicts.iter().map(|verdict| verdict.status.image_verdict()).max().unwrap_or_default();
    let whole = if failures.is_empty() {
        image_rules(&ordered, findings, &verdicts, context, by_findings, &mut failures)
    } else {
        Whole { verdict: by_findings, decider: None }
    };
    let image = if failures.is_empty() { whole.verdict } else { ImageVerdict::Blocked };
    let deciding = deciding(&verdicts, findings, image);
    let failed = failures.first().map(|failure| Decider { policy: failure.policy.clone(), rule: NO_ANSWER.to_owned() });
    let decider = failed.or(whole.decider).or_else(|| deciding.first().and_then(|worst| decider(&verdicts[*worst])));
    Evaluation {
        decider,
        deciding,
        image,
        verdicts,
        valid_until,
        failures,
        expired_rules: ordered.iter().flat_map(|policy| expired_rules(policy, context.now)).collect(),
        expired_waivers: ordered.iter().flat_map(|policy| expired_waivers(policy, context.now)).collect(),
    }
}

/// The same question at another instant: with an evaluation's `valid_until` it tells what holds from then on.
#[must_use]
pub fn evaluate_at<P: Borrow<Compiled>>(
    policies: &[P],
    findings: &[FindingInput],
    context: &Context,
    now: Timestamp,
) -> Evaluation {
    evaluate(policies, findings, &Context { now, ..context.clone() })
}

/// A policy with what of it can matter in one context at one instant.
struct Bound<'p> {
    policy: &'p Compiled,
    /// Rules that are neither over nor for other places.
    rules: RuleSet,
    waivers: Vec<&'p CompiledWaiver>,
}

struct Decision<'p> {
    policy: &'p Compiled,
    rule: Option<Cow<'p, str>>,
    action: Option<&'static str>,
    status: Status,
    quieted_by: Option<String>,
    severity: Severity,
    until: Option<Timestamp>,
}

impl<'p> Bound<'p> {
    fn new(policy: &'p Compiled, context: &Context, image_names: &[String]) -> Self {
        let rules = RuleSet::of(policy.rules.len(), |rule| {
            let rule = &policy.rules[rule];
            !rule.is_expired(context.now) && rule.holds_in(context, image_names)
        });
        let waivers = policy
            .waivers
            .iter()
            .filter(|waiver| !waiver.is_expired(context.now) && waiver.holds_in(context, image_names));
        Self { policy, rules, waivers: waivers.collect() }
    }

    /// Decides what no earlier policy has decided.
    fn decide_all(
        &self,
        findings: &[FindingInput],
        context: &Context,
        decisions: &mut [Option<Decision<'p>>],
    ) -> Option<PolicyFailure> {
        let open = findings.iter().zip(decisions.iter_mut()).filter(|(_, decision)| decision.is_none());
        if let Some(reason) = &self.policy.unusable {
            let refused = open.map(|(finding, decision)| *decision = Some(self.refused(finding))).count();
            return (refused > 0).then(|| self.failed(PolicyError::Unusable(reason.clone())));
        }
        let Some(module) = &self.policy.rego else {
            for (finding, decision) in open {
                *decision = self.decide_by_waivers(finding).or_else(|| self.decide_by_rules(finding));
            }
            return None;
        };
        let mut asked = Vec::new();
        for (finding, decision) in open {
            *decision = self.decide_by_waivers(finding);
            if decision.is_none() {
                asked.push((finding, decision));
            }
        }
        if asked.is_empty() {
            return None;
        }
        let documents = asked.iter().map(|(finding, _)| finding_document(finding, context)).collect();
        match module.verdicts(documents) {
            Ok(answers) => {
                for ((finding, decision), answer) in asked.into_iter().zip(answers) {
                    *decision = answer.map(|answer| self.decided_by_rego(finding, answer));
                }
                None
            }
            Err(error) => {
                for (finding, decision) in asked {
                    *decision = Some(self.refused(finding));
                }
                Some(self.failed(error.into()))
            }
        }
    }

    fn failed(&self, error: PolicyError) -> PolicyFailure {
        PolicyFailure { policy: self.policy.name().to_owned(), error }
    }

    /// What becomes of a finding that the policy should have decided and could not.
    fn refused(&self, finding: &FindingInput) -> Decision<'p> {
        Decision {
            policy: self.policy,
            rule: None,
            action: None,
            status: Status::Blocked,
            quieted_by: None,
            severity: finding.severity,
            until: None,
        }
    }

    fn decided_by_rego(&self, finding: &FindingInput, answer: VerdictAnswer) -> Decision<'p> {
        let rule = answer.rule.unwrap_or_else(|| "verdict".to_owned());
        let hides = matches!(answer.status, Status::Ignored | Status::Quieted);
        Decision {
            policy: self.policy,
            quieted_by: hides.then(|| rule.clone()),
            rule: Some(Cow::Owned(rule)),
            action: Some(answer.action),
            status: answer.status,
            severity: finding.severity,
            until: None,
        }
    }

    fn decide_by_waivers(&self, finding: &FindingInput) -> Option<Decision<'p>> {
        let cover = cover(&self.waivers, finding)?;
        Some(Decision {
            policy: self.policy,
            rule: None,
            action: None,
            status: Status::Ignored,
            quieted_by: Some(cover.waivers.join(", ")),
            severity: finding.severity,
            until: cover.until,
        })
    }

    /// The first matching rule; an escalation asks those after it once more, and is not itself escalated.
    fn decide_by_rules(&self, finding: &FindingInput) -> Option<Decision<'p>> {
        let mut severity = finding.severity;
        let mut escalated: Option<&'p CompiledRule> = None;
        let matching = |severity| self.policy.candidates.matching(&self.rules, finding, severity);
        let (mut left, mut at) = (matching(severity), 0);
        while let Some(position) = left.first_from(at) {
            at = position + 1;
            let rule = &self.policy.rules[position];
            if !rule.epss_holds(finding) {
                continue;
            }
            let until = earlier(rule.end, escalated.and_then(|first| first.end));
            let ActionKind::Escalate(escalation) = &rule.action.kind else {
                let (status, quieted_by) = outcome(rule, finding);
                let (rule, action) = (Some(Cow::Borrowed(rule.name.as_str())), Some(rule.action.kind.name()));
                return Some(Decision { policy: self.policy, rule, action, status, quieted_by, severity, until });
            };
            if escalated.is_none() && applies(escalation, finding) {
                severity = severity.max(escalation.minimum_severity);
                escalated = Some(rule);
                left = matching(severity);
            }
        }
        let rule = escalated?;
        let until = rule.end;
        let quieted_by = cleared_by(&finding.vex);
        Some(Decision {
            policy: self.policy,
            rule: Some(Cow::Borrowed(&rule.name)),
            action: Some(rule.action.kind.name()),
            status: if quieted_by.is_some() { Status::Quieted } else { Status::Escalated },
            quieted_by,
            severity,
            until,
        })
    }
}

fn applies(escalation: &Escalation, finding: &FindingInput) -> bool {
    let kev = finding.kev || !escalation.require_kev;
    kev && escalation.epss_min.is_none_or(|least| finding.epss.is_some_and(|epss| epss >= least))
}

/// The status a rule gives, and who hides the finding. A `quiet` whose statement is missing never hides anything: the finding
/// then needs the statement, unless the action is one of the stricter kind anyway.
fn outcome(rule: &CompiledRule, finding: &FindingInput) -> (Status, Option<String>) {
    let action = &rule.action;
    let met = action.vex_is_met(&finding.vex);
    if action.quiets() && met {
        return (Status::Quieted, Some(rule.name.clone()));
    }
    // A statement that clears goes before a rule that asks for none; one that asks says itself whose statements count.
    let against = matches!(action.kind, ActionKind::Block | ActionKind::Warn | ActionKind::Defer);
    if against
        && action.vex_requirement().is_none()
        && let Some(authors) = cleared_by(&finding.vex)
    {
        return (Status::Quieted, Some(authors));
    }
    match &action.kind {
        ActionKind::Block => (Status::Blocked, None),
        ActionKind::Warn => (Status::Warned, None),
        ActionKind::Defer => (Status::Deferred, None),
        ActionKind::Escalate(_) => (Status::Escalated, None),
        ActionKind::RequireVex(_) if met => (Status::Pass, None),
        ActionKind::RequireVex(_) => (Status::RequiresVex, None),
        ActionKind::Ignore if action.vex_requirement().is_some() && !met => (Status::RequiresVex, None),
        ActionKind::Ignore => (Status::Ignored, Some(rule.name.clone())),
    }
}

fn verdict(
    finding: &FindingInput,
    decision: Option<Decision<'_>>,
    fallback: &Scoring,
    now: Timestamp,
) -> FindingVerdict {
    let scoring = decision.as_ref().map_or(fallback, |decision| &decision.policy.scoring);
    let status = decision.as_ref().map_or(Status::Pass, |decision| decision.status);
    let severity = decision.as_ref().map_or(finding.severity, |decision| decision.severity);
    let inputs = Factors::of(finding, severity, scoring);
    let confidence = Confidence::of(finding, now, &scoring.unknown_confidence);
    FindingVerdict {
        finding_id: finding.id.clone(),
        status,
        rule_name: decision.as_ref().and_then(|decision| decision.rule.as_deref()).map(str::to_owned),
        rule_action: decision.as_ref().and_then(|decision| decision.action),
        score: inputs.score(status, scoring),
        config_version: scoring.version.clone(),
        source_trust: inputs.trust.clone(),
        inputs,
        quiet: status == Status::Quieted,
        policy: decision.as_ref().map(|decision| decision.policy.name().to_owned()),
        quieted_by: decision.and_then(|decision| decision.quieted_by),
        reachability: finding.reachability,
        unknown_confidence: confidence.map(|confidence| confidence.value),
        confidence_band: confidence.map(|confidence| confidence.band),
        severity,
    }
}

fn deciding(verdicts: &[FindingVerdict], findings: &[FindingInput], image: ImageVerdict) -> Vec<usize> {
    if image == ImageVerdict::Pass {
        return Vec::new();
    }
    let mut positions: Vec<usize> =
        (0..verdicts.len()).filter(|position| verdicts[*position].status.image_verdict() == image).collect();
    positions.sort_by(|a, b| {
        let epss = |position: usize| findings[position].epss.unwrap_or_default();
        let by_severity = verdicts[*b].severity.cmp(&verdicts[*a].severity);
        let by_epss = epss(*b).total_cmp(&epss(*a));
        by_severity.then(by_epss).then_with(|| findings[*a].id.cmp(&findings[*b].id))
    });
    positions
}

fn decider(verdict: &FindingVerdict) -> Option<Decider> {
    Some(Decider { policy: verdict.policy.clone()?, rule: verdict.rule_name.clone()? })
}

/// What Rego says of the image as a whole.
struct Whole {
    verdict: ImageVerdict,
    decider: Option<Decider>,
}

/// Asks every policy that has something to say of the image; the strictest counts, and none makes the findings' verdict milder.
fn image_rules(
    policies: &[&Compiled],
    findings: &[FindingInput],
    verdicts: &[FindingVerdict],
    context: &Context,
    by_findings: ImageVerdict,
    failures: &mut Vec<PolicyFailure>,
) -> Whole {
    let mut whole = Whole { verdict: by_findings, decider: None };
    for policy in policies {
        let Some(module) = policy.rego.as_ref().filter(|module| module.has_image()) else { continue };
        match module.image(image_document(findings, verdicts, context)) {
            Ok(Some(answer)) if answer.verdict > whole.verdict => {
                let rule = answer.rule.unwrap_or_else(|| "image".to_owned());
                whole = Whole {
                    verdict: answer.verdict,
                    decider: Some(Decider { policy: policy.name().to_owned(), rule }),
                };
            }
            Ok(_) => {}
            Err(error) => {
                failures.push(PolicyFailure { policy: policy.name().to_owned(), error: error.into() });
            }
        }
    }
    whole
}

fn expired_rules(policy: &Compiled, now: Timestamp) -> impl Iterator<Item = Expired> + '_ {
    let over = policy.rules.iter().filter(move |rule| rule.is_expired(now));
    over.map(|rule| Expired { policy: policy.name().to_owned(), name: rule.name.clone() })
}

fn expired_waivers(policy: &Compiled, now: Timestamp) -> impl Iterator<Item = Expired> + '_ {
    let over = policy.waivers.iter().filter(move |waiver| waiver.is_expired(now));
    over.map(|waiver| Expired { policy: policy.name().to_owned(), name: waiver.id.clone() })
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
