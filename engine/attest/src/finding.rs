//! What a report says of a finding beside its verdict: enough to understand it, and to mend it.

use serde::{Deserialize, Serialize};
use stella_domain::{Reachability, Severity};

/// A finding in a report. Of findings that a caller brought, only what the caller told is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportFinding {
    /// Names the finding in its verdict.
    pub finding_id: String,
    /// The CVE where there is one, else the source's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advisory_id: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// The CVSS score, 0 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Known to be exploited.
    #[serde(default)]
    pub kev: bool,
    /// Probability of exploitation, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epss: Option<f64>,
    /// Name of the package.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub package: String,
    /// Installed version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Package URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// The file that declares the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Versions that fix it, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed_in: Vec<String>,
    /// Whether some version fixes it, where which one is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fix_available: bool,
    /// One line on what it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// How close the package is to running.
    pub reachability: Reachability,
    /// Containers that use the package, `namespace/pod/container`, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
}

impl ReportFinding {
    /// A finding of which nothing else is known.
    #[must_use]
    pub fn new(finding_id: impl Into<String>, severity: Severity) -> Self {
        Self {
            finding_id: finding_id.into(),
            advisory_id: None,
            severity,
            score: None,
            kev: false,
            epss: None,
            package: String::new(),
            version: String::new(),
            purl: None,
            path: None,
            fixed_in: Vec::new(),
            fix_available: false,
            summary: String::new(),
            reachability: Reachability::Unknown,
            used_by: Vec::new(),
        }
    }

    /// The name that people know it by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.advisory_id.as_deref().unwrap_or(&self.finding_id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> ReportFinding {
        ReportFinding {
            advisory_id: Some("CVE-2026-0001".to_owned()),
            score: Some(9.8),
            kev: true,
            epss: Some(0.93),
            package: "openssl".to_owned(),
            version: "3.0.11-1".to_owned(),
            purl: Some("pkg:deb/debian/openssl@3.0.11-1".to_owned()),
            path: Some("var/lib/dpkg/status".to_owned()),
            fixed_in: vec!["3.0.14-1".to_owned()],
            summary: "Reads past the end of a buffer".to_owned(),
            reachability: Reachability::Runtime,
            used_by: vec!["shop/web-1/app".to_owned()],
            ..ReportFinding::new("f", Severity::Critical)
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let bare = ReportFinding::new("f", Severity::Unknown);
        let text = serde_json::to_string(&bare).unwrap();
        assert_eq!(text, r#"{"findingId":"f","severity":"Unknown","kev":false,"reachability":"unknown"}"#);
        assert_eq!(serde_json::from_str::<ReportFinding>(&text).unwrap(), bare);
        assert_eq!((bare.name(), sample().name()), ("f", "CVE-2026-0001"));
    }
}
