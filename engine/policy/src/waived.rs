//! What each waiver hides.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::Serialize;
use stella_domain::Timestamp;

use crate::compile::Compiled;
use crate::evaluate::evaluate;
use crate::input::{Context, FindingInput};
use crate::verdict::Status;
use crate::waiver::cover;

/// A waiver with the findings of one image that it hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waived {
    /// Name of the policy.
    pub policy: String,
    /// Id of the waiver.
    pub waiver: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether it has ended; then it hides nothing.
    pub expired: bool,
    /// Ids of the findings, sorted.
    pub findings: Vec<String>,
}

/// Every waiver of `policies` that hold in `context`, by policy in the order in which they are asked and within it as written,
/// with what it hides of `findings`. A finding that an earlier policy decides is hidden by no waiver of a later one; one that
/// names several CVEs is hidden by several waivers together.
#[must_use]
pub fn waived<P: Borrow<Compiled>>(policies: &[P], findings: &[FindingInput], context: &Context) -> Vec<Waived> {
    let mut ordered: Vec<&Compiled> =
        policies.iter().map(Borrow::<Compiled>::borrow).filter(|policy| policy.holds_in(context)).collect();
    ordered.sort_by_key(|policy| (std::cmp::Reverse(policy.priority()), policy.name()));
    let verdicts = evaluate(policies, findings, context).verdicts;
    let names = context.image_names();
    let mut list = Vec::new();
    for policy in ordered {
        let live: Vec<_> = policy
            .waivers
            .iter()
            .filter(|waiver| !waiver.is_expired(context.now) && waiver.holds_in(context, &names))
            .collect();
        let mut hidden: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (finding, verdict) in findings.iter().zip(&verdicts) {
            let here = verdict.policy.as_deref() == Some(policy.name()) && verdict.rule_name.is_none();
            if !here || verdict.status != Status::Ignored {
                continue;
            }
            for id in cover(&live, finding).map(|cover| cover.waivers).unwrap_or_default() {
                hidden.entry(id).or_default().push(finding.id.clone());
            }
        }
        list.extend(policy.waivers.iter().map(|waiver| {
            let mut findings = hidden.remove(&waiver.id).unwrap_or_default();
            findings.sort_unstable();
            Waived {
                policy: policy.name().to_owned(),
                waiver: waiver.id.clone(),
                expires: waiver.expires,
                expired: waiver.is_expired(context.now),
                findings,
            }
        }));
    }
    list
}
