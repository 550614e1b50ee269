//! Waivers (`/api/v1/waivers`).

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Timestamp};
use utoipa::ToSchema;

/// A new waiver: one vulnerability accepted for a time, and only where every given scope holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWaiver {
    /// A name of the caller's choice; made from the content without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The CVE; this or `advisory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cve: Option<String>,
    /// Any id of the advisory; this or `cve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advisory: Option<String>,
    /// Globs over image references; empty means every image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Image digests; empty means every image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// Globs over package URLs; empty means every package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purls: Vec<String>,
    /// Why the risk is accepted; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Who answers for it; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where it was decided; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The instant from which on it hides nothing; required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// A waiver with where it comes from and what it hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaiverEntry {
    /// Its id.
    pub id: String,
    /// The CVE or advisory it accepts.
    pub advisory: String,
    /// Globs over image references.
    pub images: Vec<String>,
    /// Image digests.
    #[schema(value_type = Vec<String>)]
    pub digests: Vec<Digest>,
    /// Globs over package URLs.
    pub purls: Vec<String>,
    /// Why the risk is accepted.
    pub justification: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where it was decided.
    pub ticket: Option<String>,
    /// The instant from which on it hides nothing.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// `api`, or the policy that it is part of.
    pub source: String,
    /// `active`, `expired` or `withdrawn`.
    pub state: String,
    /// Who made it; of the API's waivers.
    pub created_by: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// Who took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub withdrawn_at: Option<Timestamp>,
    /// What it hides now.
    pub hides: Hidden,
}

/// What a waiver hides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hidden {
    /// Findings.
    pub findings: usize,
    /// Images with such findings.
    pub images: usize,
    /// The worst of them, at most five.
    pub examples: Vec<HiddenFinding>,
}

/// A finding that a waiver hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HiddenFinding {
    /// The finding.
    pub finding_id: String,
    /// Its vulnerability.
    pub advisory_id: String,
    /// Its package.
    pub package: String,
    /// Its image: a reference where one is known, else the digest.
    pub image: String,
}

/// A page of waivers, by source and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waivers {
    /// The waivers.
    pub items: Vec<WaiverEntry>,
    /// For the next page; `null` at the end.
    pub next_page_token: Option<String>,
}
