use proptest::prelude::*;

use super::*;
use crate::{ActionKind, lint};

const EXAMPLE: &str = r#"
version: "1.0"
rules:
  - name: Block reachable criticals
    severity: [Critical]
    reachability: [runtime, entrypoint]
    action: block
  - name: Quiet dev
    environments: [dev]
    action: {type: ignore, justification: dev waiver, until: 2026-12-31T00:00:00Z}
"#;

fn codes(text: &str) -> Vec<(&'static str, String)> {
    parse(text, Format::Yaml).issues.into_iter().map(|issue| (issue.code.name(), issue.path)).collect()
}

fn with_rule(fields: &str) -> String {
    format!("version: '1.0'\nrules:\n  - {{name: R, {fields}}}\n")
}

#[test]
fn the_example_of_the_contract_has_no_issue() {
    let parsed = parse(EXAMPLE, Format::Yaml);
    assert_eq!(parsed.issues, []);
    assert_eq!(parsed.document.rules.len(), 2);
    assert_eq!(parsed.document.rules[1].action.kind, ActionKind::Ignore);
}

#[test]
fn yaml_json_and_both_spellings_of_an_action_have_one_digest() {
    let document = parse(EXAMPLE, Format::Yaml).accept().unwrap();
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(parse(&json, Format::Json).accept().unwrap(), document);
    assert_eq!(parse(&document.to_yaml().unwrap(), Format::Yaml).accept().unwrap(), document);
    let spellings = ["action: block", "action: {type: block}", "action: {block: {}}", "action: {type: Block}"];
    let digests = spellings.map(|action| parse(&with_rule(action), Format::Yaml).accept().unwrap().digest().unwrap());
    assert_eq!(digests, [digests[0]; 4]);
}

#[test]
fn an_unknown_level_is_named_where_the_list_stands() {
    let parsed = parse(&with_rule("severity: [Low, None, Foo], action: block"), Format::Yaml);
    let problem = serde_json::to_string(&parsed.issues[0].problem()).unwrap();
    assert_eq!(problem, r#"{"path":"$.rules[0].severity","msg":"Invalid level 'Foo'"}"#);
    assert!(parsed.is_blocked());
    assert_eq!(parse(&with_rule("severity: [Low, None], action: block"), Format::Yaml).issues, []);
}

#[test]
fn each_mistake_has_its_code_and_place() {
    let samples = [
        ("action: explode", "policy.rule.action.invalid", "$.rules[0].action"),
        ("action: escalate", "policy.rule.action.invalid", "$.rules[0].action"),
        ("action: {block: {}, warn: {}}", "policy.rule.action.invalid", "$.rules[0].action"),
        ("action: {type: block, vendors: [a]}", "policy.rule.action.invalid", "$.rules[0].action.vendors"),
        ("severty: [Low], action: block", "policy.field.unknown", "$.rules[0].severty"),
        ("kev: 'yes', action: block", "policy.field.type", "$.rules[0].kev"),
        ("epssMin: 2, action: block", "policy.rule.epss.invalid", "$.rules[0].epssMin"),
        ("expires: tomorrow, action: block", "policy.rule.instant.invalid", "$.rules[0].expires"),
        ("match: {images: ['[']}, action: block", "policy.rule.glob.invalid", "$.rules[0].match.images[0]"),
        ("reachability: [near], action: block", "policy.rule.reachability.invalid", "$.rules[0].reachability"),
        ("severity: [Low]", "policy.rule.action.missing", "$.rules[0].action"),
    ];
    for (fields, code, path) in samples {
        assert_eq!(codes(&with_rule(fields)), [(code, path.to_owned())], "{fields}");
    }
}

#[test]
fn documents_without_sense_are_refused() {
    assert_eq!(codes("rules: [\n"), [("policy.yaml.syntax", "$".to_owned())]);
    assert_eq!(codes("[]"), [("policy.field.type", "$".to_owned())]);
    assert_eq!(
        codes("version: '2.0'\nrules: [{name: R, action: warn}]"),
        [("policy.version.unsupported", "$.version".to_owned())]
    );
    assert_eq!(codes("version: 1.0\nrules: [{name: R, action: warn}]"), []);
    let twice = "version: '1.0'\nrules: [{name: R, action: warn}, {name: R, action: warn}, {action: warn}]";
    let expected = ["policy.rule.name.duplicate", "policy.rule.name.missing"];
    assert_eq!(codes(twice).into_iter().map(|(code, _)| code).collect::<Vec<_>>(), expected);
    assert_eq!(parse(&" ".repeat(MAX_DOCUMENT_BYTES + 1), Format::Yaml).issues[0].code, IssueCode::TooLarge);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", "));
    }
    assert_eq!(codes(&bomb)[0].0, "policy.yaml.syntax");
}

