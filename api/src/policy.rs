//! The life of policies: revisions, diagnostics, previews and what a change would do.

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Timestamp};
use utoipa::ToSchema;

/// Something that is odd or wrong about a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyIssue {
    /// Stable code, such as `policy.rule.quiet.missing_vex`.
    pub code: String,
    /// For people.
    pub message: String,
    /// `Error`, `Warning` or `Info`.
    pub severity: String,
    /// JSONPath.
    pub path: String,
    /// Line in the text, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in the line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

/// What is in force after an import or a step back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInForce {
    /// The revision.
    pub revision: String,
    /// Digest of the document, bare hex; also the `ETag`.
    pub digest: String,
    /// Whether it is a new one.
    pub changed: bool,
    /// Rules in it.
    pub rule_count: usize,
    /// What is odd about it.
    pub issues: Vec<PolicyIssue>,
}

/// That a policy may become active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyValid {
    /// Always true; an invalid one is a problem with `errors`.
    pub valid: bool,
    /// Digest of the document, bare hex.
    pub digest: String,
    /// Rules in it.
    pub rule_count: usize,
    /// What is odd about it.
    pub issues: Vec<PolicyIssue>,
}

/// Which revision to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision, such as `rev-3`.
    pub revision: String,
    /// Why; `back to rev-3` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// One revision of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionEntry {
    /// `rev-N`; N counts the tenant's revisions.
    pub revision: String,
    /// `namespace/name` of a `Policy`, or `import`.
    pub name: String,
    /// Digest of the document, bare hex.
    pub digest: String,
    /// Who made it.
    pub actor: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// What its author says of it.
    pub description: String,
    /// Where it comes from: `Policy namespace/name`, `import`, or `rollback to rev-N`.
    pub source: String,
    /// Whether it takes part in decisions.
    pub active: bool,
    /// What differs from the revision of the same policy before it.
    pub diff: PolicyDiff,
}

/// Revisions, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyHistory {
    /// The revisions.
    pub items: Vec<RevisionEntry>,
    /// For the next page; `null` at the end.
    pub next_page_token: Option<String>,
}

/// What differs between two documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDiff {
    /// Rules, by name.
    pub rules: NameDiff,
    /// Waivers, by id.
    pub waivers: NameDiff,
    /// Other fields that differ: `description`, `environments`, `rego`, `scoring`.
    pub fields: Vec<String>,
}

/// What differs between two lists of named things.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameDiff {
    /// New ones.
    pub added: Vec<String>,
    /// Gone ones.
    pub removed: Vec<String>,
    /// Those of the same name with another content.
    pub changed: Vec<String>,
    /// Whether those that stay have another order.
    pub reordered: bool,
}

/// A policy as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyContent {
    /// `yaml`, `json` or `rego`; told by the content without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The text.
    pub content: String,
}

/// A question about a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiagnosticsRequest {
    /// The policy.
    pub policy: PolicyContent,
}

/// What the lint says of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// Whether nothing keeps it from becoming active.
    pub success: bool,
    /// Version of the rule model.
    pub version: String,
    /// Rules that could be read.
    pub rule_count: usize,
    /// Issues that are errors.
    pub error_count: usize,
    /// Issues that are warnings.
    pub warning_count: usize,
    /// When this was said.
    #[schema(value_type = String, format = DateTime)]
    pub generated_at: Timestamp,
    /// The issues.
    pub issues: Vec<PolicyIssue>,
    /// What to do about them, one sentence a kind of issue.
    pub recommendations: Vec<String>,
}

/// What would a policy say of these findings?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewRequest {
    /// The image.
    pub image_digest: String,
    /// The findings; each needs `id` and `severity`.
    #[schema(value_type = Vec<Object>)]
    pub findings: Vec<serde_json::Value>,
    /// Verdicts to compare with, each with `findingId` and `status`; one that is missing is `Pass`.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub baseline: Vec<serde_json::Value>,
    /// The policy; without it the active one.
    #[serde(default)]
    pub policy: Option<PolicyContent>,
}

/// What it says, beside what was said before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Whether the policy could be used.
    pub success: bool,
    /// Digest of the policy, bare hex.
    pub policy_digest: String,
    /// The active revision, or `preview`.
    pub revision_id: String,
    /// Findings whose status differs.
    pub changed: usize,
    /// One a finding, in the order of the question.
    pub diffs: Vec<PreviewDiff>,
    /// What is odd or wrong about the policy.
    pub issues: Vec<PolicyIssue>,
}

/// A finding before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviewDiff {
    /// The finding.
    pub finding_id: String,
    /// The verdict before.
    #[schema(value_type = Object)]
    pub baseline: serde_json::Value,
    /// The verdict that the policy gives.
    #[schema(value_type = Object)]
    pub projected: serde_json::Value,
    /// Whether the status differs.
    pub changed: bool,
}

/// What a policy would change over everything that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// Digest of the policy, bare hex.
    pub policy_digest: String,
    /// What it would stand in place of: names of policies.
    pub replaces: Vec<String>,
    /// What differs between the documents.
    pub diff: PolicyDiff,
    /// Images that were judged.
    pub images: usize,
    /// Over all images of the tenant.
    pub totals: ImpactCounts,
    /// By namespace where images run, sorted by name.
    pub namespaces: Vec<NamespaceImpact>,
    /// What changes: first of the tenant as a whole, then by namespace; blocked ones first.
    pub changes: Vec<ImageChange>,
    /// Whether there are more changes than are listed.
    pub truncated: bool,
    /// What is odd about the policy.
    pub issues: Vec<PolicyIssue>,
}

/// How many images a change concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImpactCounts {
    /// Blocked then, and not now.
    pub newly_blocked: usize,
    /// Warned about then, and passing now.
    pub newly_warned: usize,
    /// Milder then than now.
    pub freed: usize,
    /// The same.
    pub unchanged: usize,
}

/// What happens in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceImpact {
    /// The namespace.
    pub namespace: String,
    /// Of the images that run there.
    #[serde(flatten)]
    pub counts: ImpactCounts,
}

/// An image whose verdict changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageChange {
    /// The image.
    #[schema(value_type = String)]
    pub image: Digest,
    /// A reference it goes by.
    pub reference: Option<String>,
    /// The namespace it runs in; absent for the tenant as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `pass`, `warn` or `blocked` now.
    pub from: String,
    /// `pass`, `warn` or `blocked` then.
    pub to: String,
    /// Policy and rule that would decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Findings whose status changes.
    pub findings: usize,
    /// The worst of them, at most three.
    pub examples: Vec<FindingChange>,
}

/// A finding whose status changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingChange {
    /// The vulnerability.
    pub advisory_id: String,
    /// The package.
    pub package: String,
    /// Its status now.
    pub from: String,
    /// Its status then.
    pub to: String,
}
