//! A report as an in-toto statement (v1) with the vulnerability predicate (`in-toto.io/attestation/vulns`, v0.2), the form that
//! cosign and policy engines read.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stella_domain::Timestamp;

use crate::canonical;
use crate::dsse::Envelope;
use crate::finding::ReportFinding;
use crate::key::SigningKey;
use crate::report::{Report, ReportError};

/// The payload type of in-toto statements in DSSE envelopes.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The type of the predicate.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/vulns/v0.2";
/// The kind of a sigstore bundle, which is what cosign looks for among the referrers of an image.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The field of the predicate that holds the whole report; in-toto lets predicates have fields named by a URI of one's own.
pub const REPORT_FIELD: &str = "https://stella-ops.org/report";

/// The scan behind a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanFacts {
    /// The image's name without tag and digest; part of the statement's subject.
    pub name: String,
    /// Version of the scanner.
    pub version: String,
    /// Digest of the advisories it matched against.
    pub database: Option<String>,
    /// The newest change in them.
    pub database_updated: Timestamp,
    /// When it was asked for.
    pub started: Timestamp,
    /// When it was done.
    pub finished: Timestamp,
}

/// The statement about the image of `report`.
///
/// # Errors
/// When the report has not the fields of one.
pub fn statement(report: &Report, scan: &ScanFacts) -> Result<Value, ReportError> {
    let body = report.body()?;
    let status =
        |verdict: &Value| Some((verdict["findingId"].as_str()?.to_owned(), verdict["status"].as_str()?.to_owned()));
    let statuses: BTreeMap<String, String> = body.verdicts.iter().filter_map(status).collect();
    let result: Vec<Value> =
        body.findings.iter().map(|finding| entry(finding, statuses.get(&finding.finding_id))).collect();
    let mut database = json!({"uri": "https://stella-ops.org/advisories", "lastUpdate": scan.database_updated});
    if let Some(version) = &scan.database {
        database["version"] = json!(version);
    }
    Ok(json!({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": scan.name, "digest": {"sha256": body.image_digest.hex()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "scanner": {
                "uri": "https://stella-ops.org/scanner",
                "version": scan.version,
                "db": database,
                "result": result,
            },
            "metadata": {"scanStartedOn": scan.started, "scanFinishedOn": scan.finished},
            REPORT_FIELD: report.value(),
        },
    }))
}

/// The signed statement; the same for the same arguments.
///
/// # Errors
/// As [`statement`], or when it has no canonical form.
pub fn sign(report: &Report, scan: &ScanFacts, key: &SigningKey) -> Result<Envelope, ReportError> {
    let bytes = canonical::to_vec(&statement(report, scan)?)?;
    Ok(Envelope::sign(PAYLOAD_TYPE, &bytes, key))
}

/// A signed statement as a sigstore bundle (v0.3). The name of the key is its hint and stands at no signature: cosign names keys
/// by their content, and passes over signatures with another name. There is no entry of a transparency log in it.
#[must_use]
pub fn bundle(envelope: &Envelope, key_id: &str) -> Value {
    let signatures: Vec<Value> =
        envelope.signatures.iter().filter_map(|signature| Some(json!({"sig": signature.sig.as_ref()?}))).collect();
    json!({
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_id}, "tlogEntries": []},
        "dsseEnvelope": {
            "payloadType": envelope.payload_type,
            "payload": envelope.payload,
            "signatures": signatures,
        },
    })
}

/// Notes by which tools find the bundle of a report.
#[must_use]
pub fn bundle_notes(report_id: &str) -> BTreeMap<String, String> {
    let notes = [
        ("dev.sigstore.bundle.content", "dsse-envelope"),
        ("dev.sigstore.bundle.predicateType", PREDICATE_TYPE),
        ("org.stella-ops.report", report_id),
    ];
    notes.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn entry(finding: &ReportFinding, status: Option<&String>) -> Value {
    let mut severity = vec![json!({"method": "stella", "score": finding.severity.name().to_ascii_lowercase()})];
    severity.extend(finding.score.map(|score| json!({"method": "cvss_score", "score": format!("{score:.1}")})));
    severity.extend(finding.epss.map(|epss| json!({"method": "epss", "score": format!("{epss:.5}")})));
    let annotations = [
        ("findingId", Some(finding.finding_id.clone())),
        ("purl", finding.purl.clone()),
        ("package", Some(finding.package.clone()).filter(|name| !name.is_empty())),
        ("installedVersion", Some(finding.version.clone()).filter(|version| !version.is_empty())),
        ("fixedIn", Some(finding.fixed_in.join(", ")).filter(|versions| !versions.is_empty())),
        ("reachability", Some(finding.reachability.name().to_owned())),
        ("status", status.cloned()),
        ("knownExploited", finding.kev.then(|| "true".to_owned())),
    ];
    let known = |(key, value): (&str, Option<String>)| value.map(|value| json!({"key": key, "value": value}));
    let annotations: Vec<Value> = annotations.into_iter().filter_map(known).collect();
    json!({"id": finding.name(), "severity": severity, "annotations": annotations})
}

#[cfg(test)]
mod tests {
    use super::*;
    use stella_domain::Digest;

    use crate::report::{Evidence, ReportBody, ReportPolicy, ReportSummary};

    #[test]
    fn a_statement_names_the_image_its_vulnerabilities_and_the_report() {
        let finding = crate::finding::tests::sample();
        let report = Report::new(&ReportBody {
            image_digest: Digest::of("image"),
            verdict: "blocked".to_owned(),
            policy: ReportPolicy { revision_id: "rev-1".to_owned(), digest: Digest::of("policy").hex() },
            summary: ReportSummary::default(),
            verdicts: vec![json!({"findingId": "f", "status": "Blocked"})],
            issues: Vec::new(),
            findings: vec![finding],
            evidence: Evidence::Scanned { scan_id: "s".to_owned() },
        })
        .unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let scan = ScanFacts {
            name: "registry.example/shop/web".to_owned(),
            version: "1.0.0".to_owned(),
            database: None,
            database_updated: at("2026-01-01T00:00:00Z"),
            started: at("2026-01-02T00:00:00Z"),
            finished: at("2026-01-02T00:00:05Z"),
        };
        let found = statement(&report, &scan).unwrap();
        assert_eq!(found["subject"][0]["digest"]["sha256"], Digest::of("image").hex());
        let scanner = &found["predicate"]["scanner"];
        assert_eq!(scanner["result"][0]["id"], "CVE-2026-0001");
        assert_eq!(scanner["result"][0]["severity"][1], json!({"method": "cvss_score", "score": "9.8"}));
        assert!(
            scanner["result"][0]["annotations"]
                .as_array()
                .unwrap()
                .contains(&json!({"key": "status", "value": "Blocked"}))
        );
        assert_eq!(scanner["db"]["lastUpdate"], "2026-01-01T00:00:00.000Z");
        assert_eq!(found["predicate"]["metadata"]["scanFinishedOn"], "2026-01-02T00:00:05.000Z");
        assert_eq!(found["predicate"][REPORT_FIELD]["reportId"], report.id());

        let key = SigningKey::from_seed("k", &[1; 32]);
        let envelope = sign(&report, &scan, &key).unwrap();
        assert_eq!(envelope, sign(&report, &scan, &key).unwrap());
        assert!(envelope.verify(PAYLOAD_TYPE, &[&key.verifying()]).is_ok());
        let bundle = bundle(&envelope, "k");
        assert_eq!(bundle["dsseEnvelope"]["signatures"], json!([{"sig": envelope.signatures[0].sig}]));
    }
}
