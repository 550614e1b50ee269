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

#[cfg(test)]
mod tests {
    use stella_domain::Severity;

    use super::*;
    use crate::{Format, parse};

    fn policy(name: &str, priority: i32, rules: &str, waivers: &[(&str, &str, &str)]) -> Compiled {
        let list: String = waivers
            .iter()
            .map(|(id, advisory, rest)| {
                format!("- {{id: {id}, advisory: {advisory}, justification: j, owner: o, ticket: t, {rest}}}\n")
            })
            .collect();
        let text = format!("version: '1.0'\nrules: [{rules}]\nwaivers:\n{list}");
        Compiled::new(name, priority, &parse(&text, Format::Yaml).accept().unwrap()).unwrap()
    }

    fn finding(id: &str, advisories: &[&str]) -> FindingInput {
        let mut finding = FindingInput::new(id, Severity::High);
        finding.advisory_ids = advisories.iter().map(|id| (*id).to_owned()).collect();
        finding
    }

    #[test]
    fn each_waiver_is_listed_with_what_it_hides() {
        let (live, over) = ("expires: 2027-01-01T00:00:00Z", "expires: 2025-01-01T00:00:00Z");
        let elsewhere = format!("images: ['other/**'], {live}");
        let strict = policy("strict", 1, "{name: no, match: {cves: [CVE-9]}, action: block}", &[("w9", "CVE-8", live)]);
        let team = policy(
            "team",
            0,
            "",
            &[
                ("one", "CVE-1", live),
                ("two", "CVE-2", live),
                ("old", "CVE-1", over),
                ("far", "CVE-3", &elsewhere),
                ("nine", "CVE-9", live),
            ],
        );
        let found = [
            finding("b", &["CVE-1"]),
            finding("a", &["CVE-1", "CVE-2"]),
            finding("c", &["CVE-3"]),
            finding("d", &["CVE-9"]),
        ];
        let context = Context {
            image: Some("registry/app:1".to_owned()),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            ..Context::default()
        };
        let list = waived(&[team, strict], &found, &context);
        let shown: Vec<_> =
            list.iter().map(|w| (w.policy.as_str(), w.waiver.as_str(), w.expired, w.findings.concat())).collect();
        let expected = [
            ("strict", "w9", false, ""),
            ("team", "one", false, "ab"),
            ("team", "two", false, "a"),
            ("team", "old", true, ""),
            ("team", "far", false, ""),
            ("team", "nine", false, ""),
        ];
        assert_eq!(
            shown,
            expected.map(|(policy, waiver, expired, findings)| (policy, waiver, expired, findings.to_owned()))
        );
    }

    #[test]
    fn a_waiver_that_has_no_say_hides_nothing() {
        let (live, longer) = ("expires: 2027-01-01T00:00:00Z", "expires: 2028-01-01T00:00:00Z");
        let elsewhere = format!("images: ['other/**'], {longer}");
        let first = policy("first", 1, "", &[("own", "CVE-1", live), ("record", "ALSA-2", &elsewhere)]);
        let second = policy("second", 0, "", &[("late", "CVE-1", longer), ("two", "CVE-2", live)]);
        let found = [finding("a", &["CVE-1"]), finding("b", &["ALSA-2", "CVE-2"])];
        let context = Context { now: "2026-01-01T00:00:00Z".parse().unwrap(), ..Context::default() };
        let list = waived(&[first, second], &found, &context);
        let shown: Vec<_> = list.iter().map(|w| (w.waiver.as_str(), w.findings.concat())).collect();
        let expected = [("own", "a"), ("record", ""), ("late", ""), ("two", "b")];
        assert_eq!(shown, expected.map(|(waiver, findings)| (waiver, findings.to_owned())));
    }

    #[test]
    fn of_the_waivers_of_a_policy_only_those_that_hold_here_are_listed() {
        let (live, longer) = ("expires: 2027-01-01T00:00:00Z", "expires: 2028-01-01T00:00:00Z");
        let elsewhere = format!("images: ['other/**'], {longer}");
        let team = policy("team", 0, "", &[("here", "CVE-1", live), ("there", "ALSA-1", &elsewhere)]);
        let context = Context { now: "2026-01-01T00:00:00Z".parse().unwrap(), ..Context::default() };
        let list = waived(&[team], &[finding("a", &["ALSA-1", "CVE-1"])], &context);
        assert_eq!(list.iter().map(|w| w.findings.len()).collect::<Vec<_>>(), [1, 0]);
    }
}
