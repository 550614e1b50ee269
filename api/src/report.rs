//! Signed reports (`/api/v1/reports`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of `POST /api/v1/reports`: a scan, or findings that the caller brings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReportRequest {
    /// A finished scan.
    #[serde(default)]
    pub scan_id: Option<String>,
    /// The image, with `findings`.
    #[serde(default)]
    pub image_digest: Option<String>,
    /// Findings of the caller's; each needs `id` and `severity`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub findings: Option<Vec<serde_json::Value>>,
}

/// A report and its signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignedReport {
    /// The report.
    #[schema(value_type = Object)]
    pub report: serde_json::Value,
    /// DSSE envelope over the report's canonical JSON.
    #[schema(value_type = Object)]
    pub dsse: serde_json::Value,
}

/// The body of `POST /api/v1/reports/{id}/referrers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttachRequest {
    /// Registry and repository that hold the image; without it those it was scanned by.
    #[serde(default)]
    pub reference: Option<String>,
}

/// A report that was attached to its image as an attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttachedReport {
    /// The report.
    pub report_id: String,
    /// The image.
    pub subject: String,
    /// Registry and repository.
    pub repository: String,
    /// What the referrer is.
    pub artifact_type: String,
    /// Digest of the referrer's manifest.
    pub manifest: String,
    /// The tag with the list of referrers, where the registry has no referrers API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrers_tag: Option<String>,
    /// Digest of the manifest behind the tag where cosign before version 3 looks.
    pub cosign_tag_manifest: String,
}

/// The keys of reports (`GET /api/v1/reports/keys`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportKeys {
    /// The key in use, then those that signed before. A shared secret is not among them.
    pub items: Vec<ReportKey>,
}

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportKey {
    /// Its name in signatures.
    pub key_id: String,
    /// `ed25519` or `es256`.
    pub algorithm: String,
    /// Whether new reports are signed with it.
    pub active: bool,
    /// PEM.
    pub pem: String,
}
