//! The console's list of findings (`/console/vuln/findings`).

use serde::{Deserialize, Serialize};
use stella_advisory::cvss::Cvss;
use stella_domain::{Digest, Timestamp};
use utoipa::ToSchema;

use crate::finding::{InheritedUse, UseEvidence};

/// A page of findings with counts over all that the query asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleFindings {
    /// Worst first.
    pub items: Vec<ConsoleFinding>,
    /// Counts.
    pub facets: ConsoleFacets,
    /// For the next page; `null` at the end.
    pub next_page_token: Option<String>,
}

/// A finding in the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleFinding {
    /// Its id.
    pub finding_id: String,
    /// What and where.
    pub coordinates: Coordinates,
    /// One line on what it is.
    pub summary: String,
    /// Level, in lower case; `info` for `Informational`.
    pub severity: String,
    /// The score.
    #[schema(value_type = Option<Object>)]
    pub cvss: Option<Cvss>,
    /// Known to be exploited.
    pub kev: bool,
    /// `pass warn fail waived`.
    pub policy_badge: String,
    /// A statement about it.
    pub vex: Option<ConsoleVex>,
    /// How close to running.
    pub reachability: ConsoleReachability,
    /// Where the claims come from.
    pub evidence: ConsoleEvidence,
    /// First and last appearance.
    pub timestamps: ConsoleTimestamps,
    /// Versions that fix it, ascending.
    pub fixed_in: Vec<String>,
    /// The verdict in full.
    #[schema(value_type = Object)]
    pub verdict: serde_json::Value,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coordinates {
    /// The CVE where there is one.
    pub advisory_id: String,
    /// Package URL.
    pub package: String,
    /// Name of the package.
    pub component: String,
    /// The image: its reference where one is known, else its digest.
    pub image: String,
    /// Digest of the image.
    #[schema(value_type = String)]
    pub image_digest: Digest,
}

/// A VEX statement in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleVex {
    /// The statement.
    pub statement_id: String,
    /// `not_affected affected fixed under_investigation`.
    pub state: String,
    /// Why.
    pub justification: Option<String>,
}

/// How close a package is to running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleReachability {
    /// `reachable unreachable unknown`.
    pub status: String,
    /// The level behind it: `entrypoint runtime direct indirect unknown unreachable`.
    pub level: String,
    /// Why it is not known better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When use was last observed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_observed: Option<Timestamp>,
    /// Version of the rules behind the level.
    pub signals_version: String,
    /// Containers that use it.
    pub evidence: Vec<UseEvidence>,
    /// What was observed of the package in other images of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited: Option<InheritedUse>,
}

/// Where the claims of a finding come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleEvidence {
    /// Digest of the inventory.
    pub sbom_digest: Option<String>,
    /// The policy revision.
    pub policy_run_id: Option<String>,
    /// An attestation.
    pub attestation_id: Option<String>,
}

/// First and last appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleTimestamps {
    /// When it first appeared.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    /// When it was last confirmed.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
}

/// Counts over the whole filtered set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleFacets {
    /// By severity.
    pub severity: Vec<FacetCount>,
    /// By verdict.
    pub policy_badge: Vec<FacetCount>,
    /// By use.
    pub reachability: Vec<FacetCount>,
}

/// A value and how many have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FacetCount {
    /// The value.
    pub value: String,
    /// How many.
    pub count: i64,
}
