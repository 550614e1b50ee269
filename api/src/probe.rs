//! What a server says of itself (`/version`, `/readyz`).

use std::collections::BTreeMap;

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

/// The answer of `/readyz`; a ready server may as well answer with less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Parts that are not ready, and why.
    #[serde(default)]
    pub not_ready: BTreeMap<String, String>,
}
