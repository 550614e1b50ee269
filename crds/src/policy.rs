//! `Policy`: which findings matter, and what is refused.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::conditions::date_time;
use crate::policy_rule::PolicyRule;
use crate::policy_scoring::PolicyScoring;
use crate::policy_signer::PolicySigner;
use crate::policy_status::PolicyStatus;

/// Rules or Rego, how they act at admission, and waivers.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "stella-ops.org",
    version = "v1alpha1",
    kind = "Policy",
    plural = "policies",
    namespaced,
    shortname = "spol",
    category = "stella",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Policy says which findings matter and what admission refuses. It acts on its own namespace; in the operator's policy namespace, on the whole tenant.",
    selectable = ".spec.format",
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the policy is in force"
    ),
    printcolumn(name = "FORMAT", type_ = "string", json_path = ".spec.format", description = "Rules or Rego"),
    printcolumn(name = "RULES", type_ = "integer", json_path = ".status.ruleCount", description = "Rules in force"),
    printcolumn(
        name = "MODE",
        type_ = "string",
        json_path = ".spec.admission.mode",
        description = "What admission does with a blocked image"
    ),
    printcolumn(
        name = "REVISION",
        type_ = "string",
        json_path = ".status.revision",
        description = "The revision in force"
    ),
    printcolumn(
        name = "BLOCKED",
        type_ = "integer",
        json_path = ".status.projected.blocked",
        description = "Images it blocks, or would block if it enforced"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the object"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "self.format != 'rules' || !has(self.content)", "message": "content belongs to format rego"}),
    json!({"rule": "self.format != 'rego' || has(self.content)", "message": "format rego needs content"}),
    json!({"rule": "self.format != 'rego' || !has(self.rules) || size(self.rules) == 0", "message": "rules belong to format rules"}),
]))]
pub struct PolicySpec {
    /// How the policy is written.
    #[serde(default)]
    pub format: PolicyFormat,
    /// Rules, tried in order; the first that matches a finding decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<PolicyRule>,
    /// Rego v1 source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 131_072))]
    pub content: Option<String>,
    /// Environments it holds in; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
    /// Weights that differ from the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring: Option<PolicyScoring>,
    /// What happens when a pod is to be made.
    #[serde(default)]
    pub admission: PolicyAdmission,
    /// Exceptions, each with an owner, a ticket and an end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub waivers: Vec<PolicyWaiver>,
    /// Of several policies the one with the higher number is asked first; then by name.
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: i32,
    /// Leave it out, as if it were not there.
    #[serde(default)]
    pub suspend: bool,
}

/// How a policy is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyFormat {
    /// A list of rules.
    #[default]
    Rules,
    /// Rego v1.
    Rego,
}

/// What happens when a pod is to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "!has(self.requireSignature) || !self.requireSignature || (has(self.signers) && size(self.signers) > 0)",
           "message": "requireSignature needs signers: whose signatures count"}),
]))]
pub struct PolicyAdmission {
    /// What is done with a blocked image.
    #[serde(default)]
    pub mode: PolicyMode,
    /// Namespaces it holds in, for a policy of the policy namespace; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// What happens while there is nothing to judge by. `Fail` counts in mode enforce, where the webhook knows the namespace;
    /// while no webhook answers at all, namespaces labelled `stella-ops.org/failure-policy=Fail` refuse.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// What is done with an image that was never scanned.
    #[serde(default)]
    pub unscanned: Unscanned,
    /// Refuse images that none of `signers` signed. What was not looked at yet is treated as `unscanned` says.
    #[serde(default)]
    pub require_signature: bool,
    /// Refuse images that no SBOM is attached to. With `signers`, one of them has to have signed it.
    #[serde(default)]
    pub require_sbom: bool,
    /// Whose signatures count; one of them is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub signers: Vec<PolicySigner>,
    /// Age in seconds from which a verdict counts as stale, since its findings were last confirmed: by a scan, or by matching again
    /// when advisories change. A stale one that lets the image in is treated as `unscanned` says. Never without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub stale_after_seconds: Option<i64>,
    /// Seconds for which an image that ran in the namespace when its verdict turned is only warned about.
    #[serde(default = "default_grace")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub grace_period_seconds: i64,
    /// A new digest takes over what was observed of its repository, until it has been observed itself.
    #[serde(default = "yes")]
    pub inherit_evidence: bool,
}

impl Default for PolicyAdmission {
    fn default() -> Self {
        Self {
            mode: PolicyMode::default(),
            namespace_selector: None,
            failure_policy: FailurePolicy::default(),
            unscanned: Unscanned::default(),
            require_signature: false,
            require_sbom: false,
            signers: Vec::new(),
            stale_after_seconds: None,
            grace_period_seconds: default_grace(),
            inherit_evidence: true,
        }
    }
}

fn default_grace() -> i64 {
    86400
}

fn yes() -> bool {
    true
}

/// What is done with a blocked image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyMode {
    /// Recorded in the audit annotations of the request.
    #[default]
    Audit,
    /// Said to the client as a warning.
    Warn,
    /// Refused.
    Enforce,
}

/// What happens while there is nothing to judge by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailurePolicy {
    /// The request goes through.
    #[default]
    Ignore,
    /// The request is refused.
    Fail,
}

/// What is done with an image that was never scanned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unscanned {
    /// It may run; a scan is queued.
    #[default]
    Allow,
    /// It may run, with a warning; a scan is queued.
    Warn,
    /// It is refused where the mode is enforce; a scan is queued.
    Deny,
}

/// One exception. It hides one vulnerability, and only where every given scope holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "has(self.cve) != has(self.advisory)", "message": "exactly one of cve and advisory is needed"}),
]))]
pub struct PolicyWaiver {
    /// Name, unique in the policy.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// The CVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = "^CVE-[0-9]{4}-[0-9]{4,}$"))]
    pub cve: Option<String>,
    /// The advisory, under any of its ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub advisory: Option<String>,
    /// Image references it holds for, as patterns; every image when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub images: Vec<String>,
    /// Image digests it holds for; every digest when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 71), regex(pattern = "^sha256:[a-f0-9]{64}$")), extend("x-kubernetes-list-type" = "set"))]
    pub digests: Vec<String>,
    /// Package URLs it holds for, as patterns; every package when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub purls: Vec<String>,
    /// Why it does not matter.
    #[schemars(length(min = 1, max = 1024))]
    pub justification: String,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 256))]
    pub owner: String,
    /// Where it was decided.
    #[schemars(length(min = 1, max = 512))]
    pub ticket: String,
    /// The second at which it ends.
    #[schemars(schema_with = "date_time")]
    pub expires: Time,
}
