//! Reports verified without a server.

use serde_json::{Value, json};
use stella_attest::report::{Evidence, ReportBody, ReportPolicy, ReportSummary};
use stella_attest::{Report, SigningKey};
use stella_domain::Digest;

use crate::support::{Work, stellopsctl};

fn signed(key: &SigningKey) -> Value {
    let body = ReportBody {
        image_digest: Digest::of("image"),
        verdict: "blocked".to_owned(),
        policy: ReportPolicy { revision_id: "rev-1".to_owned(), digest: Digest::of("policy").hex() },
        summary: ReportSummary { total: 1, blocked: 1, ..ReportSummary::default() },
        verdicts: vec![json!({"findingId": "f", "status": "Blocked", "score": 40.0})],
        issues: Vec::new(),
        evidence: Evidence::Scanned { scan_id: "s".to_owned() },
    };
    let report = Report::new(&body).unwrap();
    json!({"report": report.value(), "dsse": report.sign(key).unwrap()})
}

#[test]
fn only_what_was_signed_verifies() {
    let work = Work::new();
    let key = SigningKey::from_seed("signing", &[7; 32]);
    let pem = work.write("signing.pem", key.public().to_pem().unwrap());
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

    let other = SigningKey::from_seed("other", &[8; 32]);
    let ran = verify("other.json", &signed(&other));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("not verified: "), "{ran:?}");
}

#[test]
fn a_key_that_is_none_is_trouble() {
    let work = Work::new();
    let report = work.write("report.json", signed(&SigningKey::from_seed("k", &[7; 32])).to_string());
    let no_key = work.write("no.pem", "hello");
    stellopsctl(&["report", "verify", &report, "--key", &no_key]).failed_with(&[&no_key]);
    stellopsctl(&["report", "verify", "nowhere.json", "--key", &no_key]).failed_with(&["no.pem"]);
}
