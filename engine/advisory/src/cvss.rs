//! CVSS vectors to scores and levels (FIRST, CVSS v2, v3.0, v3.1 and v4.0 specifications).

use serde::{Deserialize, Serialize};
use stella_domain::Severity;

/// A vector with its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cvss {
    /// `2.0`, `3.0`, `3.1` or `4.0`.
    pub version: String,
    /// 0.0 to 10.0, one decimal.
    pub score: f64,
    /// The vector as given.
    pub vector: String,
}

/// Metrics that a vector must have.
const BASE_2: [&str; 6] = ["AV", "AC", "Au", "C", "I", "A"];
const BASE_3: [&str; 8] = ["AV", "AC", "PR", "UI", "S", "C", "I", "A"];
const BASE_4: [&str; 11] = ["AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"];

impl Cvss {
    /// Scores a vector; `None` when it is not a complete vector of a known version.
    #[must_use]
    pub fn parse(vector: &str) -> Option<Self> {
        let vector = vector.trim();
        if vector.len() > 400 {
            return None;
        }
        let parsed: cvss::Cvss = vector.parse().ok()?;
        let (version, base) = match parsed {
            cvss::Cvss::CvssV20(_) => ("2.0", BASE_2.as_slice()),
            cvss::Cvss::CvssV30(_) => ("3.0", BASE_3.as_slice()),
            cvss::Cvss::CvssV31(_) => ("3.1", BASE_3.as_slice()),
            cvss::Cvss::CvssV40(_) => ("4.0", BASE_4.as_slice()),
            _ => return None,
        };
        // The parser scores a vector that lacks base metrics as harmless.
        let has = |metric: &&str| vector.split('/').any(|part| part.split(':').next() == Some(metric));
        if !base.iter().all(has) {
            return None;
        }
        let score = (parsed.score() * 10.0).round() / 10.0;
        Some(Self { version: version.to_owned(), score, vector: vector.to_owned() })
    }

    /// The qualitative level of the score. CVSS v2 has none of its own for `Critical`, so it ends at `High`.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let level = Severity::from_cvss(self.score);
        if self.version == "2.0" { level.min(Severity::High) } else { level }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_each_version() {
        let cases = [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "3.1", 9.8, Severity::Critical),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", "3.0", 6.5, Severity::Medium),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "4.0", 9.3, Severity::Critical),
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", "2.0", 10.0, Severity::High),
        ];
        for (vector, version, score, level) in cases {
            let cvss = Cvss::parse(vector).unwrap_or_else(|| panic!("{vector}"));
            assert_eq!((cvss.version.as_str(), cvss.score, cvss.severity()), (version, score, level));
        }
        assert_eq!(Cvss::parse("CVSS:3.1/AV:N"), None);
        assert_eq!(Cvss::parse("nonsense"), None);
    }

    #[test]
    fn a_vector_that_lacks_a_base_metric_has_no_score() {
        assert_eq!(Cvss::parse("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/E:P"), None);
        assert_eq!(Cvss::parse("AV:N/AC:L/Au:N/C:C/I:C/E:U"), None);
    }

    #[test]
    fn the_score_of_versions_2_and_3_is_the_base_score() {
        for (vector, score) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:U/RL:O/RC:C", 9.8),
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C/E:U/RL:OF/RC:C", 10.0),
        ] {
            assert_eq!(Cvss::parse(vector).map(|cvss| cvss.score), Some(score), "{vector}");
        }
    }
}
