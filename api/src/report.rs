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
