//! Reports verified without a server.

use serde_json::{Value, json};
use stella_attest::report::{Evidence, ReportBody, ReportPolicy, ReportSummary};
use stella_attest::{Report, ReportFinding, SigningKey};
use stella_domain::{Digest, Severity};

use crate::support::{Work, stellopsctl};

fn signed(key: &SigningKey) -> Value {
    let finding = ReportFinding {
        advisory_id: Some("CVE-2026-0001".to_owned()),
        package: "openssl".to_owned(),
        fixed_in: vec!["3.0.14".to_owned()],
        ..ReportFinding::new("f", Severity::Critical)
    };
    let body = ReportBody {
        image_digest: Digest::of("image"),
        verdict: "blocked".to_owned(),
        policy: ReportPolicy { revision_id: "rev-1".to_owned(), digest: Digest::of("policy").hex() },
        summary: ReportSummary { total: 1, blocked: 1, ..ReportSummary::default() },
        verdicts: vec![json!({"findingId": "f", "status": "Blocked", "score": 40.0})],
        issues: Vec::new(),
        findings: vec![finding],
        evidence: Evidence::Scanned { scan_id: "s".to_owned() },
    };
    let report = Report::new(&body).unwrap();
    json!({"report": report.value(), "dsse": report.sign(key).unwrap()})
}

#[test]
fn only_what_was_signed_verifies() {
    let work = Work::new();
    let key = SigningKey::from_seed("signing", &[7; 32]);
    let pem = work.write("signing.pem", key.verifying().to_pem().unwrap());
    let good = signed(&key);
    let verify = |name: &str, report: &Value| {
        stellopsctl(&["report", "verify", &work.write(name, report.to_string()), "--key", &pem])
    };
    let ran = verify("good.json", &good);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("verdict blocked"), "{ran:?}");
    assert_eq!(verify("envelope.json", &good["dsse"]).code, Some(0));

    let mut shown = good.clone();
    shown["report"]["verdict"] = json!("pass");
    let ran = verify("shown.json", &shown);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("not the one that was signed"), "{ran:?}");

    let mut payload = good.clone();
    let text = payload["dsse"]["payload"].as_str().unwrap();
    payload["dsse"]["payload"] = json!(format!("A{}", &text[1..]));
    assert_eq!(verify("payload.json", &payload).code, Some(1));

    // Somebody who cannot sign swaps the payload for another report.
    let mut swapped = good.clone();
    let mut report = good["report"].clone();
    report["verdict"] = json!("pass");
    let bytes = stella_attest::canonical::to_vec(&report).unwrap();
    let envelope = stella_attest::Envelope::sign("application/vnd.stellaops.report+json", &bytes, &key);
    swapped["dsse"]["payload"] = json!(envelope.payload);
    let ran = verify("swapped.json", &swapped);
    assert!(ran.code == Some(1) && ran.out.contains("the payload was changed after it was signed"), "{ran:?}");

    let other = SigningKey::from_seed("other", &[8; 32]);
    let other_report = work.write("other.json", signed(&other).to_string());
    let ran = verify("other.json", &signed(&other));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("not verified: ") && ran.out.contains("signed with key 'other' (ed25519)"), "{ran:?}");
    let ran = stellopsctl(&["report", "verify", &other_report, "--key", &format!("other={pem}")]);
    assert!(ran.code == Some(1) && ran.out.contains("key 'other' does not verify"), "{ran:?}");
}

#[test]
fn old_and_new_keys_stand_in_one_file_and_secrets_verify_too() {
    let work = Work::new();
    let (old, new) = (SigningKey::from_seed("old", &[1; 32]), SigningKey::from_seed("new", &[2; 32]));
    let pems = [&new, &old].map(|key| key.verifying().to_pem().unwrap()).join("\n");
    let keys = work.write("keys.pem", pems);
    let secret = work.write("secret", "0123456789abcdef0123456789abcdef\n");
    let shared = SigningKey::from_secret("s", b"0123456789abcdef0123456789abcdef").unwrap();
    for (key, file) in [(&old, &keys), (&new, &keys), (&shared, &secret)] {
        let report = work.write("report.json", signed(key).to_string());
        let ran = stellopsctl(&["report", "verify", &report, "--key", file]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let report = work.write("report.json", signed(&shared).to_string());
    let ran = stellopsctl(&["report", "verify", &report, "--key", &keys, "--key", &secret]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(stellopsctl(&["report", "verify", &report, "--key", &keys]).code, Some(1));
}

#[test]
fn a_report_is_shown_as_a_page() {
    let work = Work::new();
    let report = work.write("report.json", signed(&SigningKey::from_seed("k", &[7; 32])).to_string());
    let ran = stellopsctl(&["report", "show", &report]);
    assert!(ran.code == Some(0) && ran.out.contains("| Critical | CVE-2026-0001 | openssl"), "{ran:?}");
    let ran = stellopsctl(&["report", "show", &report, "--format", "html"]);
    assert!(ran.code == Some(0) && ran.out.starts_with("<!doctype html>"), "{ran:?}");
    assert!(ran.out.contains("Update <bdi>openssl</bdi> to <bdi>3.0.14</bdi> or later."), "{ran:?}");
    let other = work.write("other.json", "{}");
    stellopsctl(&["report", "show", &other]).failed_with(&[&other]);
}

#[test]
fn a_key_that_is_none_is_trouble() {
    let work = Work::new();
    let report = work.write("report.json", signed(&SigningKey::from_seed("k", &[7; 32])).to_string());
    let no_key = work.write("no.pem", "hello");
    stellopsctl(&["report", "verify", &report, "--key", &no_key]).failed_with(&[&no_key]);
    stellopsctl(&["report", "verify", "nowhere.json", "--key", &no_key]).failed_with(&["no.pem"]);
}
