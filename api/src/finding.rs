//! A finding as JSON (`/api/v1/scans/{id}/findings`, `stella --format json`).

use serde::{Deserialize, Serialize};
use stella_advisory::Match;
use stella_advisory::cvss::Cvss;
use stella_domain::{Digest, Reachability, Severity, Tenant, Timestamp};
use stella_inventory::Component;
use utoipa::ToSchema;

use crate::vex::FindingVex;

/// One vulnerability of one package at one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Deterministic: from tenant, subject, vulnerability, purl and place.
    pub finding_id: String,
    /// The CVE where there is one, else the source's id.
    pub advisory_id: String,
    /// Every id, sorted.
    pub aliases: Vec<String>,
    /// Of a finding with several CVEs: those of its ids whose record names all of them, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bulletins: Vec<String>,
    /// The package.
    pub package: FindingPackage,
    /// Where it was found.
    pub location: FindingLocation,
    /// How bad.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// The score behind it.
    #[schema(value_type = Option<Object>)]
    pub cvss: Option<Cvss>,
    /// Known to be exploited.
    pub kev: bool,
    /// Probability of exploitation, 0 to 1.
    pub epss: Option<f64>,
    /// Versions that fix it, ascending.
    pub fixed_in: Vec<String>,
    /// One line on what it is.
    pub summary: String,
    /// Feeds that say so, sorted.
    pub sources: Vec<String>,
    /// How close the package is to running.
    pub reachability: FindingReachability,
    /// What policy says.
    #[schema(value_type = Object)]
    pub verdict: serde_json::Value,
    /// A statement about it.
    pub vex: Option<FindingVex>,
}

/// The package of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingPackage {
    /// Name.
    pub name: String,
    /// Installed version.
    pub version: String,
    /// Ecosystem in OSV's spelling.
    pub ecosystem: String,
    /// Package URL.
    pub purl: String,
    /// Source package, for packages of a distribution.
    pub source: Option<String>,
    /// Licences as the package declares them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
}

/// Where a package was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingLocation {
    /// The file that declares it.
    pub path: String,
    /// The layer.
    #[schema(value_type = Option<String>)]
    pub layer: Option<Digest>,
}

/// What was observed of a package's use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingReachability {
    /// `entrypoint runtime direct indirect unknown unreachable`.
    #[schema(value_type = String)]
    pub status: Reachability,
    /// Why it is not known better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What shows it.
    pub evidence: Vec<UseEvidence>,
    /// What was observed of the package in other images of the repository; counts for admission while `status` is `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited: Option<InheritedUse>,
}

/// Use of the same package in another image of the repository, by a file that both of them have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InheritedUse {
    /// How close to running the package was there: `entrypoint` or `runtime`.
    #[schema(value_type = String)]
    pub status: Reachability,
    /// What shows it.
    pub evidence: Vec<UseEvidence>,
}

/// A container that uses a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UseEvidence {
    /// Full id of the container.
    pub container: String,
    /// Namespace of its pod.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// Its name in the pod.
    pub container_name: String,
    /// The node.
    pub node: String,
    /// The file that was loaded, executed or opened.
    pub path: String,
    /// Its build id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// Its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub sha256: Option<Digest>,
    /// The package that owns it.
    pub package: String,
    /// When it was first loaded.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    /// Whether the file was only opened, to run what is in it, rather than loaded or executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opened: bool,
    /// The image that the container runs, when it is another one of the same repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub inherited_from: Option<Digest>,
}

impl FindingReachability {
    /// The containers that use it, as `namespace/pod/container`, sorted, each once.
    #[must_use]
    pub fn users(&self) -> Vec<String> {
        let name = |used: &UseEvidence| format!("{}/{}/{}", used.namespace, used.pod, used.container_name);
        let users: std::collections::BTreeSet<String> = self.evidence.iter().map(name).collect();
        users.into_iter().collect()
    }
}

impl Finding {
    /// The finding of a match, before use and policy are known: reachability `unknown`, verdict `Pass`. `component` is the one that
    /// was matched.
    #[must_use]
    pub fn of(found: Match, component: &Component, tenant: &Tenant, subject: &Digest) -> Self {
        let finding_id = found.finding_id(tenant, subject, component);
        let Match { group, sources, fixed_in, .. } = found;
        let package = &component.package;
        Self {
            finding_id,
            advisory_id: group.advisory_id,
            aliases: group.aliases,
            bulletins: group.bulletins,
            package: FindingPackage {
                name: package.name.clone(),
                version: package.version.clone(),
                ecosystem: component.ecosystem.clone(),
                purl: component.purl.clone(),
                source: package.source.as_ref().map(|source| source.name.clone()),
                licenses: package.licences.clone(),
            },
            location: FindingLocation { path: package.path.clone(), layer: component.layer },
            severity: group.severity,
            cvss: group.cvss,
            kev: group.kev,
            epss: group.epss.map(|epss| epss.probability),
            fixed_in,
            summary: group.summary,
            sources,
            reachability: FindingReachability::default(),
            verdict: serde_json::json!({"status": "Pass"}),
            vex: None,
        }
    }

    /// What lists are sorted by, ascending: severity (worst first), CVSS score (highest first).
    #[must_use]
    pub fn rank(&self) -> i64 {
        let worst_first = Severity::ALL.iter().position(|level| *level == self.severity).unwrap_or(Severity::ALL.len());
        let score = self.cvss.as_ref().map_or(0.0, |cvss| cvss.score);
        i64::try_from(worst_first).unwrap_or(i64::MAX / 10_000) * 1000 + (100 - (score * 10.0) as i64)
    }
}

/// Sorts findings as every list shows them: severity, score, id.
pub fn sort_findings(findings: &mut [Finding]) {
    findings.sort_by(|a, b| (a.rank(), &a.finding_id).cmp(&(b.rank(), &b.finding_id)));
}

/// Findings by severity. `Informational` and `None` count as low.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SeveritySummary {
    /// Critical findings.
    pub critical: u64,
    /// High findings.
    pub high: u64,
    /// Medium findings.
    pub medium: u64,
    /// Low findings.
    pub low: u64,
    /// Findings that no source rated.
    pub unknown: u64,
}

impl SeveritySummary {
    /// Counts levels.
    pub fn of(levels: impl IntoIterator<Item = Severity>) -> Self {
        let mut summary = Self::default();
        for level in levels {
            let place = match level {
                Severity::Critical => &mut summary.critical,
                Severity::High => &mut summary.high,
                Severity::Medium => &mut summary.medium,
                Severity::Low | Severity::Informational | Severity::None => &mut summary.low,
                Severity::Unknown => &mut summary.unknown,
            };
            *place += 1;
        }
        summary
    }
}

/// A feed and how new it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedStamp {
    /// Its name.
    pub name: String,
    /// The newest change in it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub date: Option<Timestamp>,
    /// How many advisories it holds.
    pub advisories: u64,
}

/// What `stella --format json` and `--output-json` write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanDocument {
    /// The image's digest, or that of the inventory.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// What was scanned, as it was named.
    pub target: String,
    /// Findings by severity.
    pub summary: SeveritySummary,
    /// `pass`, `warn` or `blocked`.
    pub policy_status: String,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// Feeds they come from.
    pub feeds: Vec<FeedStamp>,
    /// Name and version of the engine.
    pub engine: String,
}
