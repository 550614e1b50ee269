//! The score of a finding and the confidence of unknown states.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use stella_domain::{Reachability, Severity, Timestamp};

use crate::input::{FindingInput, TrustClass};
use crate::scoring::{Scoring, UnknownConfidence};
use crate::verdict::Status;

const SECONDS_A_DAY: i64 = 86_400;

/// The factors of a score; written as the `inputs` of a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// Points of the severity.
    pub severity_weight: f64,
    /// The source or class whose trust weight was used.
    pub trust: String,
    /// Factor of that trust.
    pub trust_weight: f64,
    /// The reachability level.
    pub reachability: Reachability,
    /// Factor of that level.
    pub reachability_weight: f64,
    /// The product of the three.
    pub base_score: f64,
}

/// A confidence between 0 and 1 in a state that is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// The value, rounded to four decimals.
    pub value: f64,
    /// The band it falls in.
    pub band: ConfidenceBand,
}

/// The bands of confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfidenceBand {
    /// At least 0.65 by default.
    High,
    /// At least 0.35 by default.
    Medium,
    /// Below.
    Low,
}

impl ConfidenceBand {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl Factors {
    /// The factors of `finding` seen with `severity`, which an escalation may have raised.
    #[must_use]
    pub fn of(finding: &FindingInput, severity: Severity, scoring: &Scoring) -> Self {
        let severity_weight = scoring.severity_weights.get(&severity).copied().unwrap_or_default();
        let (trust, trust_weight) = trust(finding, scoring);
        let reachability = finding.reachability;
        let reachability_weight = scoring.reachability_weights.get(&reachability).copied().unwrap_or_default();
        let base_score = round(severity_weight * trust_weight * reachability_weight);
        Self { severity_weight, trust, trust_weight, reachability, reachability_weight, base_score }
    }

    /// `max(0, baseScore - penalty)`, rounded to four decimals.
    #[must_use]
    pub fn score(&self, status: Status, scoring: &Scoring) -> f64 {
        let penalty = match status {
            Status::Quieted => scoring.penalties.quieted,
            Status::Ignored => scoring.penalties.ignored,
            Status::Warned => scoring.penalties.warned,
            Status::Pass | Status::Deferred | Status::Escalated | Status::RequiresVex | Status::Blocked => 0.0,
        };
        round((self.base_score - penalty).max(0.0))
    }
}

impl Serialize for Factors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("baseScore", &self.base_score)?;
        map.serialize_entry(&format!("reachability.{}", self.reachability), &self.reachability_weight)?;
        map.serialize_entry("reachabilityWeight", &self.reachability_weight)?;
        map.serialize_entry("severityWeight", &self.severity_weight)?;
        map.serialize_entry("trustWeight", &self.trust_weight)?;
        map.serialize_entry(&format!("trustWeight.{}", self.trust), &self.trust_weight)?;
        map.end()
    }
}

impl Confidence {
    /// The confidence at `now` of a state that has been unknown `since`; nothing where the finding's severity and
    /// reachability are both known.
    #[must_use]
    pub fn of(finding: &FindingInput, now: Timestamp, settings: &UnknownConfidence) -> Option<Self> {
        let unknown = finding.severity == Severity::Unknown || finding.reachability == Reachability::Unknown;
        unknown.then(|| Self::after(finding.unknown_since.map_or(0, |since| now.seconds_since(since)), settings))
    }

    fn after(seconds: i64, settings: &UnknownConfidence) -> Self {
        let days = (seconds.max(0) / SECONDS_A_DAY) as f64;
        let value = round((settings.initial - days * settings.decay_per_day).max(settings.floor));
        let band = match value {
            value if value >= settings.high => ConfidenceBand::High,
            value if value >= settings.medium => ConfidenceBand::Medium,
            _ => ConfidenceBand::Low,
        };
        Self { value, band }
    }
}

