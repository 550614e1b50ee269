//! Signed reports as an operator makes, keeps and shows them.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::ground::{BLOCK_CRITICAL, Ground, WARN_ALL};
use crate::support::{Work, stellopsctl};

fn report(ground: &Ground, body: &Value) -> Value {
    let (status, signed) = ground.post("/api/v1/reports", body);
    assert_eq!(status, 200, "{signed}");
    signed
}

#[test]
fn a_report_is_named_by_its_content_and_kept() {
    let ground = Ground::new();
    let before = report(&ground, &json!({"scanId": ground.scan}));
    let id = before["report"]["reportId"].as_str().unwrap();
    let digits = id.strip_prefix("report-").unwrap();
    assert!(digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{id}");
    assert_eq!(report(&ground, &json!({"scanId": ground.scan})), before, "the same state is the same report");
    assert_eq!(ground.get(&format!("/api/v1/reports/{id}")), before);
    let dsse = &before["dsse"];
    assert_eq!(dsse["payloadType"], "application/vnd.stellaops.report+json");
    let signature = &dsse["signatures"][0];
    assert_eq!((&signature["keyId"], &signature["keyid"]), (&json!("scanner-report-signing"), &signature["keyId"]));
    assert_eq!((&signature["algorithm"], &signature["sig"]), (&json!("ed25519"), &signature["signature"]));
    assert_eq!(ground.import(BLOCK_CRITICAL, &[]).0, 200);
    ground.becomes("fail");
    let after = report(&ground, &json!({"scanId": ground.scan}));
    assert_ne!(after["report"]["reportId"], before["report"]["reportId"]);
    assert_eq!(
        (&after["report"]["verdict"], &after["report"]["policy"]["revisionId"]),
        (&json!("blocked"), &json!("rev-1"))
    );
    assert_eq!(ground.get(&format!("/api/v1/reports/{id}")), before, "the old one stays");
}

#[test]
fn what_a_caller_supplies_is_signed_as_such_and_never_feeds_admission() {
    let ground = Ground::new();
    let block = "version: '1.0'\nrules: [{name: no, severity: [Low], action: block}]";
    assert_eq!(ground.import(block, &[]).0, 200);
    let findings = json!([{"id": "made up", "severity": "Low"}]);
    let signed = report(&ground, &json!({"imageDigest": ground.digest, "findings": findings}));
    assert_eq!(
        (&signed["report"]["verdict"], &signed["report"]["evidence"], &signed["report"]["scanId"]),
        (&json!("blocked"), &json!("supplied"), &Value::Null)
    );
    // The image has no such finding, however often it is judged anew.
    assert_eq!(ground.import(WARN_ALL, &[]).0, 200);
    ground.becomes("warn");
    assert_eq!(ground.import(block, &[]).0, 200);
    ground.becomes("pass");
}

#[test]
fn questions_that_make_no_sense_name_the_field() {
    let ground = Ground::new();
    let finding = json!({"id": "a", "severity": "Low"});
    let long: Vec<Value> = (0..10_001).map(|at| json!({"id": format!("f{at}"), "severity": "Low"})).collect();
    for (body, status, path) in [
        (json!({}), 400, None),
        (json!({"scanId": ground.scan, "findings": [finding]}), 400, None),
        (json!({"imageDigest": ground.digest}), 400, None),
        (json!({"scanId": "0".repeat(32)}), 404, None),
        (json!({"imageDigest": "sha256:1", "findings": []}), 400, Some("$.imageDigest")),
        (
            json!({"imageDigest": ground.digest, "findings": [finding, {"id": "b", "severity": "Dire"}]}),
            400,
            Some("$.findings[1]"),
        ),
        (json!({"imageDigest": ground.digest, "findings": long}), 400, Some("$.findings")),
    ] {
        let (got, problem) = ground.post("/api/v1/reports", &body);
        assert_eq!(got, status, "{problem}");
        assert!(problem["type"].as_str().unwrap().starts_with("https://stella-ops.org/probs/"), "{problem}");
        if let Some(path) = path {
            assert_eq!(problem["errors"][0]["path"], path, "{problem}");
        }
    }
    let signed = report(&ground, &json!({"scanId": ground.scan}));
    let own = format!("/api/v1/reports/{}", signed["report"]["reportId"].as_str().unwrap());
    let get = |path: &str| ground.operator.call("GET", path, &[], b"").0;
    assert_eq!((get(&format!("{own}?format=pdf")), get(&format!("{own}?colour=red"))), (400, 400));
    assert_eq!(get("/api/v1/reports/report-00000000000000000000"), 404);
}

#[test]
fn a_shared_secret_signs_and_verifies() {
    let work = Work::new();
    let secret = work.write("secret", "of thirty-two bytes and some more of them");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ground = Ground::with(work, &["--signing-key", &secret]);
    let signed = report(&ground, &json!({"scanId": ground.scan}));
    let signature = &signed["dsse"]["signatures"][0];
    assert_eq!((&signature["algorithm"], &signature["sig"]), (&json!("hs256"), &Value::Null), "{signature}");
    let file = ground.work.write("report.json", signed.to_string());
    assert_eq!(stellopsctl(&["report", "verify", &file, "--key", &secret]).code, Some(0));
    let other = ground.work.write("other", "of thirty-two bytes, but none of those");
    assert_eq!(stellopsctl(&["report", "verify", &file, "--key", &other]).code, Some(1));
    assert_eq!(ground.get("/api/v1/reports/keys")["items"], json!([]), "a secret is not shown");
}

#[test]
fn supplied_findings_in_any_order_are_one_report() {
    let ground = Ground::new();
    assert_eq!(ground.import(BLOCK_CRITICAL, &[]).0, 200);
    let (critical, low) = (json!({"id": "a", "severity": "Critical"}), json!({"id": "b", "severity": "Low"}));
    let of = |findings: [&Value; 2]| report(&ground, &json!({"imageDigest": ground.digest, "findings": findings}));
    let one = of([&critical, &low]);
    assert_eq!((&one["report"]["verdict"], &one["report"]["evidence"]), (&json!("blocked"), &json!("supplied")));
    assert_eq!(one, of([&low, &critical]));
}
