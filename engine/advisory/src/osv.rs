//! Records of the Open Source Vulnerability format (OSV schema 1.7), as far as matching needs them.

use serde::{Deserialize, Deserializer};

/// One OSV record.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// When it last changed (RFC 3339).
    #[serde(default)]
    pub modified: String,
    /// When it first appeared (RFC 3339).
    #[serde(default)]
    pub published: Option<String>,
    /// Set when it no longer holds; such a record matches nothing.
    #[serde(default)]
    pub withdrawn: Option<String>,
    /// Other ids of the same vulnerability. Records are joined by these.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Vulnerabilities that a distribution's bulletin covers. They lend severity, and join nothing.
    #[serde(default)]
    pub upstream: Vec<String>,
    /// Other vulnerabilities, close to this one. Of a distribution's record without `upstream` it is that, as AlmaLinux
    /// spells it.
    #[serde(default)]
    pub related: Vec<String>,
    /// One line on what it is.
    #[serde(default)]
    pub summary: String,
    /// The first line of everything there is to say.
    #[serde(default, deserialize_with = "first_line")]
    pub details: String,
    /// Scores for the whole record.
    #[serde(default)]
    pub severity: Vec<SeverityScore>,
    /// What is affected.
    #[serde(default)]
    pub affected: Vec<Affected>,
    /// Fields of the database's own; GitHub's severity word is read.
    #[serde(default)]
    pub database_specific: Option<DatabaseSpecific>,
}

/// A score in a named system.
#[derive(Debug, Clone, Deserialize)]
pub struct SeverityScore {
    /// `CVSS_V2`, `CVSS_V3`, `CVSS_V4`, or a system of a vendor's own.
    #[serde(rename = "type", default)]
    pub system: String,
    /// The vector.
    #[serde(default)]
    pub score: String,
}

/// Fields that only some databases have.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DatabaseSpecific {
    /// GitHub: `LOW MODERATE HIGH CRITICAL`.
    #[serde(default)]
    pub severity: Option<serde_json::Value>,
}

/// One affected package.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Affected {
    /// Which package; absent for records about a repository's commits alone.
    #[serde(default)]
    pub package: Option<AffectedPackage>,
    /// Scores for this package alone.
    #[serde(default)]
    pub severity: Vec<SeverityScore>,
    /// Version ranges.
    #[serde(default)]
    pub ranges: Vec<Range>,
    /// Affected versions, one by one.
    #[serde(default)]
    pub versions: Vec<String>,
}

/// A package in an ecosystem.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AffectedPackage {
    /// Ecosystem, with a release suffix for distributions.
    pub ecosystem: String,
    /// Name in that ecosystem's spelling.
    pub name: String,
}

/// Events on a line of versions.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Range {
    /// `SEMVER`, `ECOSYSTEM` or `GIT`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Events in any order.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// One event; exactly one field is set in a well-formed record.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Event {
    /// Affected from here on; `0` is before every version.
    #[serde(default)]
    pub introduced: Option<String>,
    /// No longer affected from here on.
    #[serde(default)]
    pub fixed: Option<String>,
    /// Affected up to and including this.
    #[serde(default)]
    pub last_affected: Option<String>,
    /// Nothing is known from here on.
    #[serde(default)]
    pub limit: Option<String>,
}

/// Details run to pages; one line of them is used, and keeping the rest of all records would take most of the memory.
fn first_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    Ok(text.trim().lines().next().unwrap_or_default().chars().take(300).collect())
}
