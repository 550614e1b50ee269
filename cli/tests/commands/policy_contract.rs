//! Requests and answers as the contract of policies has them, against an operator that runs.

use serde_json::{Value, json};

use crate::delta::Operator;
use crate::support::Work;

/// The rule model's own example.
const EXAMPLE: &str = r#"version: "1.0"
rules:
  - name: Block reachable criticals
    severity: [Critical]
    reachability: [runtime, entrypoint]
    action: block
  - name: Quiet dev
    environments: [dev]
    action: {type: ignore, justification: dev waiver, until: 2026-12-31T00:00:00Z}
"#;

const YAML: (&str, &str) = ("content-type", "application/yaml");
const JSON: (&str, &str) = ("content-type", "application/json");

fn started(flags: &[&str]) -> (Work, Operator) {
    let work = Work::new();
    let operator = Operator::start_with(&work, flags);
    (work, operator)
}

fn post(operator: &Operator, path: &str, body: &Value) -> (u16, Value) {
    operator.call("POST", path, &[JSON], body.to_string().as_bytes())
}

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn is_bare_hex(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[test]
fn the_rule_models_examples_are_taken_as_written() {
    let (_work, operator) = started(&[]);
    let (status, valid) = operator.call("POST", "/policy/validate", &[YAML], EXAMPLE.as_bytes());
    assert_eq!((status, &valid["valid"], &valid["ruleCount"]), (200, &json!(true), &json!(2)), "{valid}");
    let levels = "version: \"1.0\"\nrules:\n- {name: a, severity: [Low, None], action: warn}\n";
    assert_eq!(operator.call("POST", "/policy/validate", &[YAML], levels.as_bytes()).0, 200);
    let unknown = "version: \"1.0\"\nrules:\n- {name: a, severity: [Foo], action: warn}\n";
    let (status, problem) = operator.call("POST", "/policy/validate", &[YAML], unknown.as_bytes());
    assert_eq!(status, 400);
    assert_eq!(problem["errors"], json!([{"path": "$.rules[0].severity", "msg": "Invalid level 'Foo'"}]));

    // The same in JSON is the same document.
    let same = json!({"version": "1.0", "rules": [
        {"name": "Block reachable criticals", "severity": ["Critical"], "reachability": ["runtime", "entrypoint"],
            "action": "block"},
        {"name": "Quiet dev", "environments": ["dev"],
            "action": {"type": "ignore", "justification": "dev waiver", "until": "2026-12-31T00:00:00Z"}}]});
    let (_, told) = post(&operator, "/policy/validate", &same);
    assert_eq!(told["digest"], valid["digest"]);
}

#[test]
fn what_is_live_is_exported_under_its_digest_and_replaced_under_it() {
    let (_work, operator) = started(&[]);
    let (head, empty) = operator.raw("GET", "/policy/export", &[], b"");
    assert!(head.contains("content-type: application/yaml"), "{head}");
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim().to_owned();
    let nothing = tag(&head);
    let (_, valid) = operator.call("POST", "/policy/validate", &[YAML], empty.as_bytes());
    assert_eq!(nothing, format!("\"{}\"", valid["digest"].as_str().unwrap()), "{empty}");

    let at =
        |tag: &str, text: &str| operator.call("POST", "/policy/import", &[YAML, ("if-match", tag)], text.as_bytes());
    assert_eq!(at("\"feed\"", EXAMPLE).0, 412);
    let (status, first) = at(&nothing, EXAMPLE);
    assert_eq!((status, &first["revision"], &first["changed"]), (200, &json!("rev-1"), &json!(true)), "{first}");
    let live = tag(&operator.raw("GET", "/policy/export", &[], b"").0);
    assert_eq!(live, format!("\"{}\"", first["digest"].as_str().unwrap()));
    assert_eq!(at(&nothing, "version: \"1.0\"\nrules: []\n").0, 412, "somebody was faster");

    let rego = "package stella.policy\n\nverdict := \"block\" if input.finding.severity == \"Critical\"\n";
    let (status, second) = operator.call("POST", "/policy/import?description=in%20Rego", &[], rego.as_bytes());
    assert_eq!((status, &second["revision"]), (200, &json!("rev-2")), "{second}");
    let (_, text) = operator.raw("GET", "/policy/export", &[], b"");
    assert!(text.contains("rego:") && text.contains("package stella.policy"), "{text}");

    let (_, history) = operator.call("GET", "/policy/history?pageSize=2", &[], b"");
    assert_eq!(history["nextPageToken"], Value::Null);
    let newest = &history["items"][0];
    assert_eq!(
        fields(newest),
        ["active", "actor", "description", "diff", "digest", "name", "revision", "source", "time"]
    );
    assert_eq!((&newest["revision"], &newest["description"]), (&json!("rev-2"), &json!("in Rego")));
    assert_eq!((&newest["actor"], &newest["active"]), (&json!("anonymous"), &json!(true)));
    assert!(is_bare_hex(&newest["digest"]), "{newest}");
    assert_eq!(newest["diff"]["rules"]["removed"], json!(["Block reachable criticals", "Quiet dev"]));
    assert_eq!(newest["diff"]["fields"], json!(["rego"]));
    assert_eq!(operator.call("GET", "/policy/history?pageSize=2&pageToken=forged", &[], b"").0, 400);
    assert_eq!(operator.call("GET", "/policy/history?pageSize=201", &[], b"").0, 400);
}

#[test]
fn the_schema_the_diagnostics_and_the_preview_answer_as_written() {
    let (_work, operator) = started(&[]);
    let (head, schema) = operator.raw("GET", "/api/v1/policy/schema", &[], b"");
    assert!(head.contains("content-type: application/schema+json"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(&schema).unwrap()["$id"], "policy-schema@1");

    let quiet =
        "version: \"1.0\"\nrules:\n- {name: q, action: {type: ignore, quiet: true, until: 2099-01-01T00:00:00Z}}\n";
    let policy = |content: &str| json!({"format": "yaml", "actor": "a", "description": "d", "content": content});
    let (status, told) = post(&operator, "/api/v1/policy/diagnostics", &json!({"policy": policy(quiet)}));
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        fields(&told),
        ["errorCount", "generatedAt", "issues", "recommendations", "ruleCount", "success", "version", "warningCount"]
    );
    let issues = told["issues"].as_array().unwrap();
    let issue = issues.iter().find(|issue| issue["code"] == "policy.rule.quiet.missing_vex").unwrap();
    assert_eq!(fields(issue), ["code", "column", "line", "message", "path", "severity"]);
    assert_eq!((&issue["severity"], &told["success"]), (&json!("Warning"), &json!(false)), "a warning can block");
    let (_, good) = post(&operator, "/api/v1/policy/diagnostics", &json!({"policy": policy(EXAMPLE)}));
    assert_eq!((&good["success"], &good["ruleCount"], &good["errorCount"]), (&json!(true), &json!(2), &json!(0)));

    let digest = format!("sha256:{}", "0".repeat(64));
    let mut question = json!({"imageDigest": digest, "findings": [
        {"id": "a", "severity": "Critical", "source": "NVD", "reachability": "runtime"}, {"id": "b", "severity": "Low"}]});
    let (_, bare) = post(&operator, "/api/v1/policy/preview", &question);
    assert_eq!(fields(&bare), ["changed", "diffs", "issues", "policyDigest", "revisionId", "success"]);
    assert_eq!((&bare["changed"], &bare["success"]), (&json!(0), &json!(true)));
    question["policy"] = policy(EXAMPLE);
    let (status, told) = post(&operator, "/api/v1/policy/preview", &question);
    assert_eq!((status, &told["revisionId"], &told["changed"]), (200, &json!("preview"), &json!(1)), "{told}");
    assert!(is_bare_hex(&told["policyDigest"]));
    let first = &told["diffs"][0];
    assert_eq!(fields(first), ["baseline", "changed", "findingId", "projected"]);
    assert_eq!((&first["findingId"], &first["baseline"]["status"]), (&json!("a"), &json!("Pass")));
    let verdict = &first["projected"];
    assert_eq!((&verdict["status"], &verdict["ruleName"]), (&json!("Blocked"), &json!("Block reachable criticals")));
    assert_eq!((&verdict["score"], &verdict["ruleAction"]), (&json!(40.5), &json!("block")));
    for (factor, value) in [
        ("severityWeight", 90.0),
        ("baseScore", 40.5),
        ("trustWeight", 1.0),
        ("trustWeight.NVD", 1.0),
        ("reachabilityWeight", 0.45),
        ("reachability.runtime", 0.45),
    ] {
        assert_eq!(verdict["inputs"][factor].as_f64(), Some(value), "{factor}: {verdict}");
    }

    assert_eq!(operator.call("POST", "/policy/import", &[YAML], EXAMPLE.as_bytes()).0, 200);
    question.as_object_mut().unwrap().remove("policy");
    let (_, active) = post(&operator, "/api/v1/policy/preview", &question);
    assert_eq!((&active["revisionId"], &active["policyDigest"]), (&json!("rev-1"), &told["policyDigest"]));
    assert_eq!(active["diffs"][0]["projected"]["status"], "Blocked");
}

#[test]
fn the_feature_flag_hides_the_three_endpoints() {
    let (_work, operator) = started(&["--enable-policy-preview", "false"]);
    assert_eq!(operator.call("GET", "/api/v1/policy/schema", &[], b"").0, 404);
    let policy = json!({"content": EXAMPLE});
    assert_eq!(post(&operator, "/api/v1/policy/diagnostics", &json!({"policy": policy})).0, 404);
    let question = json!({"imageDigest": format!("sha256:{}", "0".repeat(64)), "findings": []});
    assert_eq!(post(&operator, "/api/v1/policy/preview", &question).0, 404);
    assert_eq!(operator.call("POST", "/policy/validate", &[YAML], EXAMPLE.as_bytes()).0, 200, "the others stay");
}
