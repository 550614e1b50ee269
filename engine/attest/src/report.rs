//! Reports: what policy says of an image, canonical and signed (reports.md).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stella_domain::Digest;

use crate::canonical::{self, CanonicalError};
use crate::dsse::{DsseError, Envelope};
use crate::finding::ReportFinding;
use crate::key::{SigningKey, VerifyingKey};

/// The payload type of signed reports.
pub const PAYLOAD_TYPE: &str = "application/vnd.stellaops.report+json";

/// Why a report cannot be made or trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It has no canonical form.
    #[error("report: {0}")]
    Canonical(#[from] CanonicalError),
    /// Its envelope is refused.
    #[error("report: {0}")]
    Envelope(#[from] DsseError),
    /// The signature is not one over this payload, whose content does not fit its own id either.
    #[error("report: the payload was changed after it was signed: it has the id '{found}', its content '{expected}'")]
    Changed {
        /// The id of the content.
        expected: String,
        /// The id in the payload.
        found: String,
    },
    /// The payload is no report.
    #[error("report payload is no report: {0}")]
    Payload(serde_json::Error),
    /// The payload is not spelt canonically.
    #[error("report payload is not canonical json")]
    NotCanonical,
    /// The id is not that of the content.
    #[error("report id '{found}' does not belong to the content, expected '{expected}'")]
    Id {
        /// The id of the content.
        expected: String,
        /// The id in the payload.
        found: String,
    },
}

/// The content of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportBody {
    /// The image.
    pub image_digest: Digest,
    /// `pass`, `warn` or `blocked`.
    pub verdict: String,
    /// The revision that decided.
    pub policy: ReportPolicy,
    /// Counts of `verdicts`.
    pub summary: ReportSummary,
    /// One entry a finding, as policy wrote it.
    pub verdicts: Vec<Value>,
    /// Issues of the policy, as policy wrote them.
    pub issues: Vec<Value>,
    /// What the verdicts are about, for people and tools that have nothing but the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ReportFinding>,
    /// Where the findings come from.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// The policy revision of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportPolicy {
    /// The revision in the history, or `preview`.
    pub revision_id: String,
    /// Bare hex digest of the document.
    pub digest: String,
}

/// How many findings have which kind of status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportSummary {
    /// All.
    pub total: u32,
    /// Refused.
    pub blocked: u32,
    /// To be looked at.
    pub warned: u32,
    /// Ignored.
    pub ignored: u32,
    /// Quieted.
    pub quieted: u32,
}

/// Where the findings of a report come from; signed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Evidence {
    /// The caller sent them; such a report never feeds admission.
    Supplied,
    /// A scan of the product found them.
    Scanned {
        /// The scan.
        scan_id: String,
    },
}

/// A report with the id of its content.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    id: String,
    value: Value,
}

impl Report {
    /// The report in `envelope`, whoever signed it.
    ///
    /// # Errors
    /// As [`Self::read`], and when the payload is no base64.
    pub fn unverified(envelope: &Envelope) -> Result<Self, ReportError> {
        Self::read(&envelope.unverified_payload()?)
    }

    /// Makes the report of `body`; the same body gives the same id and the same bytes.
    ///
    /// # Errors
    /// When the body has no canonical form.
    pub fn new(body: &ReportBody) -> Result<Self, ReportError> {
        let value = serde_json::to_value(body).map_err(CanonicalError::from)?;
        Self::with_id(without_nulls(value))
    }

    fn with_id(mut value: Value) -> Result<Self, ReportError> {
        let id = format!("report-{}", &canonical::digest(&value)?.hex()[..20]);
        if let Value::Object(members) = &mut value {
            members.insert("reportId".to_owned(), Value::String(id.clone()));
        }
        Ok(Self { id, value })
    }

