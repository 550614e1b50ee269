//! Whether a pipeline may go on (cli.md, exit codes).

use std::fmt;

use stella_api::finding::{Finding, ScanDocument};
use stella_domain::Severity;
use stella_judged::counts;
use stella_policy::ImageVerdict;

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
        Self {
            threshold,
            over: over(&document.findings, threshold),
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

/// How many findings at or over `threshold` count.
#[must_use]
pub fn over(findings: &[Finding], threshold: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity >= threshold && counts(finding)).count()
}