#[test]
fn a_quiet_without_justifications_blocks_though_it_is_a_warning() {
    let parsed = parse(&with_rule("action: {type: ignore, quiet: true, justification: x}"), Format::Yaml);
    assert_eq!(parsed.issues.len(), 1);
    assert_eq!(parsed.issues[0].code.name(), "policy.rule.quiet.missing_vex");
    assert!(parsed.is_blocked());
    let good = "action: {type: requireVex, justifications: [component_not_present], quiet: true}";
    assert_eq!(parse(&with_rule(good), Format::Yaml).issues, []);
}

#[test]
fn a_waiver_needs_all_of_it() {
    let full = [
        "id: w",
        "cve: CVE-1",
        "justification: j",
        "owner: o",
        "ticket: t",
        "expires: 2026-01-01T00:00:00Z",
        "purls: ['pkg:npm/a@*']",
    ];
    let with = |fields: &[&str]| {
        codes(&format!("version: '1.0'\nrules: [{{name: R, action: warn}}]\nwaivers: [{{{}}}]\n", fields.join(", ")))
    };
    assert_eq!(with(&full), []);
    let missing = [
        ("policy.waiver.id.missing", "$.waivers[0].id"),
        ("policy.waiver.advisory.invalid", "$.waivers[0]"),
        ("policy.waiver.justification.missing", "$.waivers[0].justification"),
        ("policy.waiver.owner.missing", "$.waivers[0].owner"),
        ("policy.waiver.ticket.missing", "$.waivers[0].ticket"),
        ("policy.waiver.expires.missing", "$.waivers[0].expires"),
        ("policy.waiver.unscoped", "$.waivers[0]"),
    ];
    for (left_out, (code, path)) in missing.into_iter().enumerate() {
        let fields: Vec<&str> =
            full.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, field)| *field).collect();
        assert_eq!(with(&fields), [(code, path.to_owned())], "without {}", full[left_out]);
    }
    let odd: Vec<&str> = full.iter().copied().chain(["digests: [x]"]).collect();
    assert_eq!(with(&odd), [("policy.waiver.digest.invalid", "$.waivers[0].digests".to_owned())]);
}

#[test]
fn issues_know_their_line_and_column() {
    let places = |text: &str, format| {
        let issues = parse(text, format).issues;
        issues.into_iter().map(|issue| issue.position.map(|at| (at.line, at.column))).collect::<Vec<_>>()
    };
    let yaml = "version: '1.0'\nrules:\n  - name: a\n    severty: [Low]\n    action: block\n  - name: b\n    severity: [Foo]\n    action: block\n  - name: c\n";
    assert_eq!(places(yaml, Format::Yaml), [Some((4, 5)), Some((7, 5)), Some((9, 5))]);
    let json =
        "{\n \"version\": \"1.0\",\n \"rules\": [\n  {\"name\": \"a\", \"kev\": 1, \"action\": \"block\"}\n ]\n}";
    assert_eq!(places(json, Format::Json), [Some((4, 17))]);
    assert_eq!(places("version: '1.0'\nrules: [\n", Format::Yaml).len(), 1);
    assert!(places("version: '1.0'\nrules: [a, b\nx: }\n", Format::Yaml)[0].is_some());
    assert_eq!(places("{\n \"version\": }", Format::Json), [Some((2, 13))]);
    let within = "version: '1.0'\nenvironments: [prod]\nrego: |\n  package stella.policy\n  verdict := \"block\" if time.now_ns() > 0\n";
    assert_eq!(places(within, Format::Yaml), [Some((3, 1))], "of the field, not within it");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let yaml = parse("version: '1.0'\nrules: []\nrules: []\n", Format::Yaml);
    assert_eq!(yaml.issues[0].code, IssueCode::YamlSyntax);
    let json = parse(
        r#"{"version": "1.0", "rules": [{"name": "a", "kev": true, "kev": false, "action": "block"}]}"#,
        Format::Json,
    );
    assert_eq!(json.issues[0].code, IssueCode::JsonSyntax);
    assert!(json.issues[0].message.contains("'kev' stands twice"), "{}", json.issues[0].message);
}

