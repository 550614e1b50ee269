use proptest::prelude::*;
use stella_domain::{Digest, Reachability};

use super::*;
use crate::{Format, VexState, VexStatement, parse};

fn policy(name: &str, priority: i32, body: &str) -> Compiled {
    let parsed = parse(&format!("version: '1.0'\n{body}"), Format::Yaml);
    Compiled::new(name, priority, &parsed.accept().unwrap()).unwrap()
}

fn finding(id: &str, severity: Severity) -> FindingInput {
    let mut finding = FindingInput::new(id, severity);
    finding.advisory_ids = vec![format!("CVE-2024-{id}")];
    finding.purl = Some(format!("pkg:npm/{id}@1.0.0"));
    finding
}

fn context(now: &str) -> Context {
    Context {
        image: Some("registry.local/team/app:1".to_owned()),
        repository: Some("registry.local/team/app".to_owned()),
        digests: vec![Digest::of("app")],
        environment: Some("prod".to_owned()),
        now: now.parse().unwrap(),
        ..Context::default()
    }
}

const NOW: &str = "2026-01-01T00:00:00Z";

fn status(body: &str, finding: FindingInput) -> Status {
    evaluate(&[policy("p", 0, body)], &[finding], &context(NOW)).verdicts[0].status
}

#[test]
fn the_first_matching_rule_wins() {
    let body = "rules: [{name: a, severity: [High], action: warn}, {name: b, action: block}]";
    assert_eq!(status(body, finding("1", Severity::High)), Status::Warned);
    assert_eq!(status(body, finding("1", Severity::Low)), Status::Blocked);
    assert_eq!(
        status("rules: [{name: a, severity: [High], action: block}]", finding("1", Severity::Low)),
        Status::Pass
    );
}

#[test]
fn an_escalation_asks_the_remaining_rules_with_the_raised_severity() {
    let escalate = "{name: up, action: {type: escalate, minimumSeverity: Critical, requireKev: true}}";
    let mut exploited = finding("1", Severity::Low);
    exploited.kev = true;
    let body = format!("rules: [{escalate}, {{name: b, severity: [Critical], action: block}}]");
    assert_eq!(status(&body, exploited.clone()), Status::Blocked);
    assert_eq!(status(&body, finding("1", Severity::Low)), Status::Pass);
    assert_eq!(status(&format!("rules: [{escalate}]"), exploited), Status::Escalated);
}

#[test]
fn a_required_statement_passes_or_quiets_and_its_absence_blocks() {
    let rule = |quiet: &str| {
        format!("rules: [{{name: v, action: {{type: requireVex, justifications: [component_not_present]{quiet}}}}}]")
    };
    let mut stated = finding("1", Severity::High);
    let justification = Some("component_not_present".to_owned());
    stated.vex = vec![VexStatement { state: VexState::NotAffected, vendor: "acme".to_owned(), justification }];
    assert_eq!(status(&rule(""), stated.clone()), Status::Pass);
    assert_eq!(status(&rule(", quiet: true"), stated), Status::Quieted);
    assert_eq!(status(&rule(", quiet: true"), finding("1", Severity::High)), Status::RequiresVex);
}

#[test]
fn a_policy_that_cannot_be_used_any_more_blocks_what_it_would_have_decided() {
    let waive = "rules: []\nwaivers: [{id: w, cve: CVE-2024-1, justification: j, owner: o, ticket: t, expires: 2030-01-01T00:00:00Z}]";
    let policies = [policy("waivers", 10, waive), Compiled::unusable("shop/strict", 0, "of a later version")];
    let judged = |findings: &[FindingInput]| evaluate(&policies, findings, &context(NOW));
    let blocked = judged(&[finding("1", Severity::Low), finding("2", Severity::Low)]);
    assert_eq!(
        blocked.verdicts.iter().map(|verdict| verdict.status).collect::<Vec<_>>(),
        [Status::Ignored, Status::Blocked]
    );
    assert_eq!(blocked.image, ImageVerdict::Blocked);
    let decider = Decider { policy: "shop/strict".to_owned(), rule: NO_ANSWER.to_owned() };
    assert_eq!(blocked.decider, Some(decider));
    assert_eq!(blocked.failures[0].error.to_string(), "its document cannot be used: of a later version");
    assert_eq!(judged(&[finding("1", Severity::Low)]).image, ImageVerdict::Pass, "what it is not asked about");
    assert_eq!(judged(&[]).image, ImageVerdict::Pass, "an image without findings");
}

