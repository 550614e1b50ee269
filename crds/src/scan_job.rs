//! `ScanJob`: ask for images to be scanned, once or on a schedule.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::conditions::{Condition, optional_date_time};
use crate::time_zone::needs_schedule;

/// What to scan, when, and how to read it.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "stella-ops.org",
    version = "v1alpha1",
    kind = "ScanJob",
    namespaced,
    shortname = "sj",
    category = "stella",
    status = "ScanJobStatus",
    derive = "PartialEq",
    doc = "ScanJob asks for an image, or for the images of workloads, to be scanned once or on a schedule. The status shows a summary; findings are read from the API.",
    selectable = ".spec.image.digest",
    selectable = ".status.phase",
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the last run worked"
    ),
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase", description = "Where the run stands"),
    printcolumn(
        name = "IMAGE",
        type_ = "string",
        json_path = ".status.image.reference",
        description = "The image that was scanned"
    ),
    printcolumn(
        name = "CRITICAL",
        type_ = "integer",
        json_path = ".status.summary.critical",
        description = "Critical findings"
    ),
    printcolumn(name = "HIGH", type_ = "integer", json_path = ".status.summary.high", description = "High findings"),
    printcolumn(
        name = "VERDICT",
        type_ = "string",
        json_path = ".status.verdict",
        description = "What policy says of the image"
    ),
    printcolumn(
        name = "LAST-SUCCESS",
        type_ = "date",
        json_path = ".status.lastSuccessfulTime",
        description = "When a scan last succeeded"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the object"
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "has(self.image) != has(self.workloads)", "message": "exactly one of image and workloads is needed"}),
    needs_schedule(),
]))]
pub struct ScanJobSpec {
    /// One image. Cannot change once the scan has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageTarget>,
    /// The images of running workloads. Cannot change once the scan has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workloads: Option<WorkloadTarget>,
    /// When to run again, as a cron expression of five fields. Without it the job runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 100))]
    pub schedule: Option<String>,
    /// The IANA time zone of the schedule; UTC without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Scan again although the digest has been scanned.
    #[serde(default)]
    pub force: bool,
    /// From this severity on findings are reported as a violation.
    #[serde(default)]
    pub threshold: Threshold,
    /// A name of the caller's own for this request, for finding it again in logs and events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub client_request_id: Option<String>,
    /// Notes that go with the scan; `environment` is what policies see as its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = crate::manifest::bound_values)]
    pub metadata: BTreeMap<String, String>,
    /// Where the image is read from.
    #[serde(default)]
    pub source: ImageSource,
    /// Secrets of this namespace to pull with, when the image is read from its registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<SecretName>,
    /// A service account of this namespace whose pull secrets are used as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
    /// Seconds after which a run that has not finished fails.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: i64,
    /// Seconds after its end at which the object is deleted; it stays without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// How many former runs are kept behind the API.
    #[serde(default = "default_history")]
    #[schemars(range(min = 0, max = 100))]
    pub history_limit: i32,
    /// Start no new run.
    #[serde(default)]
    pub suspend: bool,
}

fn default_timeout() -> i64 {
    600
}

fn default_history() -> i32 {
    3
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "has(self.reference) || has(self.digest)", "message": "reference, digest or both are needed"}),
]))]
pub struct ImageTarget {
    /// The image as pods name it, such as `registry.example.com/team/app:1.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub reference: Option<String>,
    /// Digest of its manifest, index or configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = "^sha256:[a-f0-9]{64}$"))]
    pub digest: Option<String>,
}

/// Workloads by namespace, label and kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadTarget {
    /// Namespaces of the same tenant; the job's own namespace without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Pods by label; every pod without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Kinds of the owners; every kind when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub kinds: Vec<WorkloadKind>,
}

/// Kinds that own pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "names of Kubernetes kinds")]
pub enum WorkloadKind {
    Pod,
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    Job,
    CronJob,
}

/// A severity from which findings count as a violation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "names of severity levels")]
pub enum Threshold {
    Low,
    Medium,
    High,
    #[default]
    Critical,
}

/// Where an image is read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageSource {
    /// A node that has it, else its registry.
    #[default]
    Auto,
    /// A node that has it; needs no registry credential.
    Node,
    /// Its registry, with the named secrets.
    Registry,
}

/// The name of a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretName {
    /// Name, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How the last run went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanJobStatus {
    /// The generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default)]
    pub observed_generation: i64,
    /// Aspects of the state, one a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Where the run stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ScanPhase>,
    /// The scan behind the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub scan_id: Option<String>,
    /// The image as it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageTarget>,
    /// The way the image was read: `layers`, `rootfs` or `registry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub read_from: Option<String>,
    /// Findings by severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SeverityCounts>,
    /// What policy says of the image: pass, warn or blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub verdict: Option<String>,
    /// The signed report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportRef>,
    /// When the last run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub started_at: Option<Time>,
    /// When the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub completed_at: Option<Time>,
    /// When the schedule last fell due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub last_schedule_time: Option<Time>,
    /// When the schedule next falls due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub next_schedule_time: Option<Time>,
    /// When a run last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub last_successful_time: Option<Time>,
    /// Why the last run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub failure_reason: Option<String>,
    /// For workloads: images selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// For workloads: images with a result from the present feeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<i64>,
    /// For workloads: images whose result is from older feeds, or not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<i64>,
    /// For workloads: images that could not be scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i64>,
    /// For workloads: images excluded by configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<i64>,
    /// The last value of the annotation `stella-ops.org/reconcile-at` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub last_handled_reconcile_at: Option<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScanPhase {
    /// Waiting for its turn.
    #[default]
    Pending,
    /// Being read or matched.
    Running,
    /// Done.
    Succeeded,
    /// Could not be done.
    Failed,
    /// Called off.
    Cancelled,
}

/// Findings by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeverityCounts {
    /// Critical findings.
    #[serde(default)]
    pub critical: i64,
    /// High findings.
    #[serde(default)]
    pub high: i64,
    /// Medium findings.
    #[serde(default)]
    pub medium: i64,
    /// Low findings, hints and findings rated as none.
    #[serde(default)]
    pub low: i64,
    /// Findings that no source rated.
    #[serde(default)]
    pub unknown: i64,
}

/// A report behind the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportRef {
    /// Its id.
    #[schemars(length(max = 64))]
    pub report_id: String,
    /// Its path at the API.
    #[schemars(length(max = 256))]
    pub url: String,
}
