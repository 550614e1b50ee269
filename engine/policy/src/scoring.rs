//! The weights of the score, with the contract's defaults (policy.md, "Scores").

use std::collections::BTreeMap;

use serde::Serialize;
use stella_domain::{Reachability, Severity};

/// All weights, penalties and confidences; part of the policy document as `scoring`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scoring {
    /// Named by the verdicts as `configVersion`.
    pub version: String,
    /// Points of a severity, 0 to 1000.
    pub severity_weights: BTreeMap<Severity, f64>,
    /// Factor of a source (such as `NVD`) or of a trust class (such as `distro`), 0 to 10; a source goes before its class.
    pub trust_weights: BTreeMap<String, f64>,
    /// Factor of a reachability level, 0 to 10.
    pub reachability_weights: BTreeMap<Reachability, f64>,
    /// Points taken off by the status.
    pub penalties: Penalties,
    /// How sure an unknown state is.
    pub unknown_confidence: UnknownConfidence,
}

/// Points taken off the score by the status of a finding, 0 to 1000; other statuses lose none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Penalties {
    /// Of `Quieted`.
    pub quieted: f64,
    /// Of `Ignored`.
    pub ignored: f64,
    /// Of `Warned`.
    pub warned: f64,
}

/// The confidence of unknown states: it starts high and decays by whole days down to a floor. All values are 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnknownConfidence {
    /// On the first day.
    pub initial: f64,
    /// Lost each day.
    pub decay_per_day: f64,
    /// Never below.
    pub floor: f64,
    /// Least confidence of the band `high`.
    pub high: f64,
    /// Least confidence of the band `medium`.
    pub medium: f64,
}

impl Default for UnknownConfidence {
    fn default() -> Self {
        Self { initial: 0.8, decay_per_day: 0.05, floor: 0.2, high: 0.65, medium: 0.35 }
    }
}

impl Default for Scoring {
    fn default() -> Self {
        use Severity::{Critical, High, Informational, Low, Medium, None, Unknown};
        let severities = [
            (Critical, 90.0),
            (High, 75.0),
            (Medium, 50.0),
            (Low, 25.0),
            (Informational, 10.0),
            (None, 0.0),
            (Unknown, 60.0),
        ];
        let trust = [("vendor", 1.0), ("distro", 0.85), ("platform", 0.75), ("community", 0.65), ("NVD", 1.0)];
        let reachability = [
            (Reachability::Entrypoint, 1.0),
            (Reachability::Direct, 0.85),
            (Reachability::Indirect, 0.6),
            (Reachability::Unknown, 0.5),
            (Reachability::Runtime, 0.45),
            (Reachability::Unreachable, 0.25),
        ];
        Self {
            version: "1.0".to_owned(),
            severity_weights: severities.into(),
            trust_weights: trust.map(|(name, weight)| (name.to_owned(), weight)).into(),
            reachability_weights: reachability.into(),
            penalties: Penalties { quieted: 45.0, ignored: 35.0, warned: 15.0 },
            unknown_confidence: UnknownConfidence::default(),
        }
    }
}

impl Scoring {
    /// Whether nothing was configured.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_weight_makes_it_configured() {
        let mut scoring = Scoring::default();
        assert!(scoring.is_default());
        scoring.penalties.warned = 16.0;
        assert!(!scoring.is_default());
    }
}