/// The source's own weight where one is configured, else that of its class; a source nobody knows counts as community.
fn trust(finding: &FindingInput, scoring: &Scoring) -> (String, f64) {
    let named = finding.source.as_deref().and_then(|source| {
        scoring
            .trust_weights
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(source))
            .map(|(name, weight)| (name.clone(), *weight))
    });
    named.unwrap_or_else(|| {
        let class = finding.trust.or_else(|| finding.source.as_deref().and_then(TrustClass::of_source));
        let name = class.unwrap_or(TrustClass::Community).name();
        (name.to_owned(), scoring.trust_weights.get(name).copied().unwrap_or_default())
    })
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, source: &str, reachability: Reachability) -> FindingInput {
        let mut finding = FindingInput::new("f", severity);
        finding.source = Some(source.to_owned());
        finding.reachability = reachability;
        finding
    }

    #[test]
    fn critical_from_nvd_in_use_is_40_5() {
        let scoring = Scoring::default();
        let factors =
            Factors::of(&finding(Severity::Critical, "NVD", Reachability::Runtime), Severity::Critical, &scoring);
        assert_eq!(factors.score(Status::Blocked, &scoring), 40.5);
        assert_eq!(factors.score(Status::Warned, &scoring), 25.5);
        assert_eq!(factors.score(Status::Ignored, &scoring), 5.5);
        assert_eq!(factors.score(Status::Quieted, &scoring), 0.0);
        assert_eq!(
            serde_json::to_string(&factors).unwrap(),
            r#"{"baseScore":40.5,"reachability.runtime":0.45,"reachabilityWeight":0.45,"severityWeight":90.0,"trustWeight":1.0,"trustWeight.NVD":1.0}"#
        );
    }

    #[test]
    fn a_class_counts_where_the_source_has_no_weight() {
        let scoring = Scoring::default();
        let of = |source: &str| {
            Factors::of(&finding(Severity::High, source, Reachability::Direct), Severity::High, &scoring).trust
        };
        assert_eq!([of("nvd"), of("debian"), of("ghsa"), of("somebody")], ["NVD", "distro", "platform", "community"]);
    }

    #[test]
    fn confidence_decays_by_days_to_its_floor() {
        let settings = Scoring::default().unknown_confidence;
        let after = |days: i64| Confidence::after(days * SECONDS_A_DAY, &settings);
        let bands = [after(0), after(3), after(4), after(9), after(10), after(1000)].map(|at| (at.value, at.band));
        use ConfidenceBand::{High, Low, Medium};
        assert_eq!(bands, [(0.8, High), (0.65, High), (0.6, Medium), (0.35, Medium), (0.3, Low), (0.2, Low)]);
        assert_eq!(after(-5).value, 0.8);
    }

    #[test]
    fn every_weight_is_the_contracts() {
        use Reachability::{Direct, Entrypoint, Indirect, Runtime, Unreachable};
        use Severity::{Critical, High, Informational, Low, Medium, None, Unknown};
        let scoring = Scoring::default();
        let base = |severity, source: &str, reachability| {
            Factors::of(&finding(severity, source, reachability), severity, &scoring).base_score
        };
        let severities = [Critical, High, Medium, Low, Informational, None, Unknown];
        assert_eq!(severities.map(|at| base(at, "NVD", Entrypoint)), [90.0, 75.0, 50.0, 25.0, 10.0, 0.0, 60.0]);
        let sources = ["vendor", "debian", "ghsa", "osv"];
        assert_eq!(sources.map(|source| base(Medium, source, Entrypoint)), [50.0, 42.5, 37.5, 32.5]);
        let levels = [Entrypoint, Direct, Indirect, Reachability::Unknown, Runtime, Unreachable];
        assert_eq!(levels.map(|level| base(Medium, "NVD", level)), [50.0, 42.5, 30.0, 25.0, 22.5, 12.5]);
    }

    #[test]
    fn only_what_is_unknown_has_a_confidence() {
        let settings = Scoring::default().unknown_confidence;
        let of = |severity, reachability| {
            let mut finding = finding(severity, "NVD", reachability);
            finding.unknown_since = Some(Timestamp::from_millis(0));
            Confidence::of(&finding, Timestamp::from_millis(SECONDS_A_DAY * 1000), &settings).map(|at| at.value)
        };
        assert_eq!(of(Severity::High, Reachability::Runtime), None);
        assert_eq!(of(Severity::Unknown, Reachability::Runtime), Some(0.75));
        assert_eq!(of(Severity::High, Reachability::Unknown), Some(0.75));
    }
}
