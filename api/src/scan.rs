//! Scans (`/scan`, `/api/v1/scans`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Timestamp};
use utoipa::ToSchema;

use crate::finding::{Finding, SeveritySummary};

/// The answer of `POST /scan` when it finished within the wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanResult {
    /// The scan.
    pub scan_id: String,
    /// The image's digest, or that of the inventory.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Findings by severity.
    pub summary: SeveritySummary,
    /// `pass`, `warn` or `blocked`, by policy and by the threshold.
    pub policy_status: String,
    /// What is left of today's scans; absent while nothing limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// The signed report by the policies in force, made when it is fetched; `null` where another policy judged.
    pub report_url: Option<String>,
    /// The findings.
    pub findings_url: String,
}

/// What is left of today's scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    /// Scans left.
    pub remaining: u64,
    /// When the count starts anew.
    #[schema(value_type = String, format = DateTime)]
    pub reset: Timestamp,
}

/// A JSON body of `POST /scan` that names an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanReference {
    /// `registry/repo:tag` or with a digest.
    #[serde(default)]
    pub reference: Option<String>,
    /// An archive to fetch.
    #[serde(default)]
    pub image_url: Option<String>,
}

/// A `multipart/form-data` body of `POST /scan`: what is to be scanned, with a policy for this scan alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScanForm {
    /// An SBOM, an image archive, or the JSON that names an image. Any name but `policy` will do for the part.
    #[schema(value_type = String, format = Binary)]
    pub file: Vec<u8>,
    /// Policy in YAML, JSON or Rego, as its content type says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// The body of `POST /api/v1/scans`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScanRequest {
    /// The image.
    pub image: ScanImage,
    /// Scan again although it was done.
    #[serde(default)]
    pub force: bool,
    /// A name of the caller's own.
    #[serde(default)]
    pub client_request_id: Option<String>,
    /// Notes.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// An image by name, digest or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScanImage {
    /// As pods name it.
    #[serde(default)]
    pub reference: Option<String>,
    /// Manifest, index or config digest.
    #[serde(default)]
    pub digest: Option<String>,
}

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanAccepted {
    /// The scan.
    pub scan_id: String,
    /// `Pending`, or where it stands.
    pub status: String,
    /// Where to look.
    pub location: String,
    /// Whether it is new, or a new attempt.
    pub created: bool,
}

/// A scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanState {
    /// The scan.
    pub scan_id: String,
    /// `Pending Running Succeeded Failed Cancelled`.
    pub status: String,
    /// The image; the digest is `null` until it is resolved.
    pub image: ScannedImage,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Why it failed; `null` unless it did.
    pub failure_reason: Option<String>,
}

/// The image of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScannedImage {
    /// As asked.
    pub reference: Option<String>,
    /// As resolved.
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
}

/// One event of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanProgress {
    /// The scan.
    pub scan_id: String,
    /// From 1.
    pub sequence: i64,
    /// The state.
    pub state: String,
    /// One sentence.
    pub message: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// `{scanId}:{sequence:0000}`.
    pub correlation_id: String,
    /// Details.
    pub data: BTreeMap<String, String>,
}

/// The findings of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingPage {
    /// Worst first.
    pub items: Vec<Finding>,
    /// For the next page; `null` at the end.
    pub next_page_token: Option<String>,
}
