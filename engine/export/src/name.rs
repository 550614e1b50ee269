//! Names of artifacts: safe as file names, in checksum lists and in URLs.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// 1 to 128 of `a-z A-Z 0-9 . _ -`, not beginning with a dot; so it can leave no folder and needs no escaping.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ArtifactName(String);

/// A text that is no artifact name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no artifact name: expected 1 to 128 of a-z, A-Z, 0-9, '.', '_' and '-', not beginning with '.'")]
pub struct NameError(pub String);

impl ArtifactName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ArtifactName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=128).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(80).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_a_folder() {
        assert!("findings.ndjson".parse::<ArtifactName>().is_ok());
        for wrong in ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\nb", "a b", "ä", &"a".repeat(129)] {
            assert!(wrong.parse::<ArtifactName>().is_err(), "{wrong:?}");
        }
    }
}
