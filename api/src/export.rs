//! Export runs (`/export-center/runs`).

use serde::{Deserialize, Serialize};
use stella_domain::Timestamp;
use utoipa::ToSchema;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportRunState {
    /// `export-run::{tenant}::{date}::{nnnn}`.
    pub run_id: String,
    /// `queued running succeeded failed expired cancelled`.
    pub status: String,
    /// `export-profile::{tenant}::{name}`.
    pub profile_id: String,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// What it made.
    pub outputs: Vec<ExportOutput>,
    /// How far it is.
    pub progress: ExportProgress,
    /// What went wrong.
    pub errors: Vec<ExportProblem>,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportOutput {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: String,
    /// `json` or `ndjson`.
    pub format: String,
    /// Where it is.
    pub url: String,
    /// SHA-256 of the bytes served, hex.
    pub sha256: String,
    /// How many bytes.
    pub size: u64,
    /// When it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportProgress {
    /// 0 to 100.
    pub percent: u8,
    /// Artifacts done.
    pub items_completed: u64,
    /// Artifacts wanted.
    pub items_total: u64,
}

/// Something that went wrong in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportProblem {
    /// Stable code.
    pub code: String,
    /// What happened.
    pub message: String,
}