#[test]
fn a_number_that_is_none_is_refused() {
    for number in [".nan", ".inf", "-.inf"] {
        assert_eq!(
            codes(&with_rule(&format!("epssMin: {number}, action: block")))[0].0,
            "policy.yaml.syntax",
            "{number}"
        );
    }
}

#[test]
fn a_few_anchors_are_read() {
    let text = "version: '1.0'\nrules:\n- {name: a, severity: &bad [Critical, High], action: block}\n- {name: b, severity: *bad, kev: true, action: warn}\n";
    let document = parse(text, Format::Yaml).accept().unwrap();
    assert_eq!(document.rules[0].severity, document.rules[1].severity);
}

#[test]
fn what_is_too_long_too_many_or_too_deep_is_refused() {
    let many = format!("version: '1.0'\nrules: [{}]\n", "{name: a, action: warn},".repeat(2001));
    assert_eq!(codes(&many)[0].0, "policy.limit.exceeded");
    let long = with_rule(&format!("description: {}, action: warn", "x".repeat(4097)));
    assert_eq!(codes(&long), [("policy.limit.exceeded", "$.rules[0].description".to_owned())]);
    let list = with_rule(&format!("tags: [{}], action: warn", "a,".repeat(1001)));
    assert_eq!(codes(&list), [("policy.limit.exceeded", "$.rules[0].tags".to_owned())]);
    let deep = "[".repeat(100_000);
    assert_eq!(codes(&deep)[0].0, "policy.yaml.syntax");
    assert_eq!(parse(&deep, Format::Json).issues[0].code, IssueCode::JsonSyntax);
}

#[test]
fn an_action_says_one_thing_only() {
    let refused = [
        "action: {type: warn, block: {}}",
        "action: {type: escalate, minimumSeverity: High, requireVex: {justifications: [fixed]}}",
        "action: {type: escalate, minimumSeverity: High, vendors: [a]}",
        "action: {escalate: {minimumSeverity: High}, minimumSeverity: Low}",
        "action: {type: requireVex, epssMin: 0.1}",
    ];
    for action in refused {
        assert_eq!(codes(&with_rule(action))[0].0, "policy.rule.action.invalid", "{action}");
    }
    assert_eq!(codes(&with_rule("action: {block: 3}"))[0].0, "policy.field.type");
    assert_eq!(
        codes(&with_rule("action: {escalate: {minimumSeverity: High, vendors: [a]}}"))[0].0,
        "policy.field.unknown"
    );
}

#[test]
fn lint_tells_what_is_over_and_what_is_never_reached() {
    let text = "version: '1.0'\nrules:\n- {name: old, expires: 2020-01-01T00:00:00Z, action: block}\n- {name: all, action: warn}\n\
        - {name: late, severity: [Low], action: block}\n";
    let document = parse(text, Format::Yaml).accept().unwrap();
    let found = lint(&document, "2026-01-01T00:00:00Z".parse().unwrap());
    let found: Vec<_> = found.iter().map(|issue| (issue.code.name(), issue.path.as_str())).collect();
    assert_eq!(found, [("policy.rule.expired", "$.rules[0]"), ("policy.rule.shadowed", "$.rules[2]")]);
}

#[test]
fn weights_that_are_not_named_keep_their_defaults() {
    let text = "version: '1.0'\nrules: [{name: R, action: warn}]\nscoring: {severityWeights: {Low: 30}, trustWeights: {Acme: 0.9}}";
    let scoring = parse(text, Format::Yaml).accept().unwrap().scoring;
    assert_eq!(scoring.severity_weights[&stella_domain::Severity::Low], 30.0);
    assert_eq!(scoring.severity_weights[&stella_domain::Severity::Critical], 90.0);
    assert_eq!(scoring.trust_weights["Acme"], 0.9);
}

proptest! {
    #[test]
    fn foreign_text_never_panics(text in ".{0,200}", fields in "[a-z:\\[\\]{}, \"*&\n-]{0,120}") {
        for format in [Format::Yaml, Format::Json] {
            let _ = parse(&text, format);
            let _ = parse(&with_rule(&fields), format);
        }
    }
}
