//! What must not matter does not: the order of findings and of rules of equal effect, and what has nothing to do with a finding.

use proptest::prelude::*;
use stella_domain::{Reachability, Severity};
use stella_policy::{Compiled, Context, Evaluation, FindingInput, FindingVerdict, Format, evaluate, parse};

const NOW: &str = "2026-01-01T00:00:00Z";

fn context() -> Context {
    Context {
        image: Some("registry.local/team/app:1".to_owned()),
        repository: Some("registry.local/team/app".to_owned()),
        environment: Some("prod".to_owned()),
        now: NOW.parse().unwrap(),
        ..Context::default()
    }
}

/// Rules that each speak of one package: in any order they say the same.
fn disjoint(order: &[usize]) -> String {
    let actions = [
        "block",
        "warn",
        "defer",
        "{type: ignore, justification: j}",
        "{type: requireVex, justifications: [fixed], quiet: true}",
        "{type: escalate, minimumSeverity: Critical}",
    ];
    let rule = |at: &usize| {
        format!("- {{name: r{at}, match: {{packages: [p{at}]}}, action: {}}}\n", actions[*at % actions.len()])
    };
    order.iter().map(rule).collect()
}

fn policy(name: &str, priority: i32, rules: &str) -> Compiled {
    let text = format!("version: '1.0'\nrules:\n{rules}");
    Compiled::new(name, priority, &parse(&text, Format::Yaml).accept().unwrap()).unwrap()
}

fn finding(id: usize, package: usize, severity: usize, reachability: usize, epss: u8, kev: bool) -> FindingInput {
    let mut finding = FindingInput::new(format!("f{id:03}"), Severity::ALL[severity % 7]);
    finding.package = format!("p{package}");
    finding.reachability = Reachability::ALL[reachability % 6];
    finding.epss = (!epss.is_multiple_of(5)).then(|| f64::from(epss) / 255.0);
    finding.kev = kev;
    finding.advisory_ids = vec![format!("CVE-2024-{package}")];
    finding
}

fn findings() -> impl Strategy<Value = Vec<FindingInput>> {
    let one = (0_usize..10, 0_usize..7, 0_usize..6, any::<u8>(), any::<bool>());
    proptest::collection::vec(one, 0..12)
        .prop_map(|list| list.into_iter().enumerate().map(|(id, (p, s, r, e, k))| finding(id, p, s, r, e, k)).collect())
}

fn shown(evaluation: &Evaluation) -> String {
    let mut verdicts: Vec<&FindingVerdict> = evaluation.verdicts.iter().collect();
    verdicts.sort_by(|a, b| a.finding_id.cmp(&b.finding_id));
    let deciding: Vec<&str> =
        evaluation.deciding.iter().map(|at| evaluation.verdicts[*at].finding_id.as_str()).collect();
    let verdicts = serde_json::to_string(&verdicts).unwrap();
    format!("{} {verdicts} {deciding:?} {:?} {:?}", evaluation.image, evaluation.decider, evaluation.valid_until)
}

proptest! {
    #[test]
    fn neither_the_order_of_findings_nor_of_equal_rules_nor_of_policies_matters(
        findings in findings(),
        shuffled in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let straight: Vec<usize> = (0..8).collect();
        let (one, other) = (policy("a", 1, &disjoint(&straight)), policy("b", 0, "- {name: rest, severity: [High], action: warn}\n"));
        let expected = shown(&evaluate(&[&one, &other], &findings, &context()));
        let mut moved = findings;
        for at in (1..moved.len()).rev() {
            moved.swap(at, usize::try_from(seed.rotate_left(u32::try_from(at).unwrap()) % (at as u64 + 1)).unwrap());
        }
        let mixed = policy("a", 1, &disjoint(&shuffled));
        prop_assert_eq!(shown(&evaluate(&[&other, &mixed], &moved, &context())), expected);
    }

    #[test]
    fn a_finding_or_rule_that_has_nothing_to_do_with_it_changes_no_verdict(findings in findings(), extra in 0_usize..10, at in 0_usize..9) {
        let straight: Vec<usize> = (0..8).collect();
        let before = evaluate(&[policy("a", 0, &disjoint(&straight))], &findings, &context()).verdicts;
        let mut rules: Vec<String> = disjoint(&straight).lines().map(|line| format!("{line}\n")).collect();
        rules.insert(at, "- {name: extra, match: {packages: [nonesuch]}, action: block}\n".to_owned());
        let mut more = findings.clone();
        more.push(finding(999, extra, 0, 0, 1, true));
        let after = evaluate(&[policy("a", 0, &rules.concat())], &more, &context()).verdicts;
        prop_assert_eq!(&before[..], &after[..findings.len()]);
    }

    #[test]
    fn what_a_preview_says_is_what_the_document_does_once_it_is_stored(findings in findings(), order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle()) {
        let text = format!("version: '1.0'\nrules:\n{}", disjoint(&order));
        let preview = parse(&text, Format::Yaml).accept().unwrap();
        // Import stores the canonical document; it is exported as YAML and read again by the next start.
        let stored = serde_json::to_string(&preview).unwrap();
        let imported = parse(&stored, Format::Json).accept().unwrap();
        let exported = parse(&imported.to_yaml().unwrap(), Format::Yaml).accept().unwrap();
        let answer = |document| shown(&evaluate(&[Compiled::new("p", 0, document).unwrap()], &findings, &context()));
        prop_assert_eq!(answer(&preview), answer(&imported));
        prop_assert_eq!(answer(&preview), answer(&exported));
        prop_assert_eq!(preview.digest().unwrap(), exported.digest().unwrap());
    }
}

#[test]
fn the_order_of_keys_does_not_change_a_digest() {
    let digest = |text: &str| parse(text, Format::Yaml).accept().unwrap().digest().unwrap();
    let one = digest(
        "version: '1.0'\nrules: [{name: a, kev: true, action: {type: warn, justification: j}}]\nscoring: {trustWeights: {B: 1, A: 2}}",
    );
    let other = digest(
        "scoring: {trustWeights: {A: 2, B: 1}}\nrules: [{action: {justification: j, type: warn}, kev: true, name: a}]\nversion: '1.0'",
    );
    assert_eq!(one, other);
}
