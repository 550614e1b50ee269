//! What policy says of a finding and of an image.

use std::fmt;

use serde::{Deserialize, Serialize};
use stella_domain::{Reachability, Severity};

use crate::score::{ConfidenceBand, Factors};

/// The status of a finding (README.md of the contract, "verdict").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// No rule speaks against it.
    #[default]
    Pass,
    /// A rule or a waiver says that it does not count.
    Ignored,
    /// A VEX statement that a rule accepts says that it does not apply.
    Quieted,
    /// Somebody should look.
    Warned,
    /// To be decided later.
    Deferred,
    /// Raised, and no further rule decided.
    Escalated,
    /// Refused until a VEX statement says that it does not apply.
    RequiresVex,
    /// Refused.
    Blocked,
}

impl Status {
    /// Every status, mildest first.
    pub const ALL: [Self; 8] = [
        Self::Pass,
        Self::Ignored,
        Self::Quieted,
        Self::Warned,
        Self::Deferred,
        Self::Escalated,
        Self::RequiresVex,
        Self::Blocked,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Ignored => "Ignored",
            Self::Quieted => "Quieted",
            Self::Warned => "Warned",
            Self::Deferred => "Deferred",
            Self::Escalated => "Escalated",
            Self::RequiresVex => "RequiresVex",
            Self::Blocked => "Blocked",
        }
    }

    /// The badge on the console (policy.md, "Verdict").
    #[must_use]
    pub const fn badge(self) -> Badge {
        match self {
            Self::Blocked | Self::RequiresVex => Badge::Fail,
            Self::Warned | Self::Deferred | Self::Escalated => Badge::Warn,
            Self::Ignored | Self::Quieted => Badge::Waived,
            Self::Pass => Badge::Pass,
        }
    }

    /// What it makes of the image. `RequiresVex` is always an unmet one: where the statement is there, the finding passes or
    /// is quieted.
    #[must_use]
    pub const fn image_verdict(self) -> ImageVerdict {
        match self {
            Self::Blocked | Self::RequiresVex => ImageVerdict::Blocked,
            Self::Warned | Self::Deferred | Self::Escalated => ImageVerdict::Warn,
            Self::Pass | Self::Ignored | Self::Quieted => ImageVerdict::Pass,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The console's four words for a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Badge {
    /// Nothing speaks against it.
    Pass,
    /// It does not count.
    Waived,
    /// It should be looked at.
    Warn,
    /// It is refused.
    Fail,
}

/// The verdict of an image; the greatest of its findings'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageVerdict {
    /// Nothing speaks against it.
    #[default]
    Pass,
    /// Something should be looked at.
    Warn,
    /// Policy refuses it.
    Blocked,
}

impl ImageVerdict {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Blocked => "blocked",
        }
    }

    /// The `policyVerdict` of the runtime API: `pass`, `warn` or `fail`.
    #[must_use]
    pub const fn runtime_word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Blocked => "fail",
        }
    }
}

impl fmt::Display for ImageVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The verdict of one finding, as the contract's JSON shows it (policy.md, "Verdict").
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingVerdict {
    /// The finding.
    pub finding_id: String,
    /// What is to be done with it.
    pub status: Status,
    /// The rule that decided; absent where none matched or a waiver decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// That rule's action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_action: Option<&'static str>,
    /// The score after the penalty of the status. It compares findings of one reachability only.
    pub score: f64,
    /// The version of the weights.
    pub config_version: String,
    /// Each factor of the score.
    pub inputs: Factors,
    /// Whether a VEX statement quieted it.
    pub quiet: bool,
    /// The rule or the waivers that hide it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quieted_by: Option<String>,
    /// The source or class whose trust counted.
    pub source_trust: String,
    /// How close the package is to running.
    pub reachability: Reachability,
    /// How sure an unknown state is, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_confidence: Option<f64>,
    /// The band of that confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_band: Option<ConfidenceBand>,
    /// The policy whose rule or waiver decided; not on the wire.
    #[serde(skip)]
    pub policy: Option<String>,
    /// The severity it was judged with, raised by an escalation; not on the wire.
    #[serde(skip)]
    pub severity: Severity,
}

/// How many findings have which kind of status (reports.md, `summary`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// All.
    pub total: usize,
    /// `Blocked` and `RequiresVex`.
    pub blocked: usize,
    /// `Warned`, `Deferred` and `Escalated`.
    pub warned: usize,
    /// `Ignored`.
    pub ignored: usize,
    /// `Quieted`.
    pub quieted: usize,
}

impl Summary {
    /// Counts `statuses`.
    pub fn of(statuses: impl IntoIterator<Item = Status>) -> Self {
        let mut summary = Self::default();
        for status in statuses {
            summary.total += 1;
            match status {
                Status::Blocked | Status::RequiresVex => summary.blocked += 1,
                Status::Warned | Status::Deferred | Status::Escalated => summary.warned += 1,
                Status::Ignored => summary.ignored += 1,
                Status::Quieted => summary.quieted += 1,
                Status::Pass => {}
            }
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Status; 8] = [
        Status::Blocked,
        Status::RequiresVex,
        Status::Warned,
        Status::Deferred,
        Status::Escalated,
        Status::Ignored,
        Status::Quieted,
        Status::Pass,
    ];

    #[test]
    fn a_summary_counts_each_kind() {
        let twice = Summary::of(ALL.into_iter().chain(ALL));
        assert_eq!(twice, Summary { total: 16, blocked: 4, warned: 6, ignored: 2, quieted: 2 });
    }

    #[test]
    fn statuses_have_their_badges_and_words() {
        use Badge::{Fail, Pass, Waived, Warn};
        assert_eq!(ALL.map(Status::badge), [Fail, Fail, Warn, Warn, Warn, Waived, Waived, Pass]);
        assert_eq!(format!("{:>8}|", Status::Warned), "  Warned|");
        let verdicts = [ImageVerdict::Pass, ImageVerdict::Warn, ImageVerdict::Blocked];
        assert_eq!(verdicts.map(ImageVerdict::runtime_word), ["pass", "warn", "fail"]);
        assert_eq!(verdicts.map(|verdict| verdict.to_string()), ["pass", "warn", "blocked"]);
    }
}
