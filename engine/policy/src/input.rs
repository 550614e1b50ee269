//! What an evaluation is told: findings, and where their image runs.

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Reachability, Severity, Timestamp};

use crate::vex::VexStatement;

/// A finding as policy sees it. Only `id` and `severity` are required on the wire (policy.md, "Endpoints").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingInput {
    /// Names the finding in its verdict.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// Every identifier of the advisory: CVEs, aliases, the source's own.
    #[serde(default)]
    pub advisory_ids: Vec<String>,
    /// Who published the advisory, such as `NVD`.
    #[serde(default)]
    pub source: Option<String>,
    /// How far that source is trusted; without it the source's name decides.
    #[serde(default)]
    pub trust: Option<TrustClass>,
    /// Who makes the package.
    #[serde(default)]
    pub vendor: Option<String>,
    /// Name of the package.
    #[serde(default)]
    pub package: String,
    /// Installed version.
    #[serde(default)]
    pub version: String,
    /// Package URL with version.
    #[serde(default)]
    pub purl: Option<String>,
    /// Path in the image, without a slash before it.
    #[serde(default)]
    pub path: Option<String>,
    /// DiffID of the layer the package came with.
    #[serde(default)]
    pub layer: Option<Digest>,
    /// SPDX licence identifiers.
    #[serde(default)]
    pub licenses: Vec<String>,
    /// Free words.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How close the package is to running.
    #[serde(default)]
    pub reachability: Reachability,
    /// Listed by CISA as exploited.
    #[serde(default)]
    pub kev: bool,
    /// EPSS probability, 0 to 1.
    #[serde(default)]
    pub epss: Option<f64>,
    /// Whether some version fixes it.
    #[serde(default)]
    pub fix_available: bool,
    /// VEX statements that apply to it.
    #[serde(default)]
    pub vex: Vec<VexStatement>,
    /// Since when its severity or reachability has been unknown; absent means since now.
    #[serde(default)]
    pub unknown_since: Option<Timestamp>,
}

impl FindingInput {
    /// A finding of which nothing else is known.
    #[must_use]
    pub fn new(id: impl Into<String>, severity: Severity) -> Self {
        Self {
            id: id.into(),
            severity,
            advisory_ids: Vec::new(),
            source: None,
            trust: None,
            vendor: None,
            package: String::new(),
            version: String::new(),
            purl: None,
            path: None,
            layer: None,
            licenses: Vec::new(),
            tags: Vec::new(),
            reachability: Reachability::Unknown,
            kev: false,
            epss: None,
            fix_available: false,
            vex: Vec::new(),
            unknown_since: None,
        }
    }
}

/// Classes of sources, by how near they are to the package (policy.md, "Scores").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustClass {
    /// The maker of the package.
    Vendor,
    /// The distribution that ships it.
    Distro,
    /// The platform that hosts it.
    Platform,
    /// Everybody else.
    Community,
}

impl TrustClass {
    /// The name on the wire and in the weights.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Distro => "distro",
            Self::Platform => "platform",
            Self::Community => "community",
        }
    }

    /// The class of a connector's id (advisories.md), of a class's own name, or nothing.
    #[must_use]
    pub fn of_source(source: &str) -> Option<Self> {
        match source.to_ascii_lowercase().as_str() {
            "vendor" => Some(Self::Vendor),
            "distro" | "debian" | "ubuntu" | "alpine" | "redhat" | "suse" => Some(Self::Distro),
            "platform" | "ghsa" => Some(Self::Platform),
            "community" | "osv" | "cve" => Some(Self::Community),
            _ => None,
        }
    }
}

/// Where and when an image is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The reference by which it runs or was asked for, such as `registry.local/team/app:1.2`.
    pub image: Option<String>,
    /// Registry and repository without tag, such as `registry.local/team/app`.
    pub repository: Option<String>,
    /// Digests that name it: manifest, index, config.
    pub digests: Vec<Digest>,
    /// The environment (policy.md, "Verdict"): the scan's `metadata.environment` where a scan is judged, else the namespace's
    /// label, else none.
    pub environment: Option<String>,
    /// Paths of the processes that its containers were started with.
    pub entrypoints: Vec<String>,
    /// The instant of the evaluation.
    pub now: Timestamp,
}

impl Context {
    /// Names that image globs are matched with: the reference, `repository@digest` and the digests.
    pub(crate) fn image_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.image.iter().cloned().collect();
        for digest in &self.digests {
            names.extend(self.repository.iter().map(|repository| format!("{repository}@{digest}")));
            names.push(digest.to_string());
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_and_classes_have_their_trust() {
        use TrustClass::{Community, Distro, Platform, Vendor};
        let classes = [
            (Vendor, &["vendor"][..]),
            (Distro, &["distro", "debian", "ubuntu", "alpine", "redhat", "suse"]),
            (Platform, &["platform", "ghsa"]),
            (Community, &["community", "osv", "CVE"]),
        ];
        for (class, sources) in classes {
            for source in sources {
                assert_eq!(TrustClass::of_source(source), Some(class), "{source}");
            }
            assert_eq!(TrustClass::of_source(class.name()), Some(class));
        }
        assert_eq!(TrustClass::of_source("somebody"), None);
    }
}