    /// `report-` and 20 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The report as JSON, null fields left out.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn canonical_bytes(&self) -> Result<Vec<u8>, ReportError> {
        Ok(canonical::to_vec(&self.value)?)
    }

    /// Signs it.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope, ReportError> {
        Ok(Envelope::sign(PAYLOAD_TYPE, &self.canonical_bytes()?, key))
    }

    /// The report in `envelope`, if one of `keys` signed it, its payload is canonical and its id is that of its content.
    ///
    /// # Errors
    /// Whatever of that does not hold.
    pub fn open(envelope: &Envelope, keys: &[&VerifyingKey]) -> Result<Self, ReportError> {
        let payload = match envelope.verify(PAYLOAD_TYPE, keys) {
            Ok(payload) => payload,
            Err(error @ (DsseError::WrongSignature { .. } | DsseError::UnknownKey { .. })) => {
                let payload = envelope.unverified_payload()?;
                // A payload that does not fit its own id was changed, whoever signed it.
                return Err(match Self::read(&payload) {
                    Err(ReportError::Id { expected, found }) => ReportError::Changed { expected, found },
                    _ => error.into(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        Self::read(&payload)
    }

    /// The report of a payload whose signature is another matter.
    ///
    /// # Errors
    /// When it is no report, not canonical, or has the id of another content.
    pub fn read(payload: &[u8]) -> Result<Self, ReportError> {
        let mut members: Map<String, Value> = serde_json::from_slice(payload).map_err(ReportError::Payload)?;
        if canonical::to_vec(&members)? != payload {
            return Err(ReportError::NotCanonical);
        }
        let found = members.remove("reportId").and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
        let report = Self::with_id(Value::Object(members))?;
        if report.id == found { Ok(report) } else { Err(ReportError::Id { expected: report.id, found }) }
    }

    /// The content as fields.
    ///
    /// # Errors
    /// When a field is missing or of another kind.
    pub fn body(&self) -> Result<ReportBody, ReportError> {
        ReportBody::deserialize(&self.value).map_err(ReportError::Payload)
    }
}

/// Leaves out the null members of objects at any depth.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(kept.map(|(name, member)| (name, without_nulls(member))).collect())
        }
        Value::Array(entries) => Value::Array(entries.into_iter().map(without_nulls).collect()),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(evidence: Evidence) -> ReportBody {
        ReportBody {
            image_digest: Digest::of("image"),
            verdict: "blocked".to_owned(),
            policy: ReportPolicy { revision_id: "rev-1".to_owned(), digest: Digest::of("policy").hex() },
            summary: ReportSummary { total: 1, blocked: 1, ..ReportSummary::default() },
            verdicts: vec![
                json!({"findingId": "f", "status": "Blocked", "quietedBy": null, "inputs": {"a": null, "b": 1.0}}),
            ],
            issues: Vec::new(),
            findings: Vec::new(),
            evidence,
        }
    }

    #[test]
    fn the_id_comes_from_the_content() {
        let report = Report::new(&body(Evidence::Supplied)).unwrap();
        assert_eq!(report, Report::new(&body(Evidence::Supplied)).unwrap());
        assert_eq!(report.id().len(), "report-".len() + 20);
        let scanned = Report::new(&body(Evidence::Scanned { scan_id: "s".to_owned() })).unwrap();
        assert_ne!(report.id(), scanned.id());
        assert_eq!(report.value()["evidence"], "supplied");
        assert_eq!((&scanned.value()["evidence"], &scanned.value()["scanId"]), (&json!("scanned"), &json!("s")));
    }

    #[test]
    fn the_fields_come_back_out_of_a_report() {
        for evidence in [Evidence::Supplied, Evidence::Scanned { scan_id: "s".to_owned() }] {
            let mut body = body(evidence);
            body.findings = vec![crate::finding::tests::sample()];
            let report = Report::new(&body).unwrap();
            let found = Report::read(&report.canonical_bytes().unwrap()).unwrap().body().unwrap();
            assert_eq!((found.findings, found.evidence), (body.findings, body.evidence));
        }
    }

    #[test]
    fn null_fields_are_left_out() {
        let text =
            String::from_utf8(Report::new(&body(Evidence::Supplied)).unwrap().canonical_bytes().unwrap()).unwrap();
        assert!(!text.contains("null"), "{text}");
        assert!(text.contains(r#""verdicts":[{"findingId":"f","inputs":{"b":1},"status":"Blocked"}]"#), "{text}");
    }

    #[test]
    fn a_signed_report_opens_again_and_a_forged_one_does_not() {
        let key = SigningKey::from_seed(crate::DEFAULT_KEY_ID, &[9; 32]);
        let report = Report::new(&body(Evidence::Supplied)).unwrap();
        let envelope = report.sign(&key).unwrap();
        let opened = Report::open(&envelope, &[&key.verifying()]).unwrap();
        assert_eq!((opened.id(), opened.canonical_bytes().unwrap()), (report.id(), report.canonical_bytes().unwrap()));

        let mut value = report.value().clone();
        value["verdict"] = json!("pass");
        let forged = Envelope::sign(PAYLOAD_TYPE, &canonical::to_vec(&value).unwrap(), &key);
        assert!(matches!(Report::open(&forged, &[&key.verifying()]), Err(ReportError::Id { .. })));
        let changed = Envelope { payload: forged.payload, ..envelope.clone() };
        let error = Report::open(&changed, &[&key.verifying()]).unwrap_err();
        assert!(error.to_string().contains("the payload was changed"), "{error}");
        let other = SigningKey::from_seed("other", &[8; 32]).verifying();
        let error = Report::open(&envelope, &[&other]).unwrap_err();
        assert!(matches!(error, ReportError::Envelope(DsseError::UnknownKey { .. })), "{error}");
        let sloppy = Envelope::sign(PAYLOAD_TYPE, &serde_json::to_vec_pretty(report.value()).unwrap(), &key);
        assert!(matches!(Report::open(&sloppy, &[&key.verifying()]), Err(ReportError::NotCanonical)));
    }
}
