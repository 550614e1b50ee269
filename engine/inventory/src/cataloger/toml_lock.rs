//! Lock files in TOML that list packages: shared by Rust's and by those of Python.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ParseError;

/// Reads a document; the reader bounds its depth itself.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ParseError> {
    toml::from_str(text).map_err(|error| ParseError(error.to_string().replace('\n', " ")))
}

/// A name and what it needs, in either spelling: a text or a table with a `name`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Needed {
    /// `"name"` or `"name version"`.
    Text(String),
    /// `{ name = "..." }`.
    Table {
        /// The name.
        name: String,
    },
}

impl Needed {
    /// The name alone.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Text(text) => text.split(' ').next().unwrap_or(text),
            Self::Table { name } => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded() {
        let deep = format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read::<toml::Table>(&deep).is_err());
        let dotted = format!("{}a = 1", "a.".repeat(100_000));
        assert!(read::<toml::Table>(&dotted).is_err());
    }
}
