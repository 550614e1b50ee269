//! The rule model: what a policy document says, typed.

use serde::{Deserialize, Deserializer, Serialize};
use stella_domain::{Digest, Reachability, Severity, Timestamp};

use crate::action::Action;
use crate::parse::parse_value;
use crate::scoring::Scoring;
use crate::waiver::Waiver;

/// The version of the rule model that this release reads and writes.
pub const DOCUMENT_VERSION: &str = "1.0";

/// A policy document (policy.md, "Rule model"). Fields that say nothing are left out when it is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Version of the rule model.
    pub version: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the document holds; empty means everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// The rules; the first that matches a finding decides.
    pub rules: Vec<Rule>,
    /// A Rego source in place of rules (docs/rego.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rego: Option<String>,
    /// Weights of the score.
    #[serde(skip_serializing_if = "Scoring::is_default")]
    pub scoring: Scoring,
    /// Findings accepted for a time; they stand before the rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
}

/// One rule. Every condition that is given has to hold; within a list one entry is enough.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Unique within the document.
    pub name: String,
    /// A stable name of the author's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Severities; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub severity: Vec<Severity>,
    /// Sources of the advisory, without regard to ASCII case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Vendors of the package, without regard to ASCII case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vendors: Vec<String>,
    /// SPDX licence identifiers of the package, without regard to ASCII case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// Tags of the finding, without regard to ASCII case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Environments, without regard to ASCII case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// Globs over the image and the place of the finding.
    #[serde(rename = "match", skip_serializing_if = "Match::is_empty")]
    pub matches: Match,
    /// Reachability levels; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reachability: Vec<Reachability>,
    /// Whether the finding is listed by CISA as exploited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kev: Option<bool>,
    /// The least EPSS probability, 0 to 1; a finding without one does not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epss_min: Option<f64>,
    /// Whether a version exists that fixes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix_available: Option<bool>,
    /// From this instant on the rule is skipped and reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What is done with findings that match.
    pub action: Action,
}

/// Globs of a rule; the dialect of each list is that of [`crate::Dialect`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Image reference, `repository@digest` or digest; path dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Repository with registry, without tag; path dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// Package name; text dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Package URL with version; text dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purls: Vec<String>,
    /// Any identifier of the advisory, aliases too; text dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<String>,
    /// Path of the package in the image, without a slash before it; path dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// DiffID of the layer the package came with; text dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_digests: Vec<String>,
    /// Path of a process that containers of the image were started with, where the package is in use; path dialect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by_entrypoint: Vec<String>,
}

impl Match {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Rule {
    /// The instant from which on the rule is skipped: the earlier of `expires` and its action's `until`.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        match (self.expires, self.action.until) {
            (Some(expires), Some(until)) => Some(expires.min(until)),
            (expires, until) => expires.or(until),
        }
    }

    /// Whether it matches every finding.
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        let lists = [&self.sources, &self.vendors, &self.licenses, &self.tags, &self.environments];
        self.severity.is_empty()
            && self.reachability.is_empty()
            && lists.into_iter().all(Vec::is_empty)
            && self.matches.is_empty()
            && self.kev.is_none()
            && self.epss_min.is_none()
            && self.fix_available.is_none()
    }
}

/// Why a document cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// A number in it is not finite.
    #[error("policy document cannot be written as canonical json: {0}")]
    Canonical(#[from] serde_json::Error),
    /// The YAML writer refused it.
    #[error("policy document cannot be written as yaml: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

impl Default for Document {
    fn default() -> Self {
        Self {
            version: DOCUMENT_VERSION.to_owned(),
            description: None,
            environments: Vec::new(),
            rules: Vec::new(),
            rego: None,
            scoring: Scoring::default(),
            waivers: Vec::new(),
        }
    }
}

impl Document {
    /// The digest of its canonical JSON (RFC 8785); [`Digest::hex`] is what the wire calls `policyDigest`. Spelling, order of
    /// fields and defaults written out do not change it.
    ///
    /// # Errors
    /// When a number is not finite.
    pub fn digest(&self) -> Result<Digest, DocumentError> {
        Ok(Digest::of(serde_json_canonicalizer::to_vec(self)?))
    }

    /// The document as YAML, in the order of the rule model.
    ///
    /// # Errors
    /// When the YAML writer refuses a value.
    pub fn to_yaml(&self) -> Result<String, DocumentError> {
        Ok(serde_saphyr::to_string(self)?)
    }
}

impl<'de> Deserialize<'de> for Document {
    /// Takes only documents that could become active; the error names the first issue.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        parse_value(&value).accept().map_err(|issues| {
            let first = issues.first().map(|issue| format!("{}: {}", issue.path, issue.message));
            serde::de::Error::custom(first.unwrap_or_default())
        })
    }
}