#[test]
fn a_waiver_of_a_later_policy_does_not_open_an_earlier_one() {
    let block = policy("cluster/strict", 10, "rules: [{name: no, action: block}]");
    let waive = policy(
        "team/loose",
        0,
        "rules: []\nwaivers: [{id: w, cve: CVE-2024-1, justification: j, owner: o, ticket: t, expires: 2030-01-01T00:00:00Z}]",
    );
    let found = [finding("1", Severity::High)];
    let closed = evaluate(&[&waive, &block], &found, &context(NOW));
    assert_eq!(closed.image, ImageVerdict::Blocked);
    assert_eq!(closed.decider, Some(Decider { policy: "cluster/strict".to_owned(), rule: "no".to_owned() }));
    let open = evaluate(&[&waive], &found, &context(NOW));
    assert_eq!((open.verdicts[0].status, open.verdicts[0].quieted_by.as_deref()), (Status::Ignored, Some("w")));
    assert_eq!(open.verdicts[0].status.badge(), crate::Badge::Waived);
}

#[test]
fn valid_until_is_when_the_waiver_ends_and_what_follows_is_known() {
    let body = "rules: [{name: no, action: block}]\n\
        waivers: [{id: w, cve: CVE-2024-1, images: ['registry.local/team/*'], expires: 2026-02-01T00:00:00Z, justification: j, owner: o, ticket: t}]";
    let policies = [policy("p", 0, body)];
    let found = [finding("1", Severity::High)];
    let now = evaluate(&policies, &found, &context(NOW));
    assert_eq!((now.image, now.valid_until), (ImageVerdict::Pass, Some("2026-02-01T00:00:00Z".parse().unwrap())));
    let next = evaluate_at(&policies, &found, &context(NOW), now.valid_until.unwrap());
    assert_eq!((next.image, next.valid_until), (ImageVerdict::Blocked, None));
    assert_eq!(next.expired_waivers, [Expired { policy: "p".to_owned(), name: "w".to_owned() }]);
    let just_before =
        evaluate_at(&policies, &found, &context(NOW), Timestamp::from_millis(now.valid_until.unwrap().as_millis() - 1));
    assert_eq!(just_before.image, ImageVerdict::Pass);
}

#[test]
fn the_verdict_is_the_contracts_json() {
    let mut critical = finding("1", Severity::Critical);
    critical.source = Some("NVD".to_owned());
    critical.reachability = Reachability::Runtime;
    let evaluation = evaluate(&[policy("p", 0, "rules: [{name: no, action: block}]")], &[critical], &context(NOW));
    let shown = serde_json::to_string(&evaluation.verdicts[0]).unwrap();
    let expected = concat!(
        r#"{"findingId":"1","status":"Blocked","ruleName":"no","ruleAction":"block","score":40.5,"configVersion":"1.0","#,
        r#""inputs":{"baseScore":40.5,"reachability.runtime":0.45,"reachabilityWeight":0.45,"severityWeight":90.0,"#,
        r#""trustWeight":1.0,"trustWeight.NVD":1.0},"quiet":false,"sourceTrust":"NVD","reachability":"runtime"}"#
    );
    assert_eq!(shown, expected);
}

#[test]
fn the_worst_finding_comes_first() {
    let found = [finding("b", Severity::High), finding("a", Severity::High), finding("c", Severity::Critical)];
    let evaluation = evaluate(&[policy("p", 0, "rules: [{name: no, action: block}]")], &found, &context(NOW));
    assert_eq!(evaluation.deciding, [2, 1, 0]);
}

#[test]
fn a_rule_for_another_environment_or_image_does_not_hold() {
    let other = "rules: [{name: a, environments: [dev], action: block}, {name: b, match: {images: ['other/**']}, action: block}]";
    assert_eq!(status(other, finding("1", Severity::High)), Status::Pass);
    let own = "rules: [{name: b, match: {repositories: ['registry.local/**'], cves: ['CVE-2024-*']}, action: block}]";
    assert_eq!(status(own, finding("1", Severity::High)), Status::Blocked);
}

