//! Whether a pipeline may go on (cli.md, exit codes).

use std::fmt;

use stella_api::finding::{Finding, ScanDocument};
use stella_domain::Severity;
use stella_policy::{ImageVerdict, Status};

use crate::exit::Outcome;

/// What speaks against the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    threshold: Severity,
    over: usize,
    blocked: bool,
}

impl Gate {
    /// Counts what is at or over `threshold`.
    #[must_use]
    pub fn of(document: &ScanDocument, threshold: Severity) -> Self {
        let cleared = |finding: &Finding| finding.vex.as_ref().is_some_and(stella_api::vex::FindingVex::clears);
        let counts =
            |finding: &&Finding| finding.severity >= threshold && !is_hidden(status(finding)) && !cleared(finding);
        Self {
            threshold,
            over: document.findings.iter().filter(counts).count(),
            blocked: document.policy_status == ImageVerdict::Blocked.name(),
        }
    }

    /// The exit code's meaning.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        Outcome::of(self.over == 0 && !self.blocked)
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.outcome() == Outcome::Passed { "passed" } else { "failed" };
        let findings = if self.over == 1 { "finding" } else { "findings" };
        write!(f, "{word}: {} {findings} at or over {}", self.over, self.threshold)?;
        if self.blocked { f.write_str(", and policy refuses the image") } else { Ok(()) }
    }
}

/// The status in a finding's verdict; one that this release does not know hides nothing.
#[must_use]
pub fn status(finding: &Finding) -> Status {
    let word = finding.verdict.get("status").cloned().unwrap_or_default();
    serde_json::from_value(word).unwrap_or_default()
}

/// Whether policy says that such a finding does not count.
#[must_use]
pub const fn is_hidden(status: Status) -> bool {
    matches!(status, Status::Ignored | Status::Quieted)
}
