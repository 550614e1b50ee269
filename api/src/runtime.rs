//! Runtime events and runtime verdicts (`/api/v1/runtime/events`, `/api/v1/scanner/policy/runtime`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Timestamp};
use utoipa::ToSchema;

/// The only envelope version there is.
pub const EVENT_SCHEMA: &str = "zastava.runtime.event@v1";

/// Envelopes a batch may hold by default.
pub const MAX_BATCH: usize = 256;

/// Decoded bytes a batch may have by default.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// The body of `POST /api/v1/runtime/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventBatch {
    /// Name of the batch, chosen by the agent; for logs only.
    pub batch_id: String,
    /// 1 to 256 envelopes.
    pub events: Vec<EventEnvelope>,
}

/// One event with the version of its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventEnvelope {
    /// Always [`EVENT_SCHEMA`].
    pub schema_version: String,
    /// The event.
    pub event: RuntimeEvent,
}

/// What happened in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeEvent {
    /// Deterministic: the same occurrence sent again has the same id.
    pub event_id: String,
    /// When it happened on the node.
    #[schema(value_type = String, format = DateTime)]
    pub when: Timestamp,
    /// What it is.
    pub kind: EventKind,
    /// The tenant as the agent believes; the server derives it from the namespace.
    pub tenant: String,
    /// The node's name.
    pub node: String,
    /// The container runtime.
    pub runtime: RuntimeInfo,
    /// Whose container it is.
    pub workload: WorkloadRef,
    /// The process, for starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessInfo>,
    /// Libraries (and executables) loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loaded_libs: Vec<LoadedLibrary>,
    /// What is known of the image's signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posture: Option<Posture>,
    /// What differs from the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,
    /// Signals that led to the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Free-form additions: `stella.observedFromStart`, `stella.imageDigest`, `stella.gap` are understood.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Annotation of a `ContainerStart`: `true` when the agent saw the container's first process start, `false` when
/// the container was running before it (what it had loaded then and dropped again is not known).
pub const OBSERVED_FROM_START: &str = "stella.observedFromStart";
/// Annotation of a `ContainerStart`: `true` when the openings of code files (`.py`, `.js`, `.jar`, ...) are seen as well, from the
/// container's first process on.
pub const OBSERVED_OPENINGS: &str = "stella.observedOpenings";
/// Evidence of a `ContainerStart`: the file that the first process executes, as the kernel resolved it.
pub const EXECUTED: &str = "exec.path";
/// Evidence of a `Drift`: why the file is not the image's: `upper-layer`, `memory`, `deleted` or `volume`; `package-database` when it
/// is a package database that was changed; `unowned` when it is a library of the image that no package owns.
pub const DRIFT: &str = "drift";
/// Evidence of a `Drift`: the file; of memory its name.
pub const DRIFT_PATH: &str = "drift.path";
/// Evidence of an `unowned` `Drift`: the diffID of the uppermost layer that has the file, where it is known.
pub const DRIFT_LAYER: &str = "drift.layer";
/// Annotation that names the image's digest (manifest or config) as the runtime reports it.
pub const IMAGE_DIGEST: &str = "stella.imageDigest";
/// Annotation on any event: events of this container were lost, and why. Its observation has a gap from then on.
pub const GAP: &str = "stella.gap";

/// The closed set of event kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are the contract's and say it")]
pub enum EventKind {
    ContainerStart,
    ContainerStop,
    LibrariesLoaded,
    Drift,
    PolicyViolation,
    AttestationStatus,
}

/// The container runtime of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuntimeInfo {
    /// `containerd`, `cri-o`, `docker`, `podman` or `proc` (no runtime: plain processes).
    pub engine: String,
    /// Its version.
    pub version: String,
}

/// The owner of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// `kubernetes` or `host`.
    pub platform: String,
    /// Namespace of the pod.
    #[serde(default)]
    pub namespace: String,
    /// Name of the pod.
    #[serde(default)]
    pub pod: String,
    /// Name of the container in the pod.
    #[serde(default)]
    pub container: String,
    /// Full id, with the runtime as scheme: `containerd://<64 hex>`.
    pub container_id: String,
    /// The image as the pod names it.
    #[serde(default)]
    pub image_ref: String,
}

/// A process as it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessInfo {
    /// Process id on the node.
    pub pid: u32,
    /// Arguments, as far as captured.
    pub entrypoint: Vec<String>,
}

/// A file that was mapped executable, executed, or opened to run what is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadedLibrary {
    /// Path inside the container, absolute.
    pub path: String,
    /// Inode number as the container sees it.
    pub inode: u64,
    /// SHA-256 of the file, when it could be read within the hashing budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub sha256: Option<Digest>,
    /// GNU build id, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// purl of the owning package, when the agent knows the image's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Whether it was opened only, by an interpreter or a virtual machine. Of a package's files the first is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opened: bool,
    /// Whether the kernel told, when the file was used, that it is the image's: not of the container's upper layer, of a volume,
    /// deleted or memory. `false` also where nobody told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_image: bool,
}

/// Signature state of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Posture {
    /// Whether a valid signature was found.
    pub image_signed: bool,
    /// `present`, `missing` or `unknown`.
    pub sbom_referrer: String,
    /// Attestation, when one was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub attestation: Option<serde_json::Value>,
}

/// How a container differs from its image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    /// Digest of the image compared with.
    pub baseline_image_digest: String,
    /// Files that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_files: Vec<String>,
    /// Executables the image does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_binaries: Vec<String>,
    /// Libraries no package owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_libs: Vec<String>,
}

/// One signal and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// Name of the signal, such as `mmap` or `exec`.
    pub signal: String,
    /// Its value.
    pub value: String,
}

/// The answer to an accepted batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventReceipt {
    /// Events that were new; they are on disk.
    pub accepted: usize,
    /// Events that were known already.
    pub duplicates: usize,
}

/// The body of `POST /api/v1/scanner/policy/runtime`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimePolicyRequest {
    /// The namespace the images are to run in.
    pub namespace: String,
    /// Labels of the pod.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// 1 to 256 digests or references.
    pub images: Vec<String>,
}

/// The answer for each image asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimePolicyResponse {
    /// How long the answer may be kept.
    pub ttl_seconds: u64,
    /// The same as an instant.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at_utc: Timestamp,
    /// The policy revision that decided; `none` without a policy.
    pub policy_revision: String,
    /// By image as asked.
    pub results: BTreeMap<String, RuntimePolicyResult>,
}

/// The verdict of one image in one namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimePolicyResult {
    /// `pass`, `warn`, `fail`, or `error` when no answer is possible.
    pub policy_verdict: PolicyVerdict,
    /// Whether a valid signature is known.
    pub signed: bool,
    /// Whether an SBOM refers to the image.
    pub has_sbom_referrers: bool,
    /// Why, in short words and sentences.
    pub reasons: Vec<String>,
    /// Transparency log entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub rekor: Option<serde_json::Value>,
    /// The rule or waiver that quieted the worst finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quieted_by: Option<String>,
    /// 0.2 to 1.0.
    pub confidence: f64,
    /// `high`, `medium` or `low`.
    pub confidence_band: String,
    /// Additions: `imageDigest`, `worstFinding`, `fixedIn`, `rule`.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// The runtime API's word for an image verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the contract's and say it")]
pub enum PolicyVerdict {
    Pass,
    Warn,
    Fail,
    Error,
}
