//! What a server says of itself (`/version`).

use serde::{Deserialize, Serialize};

/// The answer of `/version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The release.
    pub version: String,
    /// The commit it was built from.
    #[serde(default)]
    pub git_sha: String,
    /// When it was built.
    #[serde(default)]
    pub build_date: String,
}
