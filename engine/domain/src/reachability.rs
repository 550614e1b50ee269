//! How close vulnerable code is to being run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What was observed, or worked out, about the use of a package.
///
/// The order is that of strength: a finding seen in several containers takes the greatest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reachability {
    /// Observed from the start for the settling time and never loaded.
    Unreachable,
    /// Not measured, or not for long enough. Never means "unused".
    #[default]
    Unknown,
    /// A dependency of a dependency.
    Indirect,
    /// A direct dependency of the program.
    Direct,
    /// Loaded or executed by a running container.
    Runtime,
    /// The package of the process a container was started with.
    Entrypoint,
}

impl Reachability {
    /// Every level, strongest first.
    pub const ALL: [Self; 6] =
        [Self::Entrypoint, Self::Runtime, Self::Direct, Self::Indirect, Self::Unknown, Self::Unreachable];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
            Self::Indirect => "indirect",
            Self::Direct => "direct",
            Self::Runtime => "runtime",
            Self::Entrypoint => "entrypoint",
        }
    }

    /// Whether a running container uses the package, as far as was measured.
    #[must_use]
    pub const fn in_use(self) -> bool {
        matches!(self, Self::Runtime | Self::Entrypoint)
    }

    /// The console's three words: `reachable`, `unreachable`, `unknown`.
    #[must_use]
    pub const fn console_word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
            Self::Indirect | Self::Direct | Self::Runtime | Self::Entrypoint => "reachable",
        }
    }
}

impl fmt::Display for Reachability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Reachability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| format!("Invalid reachability '{}'", text.chars().take(40).collect::<String>()))
    }
}
