//! What was built, from what, when.

use serde::Serialize;

/// The answer of `/version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The workspace's version.
    pub version: &'static str,
    /// Commit it was built from; `unknown` when the build did not set `STELLA_GIT_SHA`.
    pub git_sha: &'static str,
    /// When it was built; `unknown` when the build did not set `STELLA_BUILD_DATE`.
    pub build_date: &'static str,
}

impl Version {
    /// The version of this process.
    #[must_use]
    pub const fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            git_sha: or_unknown(option_env!("STELLA_GIT_SHA")),
            build_date: or_unknown(option_env!("STELLA_BUILD_DATE")),
        }
    }
}

const fn or_unknown(value: Option<&'static str>) -> &'static str {
    match value {
        Some(text) => text,
        None => "unknown",
    }
}