#[test]
fn an_escalation_asks_for_its_probability_and_happens_once() {
    let body = "rules: [{name: up, action: {type: escalate, minimumSeverity: High, epssMin: 0.5}},\
        {name: further, action: {type: escalate, minimumSeverity: Critical}},\
        {name: c, severity: [Critical], action: block}, {name: h, severity: [High], action: warn}]";
    let with = |epss: Option<f64>| {
        let mut finding = finding("1", Severity::Low);
        finding.epss = epss;
        evaluate(&[policy("p", 0, body)], &[finding], &context(NOW)).verdicts.remove(0)
    };
    assert_eq!((with(Some(0.5)).status, with(Some(0.5)).severity), (Status::Warned, Severity::High));
    assert_eq!(
        (with(Some(0.4)).status, with(None).status),
        (Status::Blocked, Status::Blocked),
        "the second one raises it"
    );
    let twice = evaluate(
        &[policy("p", 0, "rules: [{name: a, action: {type: escalate, minimumSeverity: Low}}]")],
        &[finding("1", Severity::High)],
        &context(NOW),
    );
    assert_eq!(twice.verdicts[0].severity, Severity::High, "never lowered");
    assert_eq!((twice.verdicts[0].rule_name.as_deref(), twice.verdicts[0].rule_action), (Some("a"), Some("escalate")));
}

#[test]
fn an_ignore_that_asks_for_a_statement_needs_it() {
    let body = "rules: [{name: v, action: {type: ignore, justification: j, requireVex: {justifications: [component_not_present]}}}]";
    let mut stated = finding("1", Severity::High);
    let justification = Some("component_not_present".to_owned());
    stated.vex = vec![VexStatement { state: VexState::NotAffected, vendor: "acme".to_owned(), justification }];
    assert_eq!(status(body, stated), Status::Ignored);
    assert_eq!(status(body, finding("1", Severity::High)), Status::RequiresVex);
    let plain = evaluate(
        &[policy("p", 0, "rules: [{name: v, action: {type: ignore, justification: j}}]")],
        &[finding("1", Severity::High)],
        &context(NOW),
    );
    assert_eq!((plain.verdicts[0].status, plain.verdicts[0].quieted_by.as_deref()), (Status::Ignored, Some("v")));
}

#[test]
fn of_equal_severity_the_likelier_one_comes_first() {
    let found: Vec<_> = [("a", None), ("b", Some(0.1)), ("c", Some(0.9)), ("d", Some(0.1))]
        .into_iter()
        .map(|(id, epss)| FindingInput { epss, ..finding(id, Severity::High) })
        .collect();
    let evaluation = evaluate(&[policy("p", 0, "rules: [{name: no, action: warn}]")], &found, &context(NOW));
    assert_eq!(evaluation.deciding, [2, 1, 3, 0]);
    let mixed = "rules: [{name: no, match: {cves: [CVE-2024-b]}, action: block}, {name: w, action: warn}]";
    let evaluation = evaluate(&[policy("p", 0, mixed)], &found, &context(NOW));
    assert_eq!((evaluation.deciding, evaluation.decider.unwrap().rule), (vec![1], "no".to_owned()));
    let passed =
        evaluate(&[policy("p", 0, "rules: [{name: d, severity: [Low], action: block}]")], &found, &context(NOW));
    assert_eq!((passed.deciding, passed.decider), (vec![], None));
}

#[test]
fn policies_are_asked_by_priority_and_then_by_name() {
    let say = |name: &str, priority| policy(name, priority, &format!("rules: [{{name: {name}, action: warn}}]"));
    let by = |policies: &[Compiled]| {
        evaluate(policies, &[finding("1", Severity::High)], &context(NOW)).decider.unwrap().policy
    };
    assert_eq!(by(&[say("a", 0), say("b", 1)]), "b");
    assert_eq!(by(&[say("b", 0), say("a", 0)]), "a");
    assert_eq!(by(&[say("a", -5), say("b", -4)]), "b");
}

#[test]
fn rules_that_are_over_are_skipped_and_told() {
    let body = "rules: [{name: gone, expires: 2026-01-01T00:00:00Z, action: block}, {name: until, action: {type: block, until: 2025-01-01T00:00:00Z}},\
        {name: here, expires: 2026-01-01T00:00:01Z, action: warn}]";
    let evaluation = evaluate(&[policy("p", 0, body)], &[finding("1", Severity::High)], &context(NOW));
    let expired = |name: &str| Expired { policy: "p".to_owned(), name: name.to_owned() };
    assert_eq!(evaluation.expired_rules, [expired("gone"), expired("until")]);
    assert_eq!(
        (evaluation.verdicts[0].status, evaluation.valid_until),
        (Status::Warned, Some("2026-01-01T00:00:01Z".parse().unwrap()))
    );
    assert_eq!(evaluation.summary(), Summary { total: 1, warned: 1, ..Summary::default() });
}

