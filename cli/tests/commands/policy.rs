//! Policies of files.

use crate::support::{Work, stellopsctl};

const ACCEPT: &str = r#"
version: "1.0"
rules:
  - name: accepted
    match: {packages: [django]}
    action: {type: ignore, justification: behind a proxy}
"#;

const BLOCK: &str =
    r#"{"version":"1.0","rules":[{"name":"no old crypto","match":{"packages":["cryptography"]},"action":"block"}]}"#;

const WRONG: &str = "version: \"1.0\"\nrules:\n  - name: wrong\n    severity: [Foo]\n    action: block\n";

#[test]
fn ignored_findings_do_not_count_but_are_shown() {
    let work = Work::new();
    let policy = work.write("policy.yaml", ACCEPT);
    let ran = work.scan_bom(&["--policy-file", &policy, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = ran.json();
    assert_eq!(document["policyStatus"], "pass");
    let verdict = &document["findings"][0]["verdict"];
    assert_eq!((&verdict["status"], &verdict["ruleName"]), (&"Ignored".into(), &"accepted".into()));
    assert!(work.scan_bom(&["--policy-file", &policy]).out.contains("Ignored"));
    let log = work.scan_bom(&["--policy-file", &policy, "--format", "sarif"]).json();
    assert_eq!(log["runs"][0]["results"][0]["suppressions"][0]["kind"], "external");
}

#[test]
fn a_block_fails_whatever_the_threshold() {
    let work = Work::new();
    let mild = work.write("mild.json", crate::support::bom(&["cryptography@38.0.0"]).to_string());
    let policy = work.write("policy.json", BLOCK);
    let ran = work.scan(&mild, &["--policy-file", &policy, "--json"]);
    assert_eq!((ran.code, &ran.json()["policyStatus"]), (Some(1), &"blocked".into()));
    assert!(ran.err.contains("policy refuses the image"), "{ran:?}");
}

#[test]
fn rego_decides_like_rules_do() {
    let work = Work::new();
    let source = "package stella.policy\n\nverdict := {\"action\": \"block\", \"rule\": \"no old crypto\"} if {\n\tinput.finding.package == \"cryptography\"\n}\n";
    let policy = work.write("policy.rego", source);
    let mild = work.write("mild.json", crate::support::bom(&["cryptography@38.0.0"]).to_string());
    let ran = work.scan(&mild, &["--policy-file", &policy, "--json"]);
    let document = ran.json();
    assert_eq!((ran.code, &document["policyStatus"]), (Some(1), &"blocked".into()), "{ran:?}");
    let verdict = &document["findings"][0]["verdict"];
    assert_eq!((&verdict["status"], &verdict["ruleName"]), (&"Blocked".into(), &"no old crypto".into()));
    assert_eq!(stellopsctl(&["policy", "validate", &policy]).code, Some(0));
}

#[test]
fn unusable_policies_are_refused() {
    let work = Work::new();
    let wrong = work.write("wrong.yaml", WRONG);
    work.scan_bom(&["--policy-file", &wrong]).failed_with(&[&wrong, "$.rules[0].severity", "Foo"]);
    let rego = work.write("clock.rego", "package stella.policy\n\nverdict := \"block\" if time.now_ns() > 0\n");
    work.scan_bom(&["--policy-file", &rego]).failed_with(&["line 3", "time.now_ns"]);
    let missing = work.text("missing.yaml");
    work.scan_bom(&["--policy-file", &missing]).failed_with(&["cannot read policy", &missing]);
}

#[test]
fn validation_needs_no_server() {
    let work = Work::new();
    let good = stellopsctl(&["policy", "validate", &work.write("policy.yaml", ACCEPT)]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.out.ends_with("valid: 1 rule\n"), "{good:?}");
    let wrong = work.write("wrong.yaml", WRONG);
    let bad = stellopsctl(&["policy", "validate", &wrong, "--json"]);
    assert_eq!((bad.code, &bad.json()["valid"]), (Some(1), &false.into()));
    let told = stellopsctl(&["policy", "validate", &wrong]);
    assert!(told.out.contains("error: $.rules[0].severity (line "), "{told:?}");
    assert_eq!(stellopsctl(&["policy", "validate", "nowhere.yaml"]).code, Some(2));
}
