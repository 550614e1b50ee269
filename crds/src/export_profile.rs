//! `ExportProfile`: what leaves the product, when, and where to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::conditions::{Condition, optional_date_time};
use crate::time_zone::needs_schedule;

/// What to export, when, and where to.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "stella-ops.org",
    version = "v1alpha1",
    kind = "ExportProfile",
    namespaced,
    shortname = "sep",
    category = "stella",
    status = "ExportProfileStatus",
    derive = "PartialEq",
    doc = "ExportProfile describes what leaves the product, when, and where to. Each run leaves sorted artifacts and a signed manifest.",
    selectable = ".spec.distribution.type",
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the last run worked"
    ),
    printcolumn(name = "TARGETS", type_ = "string", json_path = ".spec.targets", description = "What is exported"),
    printcolumn(name = "SCHEDULE", type_ = "string", json_path = ".spec.schedule", description = "When it runs"),
    printcolumn(
        name = "LAST-RUN",
        type_ = "date",
        json_path = ".status.lastRun.completedAt",
        description = "When the last run ended"
    ),
    printcolumn(
        name = "STATUS",
        type_ = "string",
        json_path = ".status.lastRun.status",
        description = "How the last run ended"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the object"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [needs_schedule()]))]
pub struct ExportProfileSpec {
    /// What to export.
    #[schemars(length(min = 1, max = 50), extend("x-kubernetes-list-type" = "set"))]
    pub targets: Vec<ExportTarget>,
    /// In which formats.
    #[serde(default = "default_formats")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub formats: Vec<ExportFormat>,
    /// When to run, as a cron expression of five fields. Without it the profile runs once, and on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 100))]
    pub schedule: Option<String>,
    /// The IANA time zone of the schedule; UTC without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Where the artifacts go.
    #[serde(default)]
    pub distribution: Distribution,
    /// Days for which artifacts are kept.
    #[serde(default = "default_retention")]
    #[schemars(range(min = 1, max = 3650))]
    pub retention_days: i32,
    /// Encryption of the artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Order among waiting runs.
    #[serde(default)]
    pub priority: ExportPriority,
    /// What becomes of artifacts when the profile is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Start no new run.
    #[serde(default)]
    pub suspend: bool,
}

fn default_formats() -> Vec<ExportFormat> {
    vec![ExportFormat::Ndjson]
}

fn default_retention() -> i32 {
    30
}

/// What can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are the contract's and say it")]
pub enum ExportTarget {
    Vex,
    Advisory,
    Policy,
    Findings,
    Sbom,
    Reports,
    Runtime,
    TrivyDb,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// Where artifacts go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "self.type in ['none', 'filesystem'] || has(self.ref)", "message": "distribution to a registry or a bucket needs ref"}),
]))]
pub struct Distribution {
    /// The kind of place.
    #[serde(rename = "type", default)]
    pub type_: DistributionType,
    /// The place: a repository, a bucket with prefix, or a folder below the tenant's own.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub reference: Option<String>,
    /// Signing of what is distributed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// A Secret of this namespace with the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub credentials_secret_ref: Option<String>,
    /// Speak plain HTTP, or do not check certificates.
    #[serde(default)]
    pub insecure: bool,
}

/// Kinds of places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DistributionType {
    /// A repository of an OCI registry.
    Oci,
    /// An S3 bucket.
    S3,
    /// Another name of `s3`.
    ObjectStorage,
    /// A folder below the tenant's own.
    Filesystem,
    /// Nowhere: artifacts are fetched from the API.
    #[default]
    None,
}

/// Signing of what is distributed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signing {
    /// Whether to sign.
    #[serde(default)]
    pub enabled: bool,
    /// The key, such as `k8s://secrets/NAMESPACE/NAME`; the product's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub key_ref: Option<String>,
}

/// Encryption of artifacts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "!self.enabled || has(self.kmsKey)", "message": "encryption needs kmsKey"}),
]))]
pub struct Encryption {
    /// Whether to encrypt.
    #[serde(default)]
    pub enabled: bool,
    /// The key that wraps the data key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub kms_key: Option<String>,
}

/// Order among waiting runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum ExportPriority {
    Low,
    #[default]
    Normal,
    High,
}

/// What becomes of stored things when their object is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay until they expire.
    #[default]
    Retain,
    /// They are deleted.
    Delete,
}

/// How the last run went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportProfileStatus {
    /// The generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default)]
    pub observed_generation: i64,
    /// Aspects of the state, one a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The profile's id at the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub profile_id: Option<String>,
    /// The last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<ExportRunSummary>,
    /// When a run last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub last_successful_time: Option<Time>,
    /// When the schedule next falls due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub next_run_time: Option<Time>,
    /// The last value of the annotation `stella-ops.org/reconcile-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub last_handled_reconcile_at: Option<String>,
}

/// One run in short.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportRunSummary {
    /// Its id at the API.
    #[schemars(length(max = 256))]
    pub run_id: String,
    /// queued, running, succeeded, failed, expired or cancelled.
    #[schemars(length(max = 16))]
    pub status: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub completed_at: Option<Time>,
    /// Number of artifacts.
    #[serde(default)]
    pub artifacts: i64,
    /// SHA-256 of its manifest, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub manifest_sha256: Option<String>,
}
