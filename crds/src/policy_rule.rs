//! The rule of a `Policy`: which findings it is for, and what is done with them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::conditions::optional_date_time;

/// One rule. Every condition that is given must hold; a list holds when one of its values does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// Name, unique in the policy; stands in refusals.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// An id of the author's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub id: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Severity levels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub severity: Vec<RuleSeverity>,
    /// Feeds that report the finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub sources: Vec<String>,
    /// Vendors of the package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub vendors: Vec<String>,
    /// Licences of the package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub licenses: Vec<String>,
    /// Tags of the finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub tags: Vec<String>,
    /// Environments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub environments: Vec<String>,
    /// Patterns on names and places.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub match_: Option<RuleMatch>,
    /// Levels of use, as observed at run time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6), extend("x-kubernetes-list-type" = "set"))]
    pub reachability: Vec<RuleReachability>,
    /// Whether it is known to be exploited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kev: Option<bool>,
    /// Least probability of exploitation, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub epss_min: Option<f64>,
    /// Whether a version fixes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_available: Option<bool>,
    /// From then on the rule is skipped, and reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub expires: Option<Time>,
    /// What to do with a finding that matches.
    pub action: RuleAction,
}

/// Severity levels a rule may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "names of severity levels")]
pub enum RuleSeverity {
    Critical,
    High,
    Medium,
    Low,
    Informational,
    None,
    Unknown,
}

/// Levels of use a rule may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "names of reachability levels")]
pub enum RuleReachability {
    Entrypoint,
    Runtime,
    Direct,
    Indirect,
    Unknown,
    Unreachable,
}

/// Glob patterns; a list holds when one of its patterns does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleMatch {
    /// Image references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub images: Vec<String>,
    /// Image repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub repositories: Vec<String>,
    /// Package names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub packages: Vec<String>,
    /// Package URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub purls: Vec<String>,
    /// Ids of the vulnerability, under any of its names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub cves: Vec<String>,
    /// Paths in the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub paths: Vec<String>,
    /// Layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub layer_digests: Vec<String>,
    /// Entrypoints that use the package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub used_by_entrypoint: Vec<String>,
}

/// What to do with a finding; the fields beside `type` belong to one type each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    json!({"rule": "self.type == 'escalate' || !(has(self.minimumSeverity) || has(self.requireKev) || has(self.epssMin))", "message": "minimumSeverity, requireKev and epssMin belong to type escalate"}),
    json!({"rule": "self.type != 'escalate' || has(self.minimumSeverity)", "message": "type escalate needs minimumSeverity"}),
    json!({"rule": "self.type == 'requireVex' || !(has(self.vendors) || has(self.justifications))", "message": "vendors and justifications belong to type requireVex"}),
    json!({"rule": "!(self.type in ['requireVex', 'escalate']) || !has(self.requireVex)", "message": "requireVex stands beside types block, ignore, warn and defer"}),
]))]
pub struct RuleAction {
    /// The kind of action.
    #[serde(rename = "type")]
    pub type_: RuleActionType,
    /// Findings whose required statement is there count as quieted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<bool>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub justification: Option<String>,
    /// Until when the action holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_date_time")]
    pub until: Option<Time>,
    /// Escalate: raise the severity to at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_severity: Option<RuleSeverity>,
    /// Escalate: only when known to be exploited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_kev: Option<bool>,
    /// Escalate: only from this probability of exploitation on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub epss_min: Option<f64>,
    /// Require VEX: of one of these vendors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub vendors: Option<Vec<String>>,
    /// Require VEX: with one of these justifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub justifications: Option<Vec<String>>,
    /// Block, ignore, warn, defer: the statement that `quiet` asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_vex: Option<RequiredStatement>,
}

/// The VEX statement that an action asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequiredStatement {
    /// Of one of these vendors; of any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub vendors: Vec<String>,
    /// With one of these justifications; with any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub justifications: Vec<String>,
}

/// Kinds of action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RuleActionType {
    /// The image must not run.
    Block,
    /// The finding does not count.
    Ignore,
    /// Someone should look.
    #[default]
    Warn,
    /// Decide later.
    Defer,
    /// Raise the severity and go on.
    Escalate,
    /// Only with a statement that says why it does not matter.
    RequireVex,
}
