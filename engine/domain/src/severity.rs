//! Severity levels, in the order in which people want to read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How bad a vulnerability is said to be. The order is that of lists: `Critical` is the greatest.
///
/// `Unknown` means that no source gave a score; it is a level of its own and never counts as harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// No source rated it.
    Unknown,
    /// Rated, and not a vulnerability.
    None,
    /// A hint.
    Informational,
    /// CVSS 0.1 to 3.9.
    Low,
    /// CVSS 4.0 to 6.9.
    Medium,
    /// CVSS 7.0 to 8.9.
    High,
    /// CVSS 9.0 to 10.0.
    Critical,
}

/// A text that names no severity level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid level '{0}'")]
pub struct SeverityError(pub String);

impl Severity {
    /// Every level, worst first.
    pub const ALL: [Self; 7] =
        [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Informational, Self::None, Self::Unknown];

    /// The level of a CVSS base score (CVSS v3.1 specification, section 5; v4.0, section 6).
    #[must_use]
    pub fn from_cvss(score: f64) -> Self {
        match score {
            s if s >= 9.0 => Self::Critical,
            s if s >= 7.0 => Self::High,
            s if s >= 4.0 => Self::Medium,
            s if s > 0.0 => Self::Low,
            _ => Self::None,
        }
    }

    /// The level's name as the wire spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::None => "None",
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = SeverityError;

    /// Accepts any case, and `info` for `Informational`.
    fn from_str(text: &str) -> Result<Self, SeverityError> {
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(text))
            .or_else(|| text.eq_ignore_ascii_case("info").then_some(Self::Informational))
            .ok_or_else(|| SeverityError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_in_any_case() {
        for level in Severity::ALL {
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(level.name().to_lowercase().parse(), Ok(level));
        }
        assert_eq!("Foo".parse::<Severity>().unwrap_err().to_string(), "Invalid level 'Foo'");
    }

    #[test]
    fn bands_follow_the_cvss_table() {
        let bands = [
            (0.0, "None"),
            (0.1, "Low"),
            (3.9, "Low"),
            (4.0, "Medium"),
            (7.0, "High"),
            (8.9, "High"),
            (9.0, "Critical"),
        ];
        for (score, name) in bands {
            assert_eq!(Severity::from_cvss(score).name(), name);
        }
    }
}
