//! `stellopsctl policy test`.

use serde_json::json;

use crate::ground::BLOCK_CRITICAL;
use crate::support::{Work, stellopsctl};

const REGO: &str = "package stella.policy\n\nverdict := \"block\" if input.finding.severity == \"Critical\"\n";

#[test]
fn cases_of_a_folder_are_run() {
    let work = Work::new();
    work.write("p/base.yaml", BLOCK_CRITICAL);
    let case = |status: &str| {
        json!({"cases": [{
            "name": "criticals", "findings": [{"id": "f", "severity": "Critical"}],
            "expect": {"image": "blocked", "findings": {"f": status}, "rules": {"f": "no criticals"}},
        }]})
    };
    let file = work.write("p/base_test.json", case("Blocked").to_string());
    let folder = work.text("p");
    let good = stellopsctl(&["policy", "test", &folder]);
    assert_eq!(
        (good.code, good.out.as_str()),
        (Some(0), "PASS: base_test.json: criticals\n1 of 1 passed\n"),
        "{good:?}"
    );
    std::fs::write(&file, case("Pass").to_string()).unwrap();
    let bad = stellopsctl(&["policy", "test", &folder]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.out.contains("f: expected Pass, got Blocked"), "{bad:?}");
    assert_eq!(stellopsctl(&["policy", "test", &work.text("feeds")]).code, Some(2));
}

#[test]
fn tests_in_yaml_and_rego_are_found_in_folders_within_the_folder() {
    let work = Work::new();
    work.write("p/shop/base.rego", REGO);
    let cases = "cases:\n- name: criticals\n  findings: [{id: f, severity: Critical}]\n  expect: {image: blocked}\n";
    work.write("p/shop/base_test.yaml", cases);
    work.write(
        "p/shop/base_test.rego",
        "package stella.policy_test\n\nimport data.stella.policy\n\n\
         test_critical if policy.verdict == \"block\" with input as {\"finding\": {\"severity\": \"Critical\"}}\n\n\
         test_low if policy.verdict == \"block\" with input as {\"finding\": {\"severity\": \"Low\"}}\n\n\
         todo_test_later if false\n",
    );
    work.write("p/.hidden/other_test.rego", "no rego");
    let folder = work.text("p");
    let all = stellopsctl(&["policy", "test", &folder]);
    let told = "PASS: shop/base_test.rego: test_critical\nFAIL: shop/base_test.rego: test_low\n\
                SKIPPED: shop/base_test.rego: todo_test_later\nPASS: shop/base_test.yaml: criticals\n\
                2 of 4 passed, 1 skipped\n";
    assert_eq!((all.code, all.out.as_str()), (Some(1), told), "{all:?}");
    let some = stellopsctl(&["policy", "test", &folder, "--run", "critical"]);
    assert_eq!(some.code, Some(0), "{some:?}");
    assert!(some.out.ends_with("2 of 2 passed\n"), "{some:?}");
    assert_eq!(stellopsctl(&["policy", "test", &folder, "--run", "nothing"]).code, Some(2));
    let json: serde_json::Value =
        serde_json::from_str(&stellopsctl(&["--json", "policy", "test", &folder]).out).unwrap();
    assert_eq!((&json[1]["passed"], &json[2]["skipped"]), (&json!(false), &json!(true)));
}

#[test]
fn tests_without_a_policy_or_of_one_that_is_refused_are_an_error() {
    let work = Work::new();
    work.write("p/alone_test.rego", "package t\ntest_a if true");
    let alone = stellopsctl(&["policy", "test", &work.text("p")]);
    assert_eq!(alone.code, Some(2), "{alone:?}");
    assert!(alone.err.contains("alone.rego"), "{alone:?}");
    work.write("p/alone.rego", "package stella.policy\nverdict := http.send({})");
    let refused = stellopsctl(&["policy", "test", &work.text("p")]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("http.send"), "{refused:?}");
}