proptest! {
    #[test]
    fn the_answer_is_the_same_and_holds_until_it_says(ids in proptest::collection::vec(0_u8..5, 0..8), ends in proptest::collection::vec(1_i64..9, 4), at in 0_i64..10) {
        let time = |n: i64| Timestamp::from_millis(n * 1000);
        let body = format!(
            "rules: [{{name: a, match: {{cves: [CVE-2024-1]}}, expires: {}, action: warn}}, {{name: b, until: {}, action: block}}]\n\
             waivers: [{{id: x, cve: CVE-2024-1, expires: {}, justification: j, owner: o, ticket: t}}, {{id: y, cve: CVE-2024-2, expires: {}, justification: j, owner: o, ticket: t}}]",
            time(ends[0]), time(ends[1]), time(ends[2]), time(ends[3])
        );
        let policies = [policy("p", 0, &body)];
        let found: Vec<_> = ids.iter().map(|id| finding(&id.to_string(), Severity::High)).collect();
        let now = Context { now: time(at), ..context(NOW) };
        let answer = evaluate(&policies, &found, &now);
        prop_assert_eq!(&answer, &evaluate(&policies, &found, &now));
        let statuses = |e: &Evaluation| e.verdicts.iter().map(|v| v.status).collect::<Vec<_>>();
        for later in at..answer.valid_until.map_or(12, |until| until.as_millis() / 1000) {
            prop_assert_eq!(statuses(&answer), statuses(&evaluate_at(&policies, &found, &now, time(later))));
        }
        prop_assert!(answer.valid_until.is_none_or(|until| until > now.now));
    }

    #[test]
    fn a_waiver_hides_only_what_it_names(cve in 0_u8..20, ids in proptest::collection::vec(0_u8..20, 1..10), image in "[a-z]{1,4}") {
        let body = format!("rules: [{{name: no, action: block}}]\nwaivers: [{{id: w, cve: CVE-2024-{cve}, images: ['registry.local/{image}:*'], justification: j, owner: o, ticket: t, expires: 2030-01-01T00:00:00Z}}]");
        let policies = [policy("p", 0, &body)];
        let found: Vec<_> = ids.iter().map(|id| finding(&id.to_string(), Severity::High)).collect();
        let here = Context { image: Some(format!("registry.local/{image}:1")), ..context(NOW) };
        for (id, verdict) in ids.iter().zip(evaluate(&policies, &found, &here).verdicts) {
            prop_assert_eq!(verdict.status == Status::Ignored, *id == cve);
        }
        prop_assert_eq!(evaluate(&policies, &found, &context(NOW)).summary().ignored, 0);
    }
}

#[test]
fn a_rule_may_ask_for_a_probability() {
    let with = |epss: Option<f64>| {
        let finding = FindingInput { epss, ..finding("1", Severity::Low) };
        status("rules: [{name: likely, epssMin: 0.5, action: block}]", finding)
    };
    assert_eq!(
        [Some(0.6), Some(0.5), Some(0.4), None].map(with),
        [Status::Blocked, Status::Blocked, Status::Pass, Status::Pass]
    );
}

#[test]
fn entrypoints_are_asked_for_where_a_rule_names_them() {
    let asks = |body: &str| policy("p", 0, body).asks_for_entrypoints();
    assert!(!asks("rules: [{name: a, action: warn}]"));
    assert!(asks(
        "rules: [{name: a, action: warn}, {name: b, match: {usedByEntrypoint: ['usr/bin/*']}, action: block}]"
    ));
}

#[test]
fn as_many_rules_as_a_word_has_bits_are_asked() {
    let rules: String =
        (0..64).map(|n| format!("{{name: r{n}, match: {{cves: ['CVE-{n}']}}, action: block}},")).collect();
    let body = format!("rules: [{rules}]");
    let with =
        |id: &str| status(&body, FindingInput { advisory_ids: vec![id.to_owned()], ..finding("1", Severity::Low) });
    assert_eq!([with("CVE-0"), with("CVE-63"), with("CVE-64")], [Status::Blocked, Status::Blocked, Status::Pass]);
}
