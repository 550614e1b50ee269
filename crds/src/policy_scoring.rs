//! Weights of a `Policy`, and the confidence in what is not known.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weights of the score, by name; what is absent keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyScoring {
    /// Name of this set of weights; verdicts show it as `configVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub version: Option<String>,
    /// By severity level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 7))]
    pub severity_weights: Option<BTreeMap<String, f64>>,
    /// By class of source: vendor, distro, platform, community, NVD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16))]
    pub trust_weights: Option<BTreeMap<String, f64>>,
    /// By level of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 6))]
    pub reachability_weights: Option<BTreeMap<String, f64>>,
    /// By resulting status: quieted, ignored, warned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 8))]
    pub penalties: Option<BTreeMap<String, f64>>,
    /// The confidence in states that are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_confidence: Option<PolicyConfidence>,
}

/// How the confidence in an unknown state decays, and from which value on it counts as high or medium.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyConfidence {
    /// On the first day; 0.8 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub initial: Option<f64>,
    /// Less for each whole day; 0.05 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub decay_per_day: Option<f64>,
    /// Never less; 0.2 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub floor: Option<f64>,
    /// The least that is high; 0.65 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub high: Option<f64>,
    /// The least that is medium; 0.35 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub medium: Option<f64>,
}
