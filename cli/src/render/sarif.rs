//! SARIF 2.1.0 (OASIS): one rule a vulnerability, one result a finding. With what code reviews need to show them (GitHub,
//! "SARIF support for code scanning"): descriptions and help of a rule, a place below the checkout, and a fingerprint that
//! stays the same from build to build.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use stella_api::finding::{Finding, ScanDocument};
use stella_domain::{Hasher, Severity};

use crate::stella::{is_hidden, status};
use crate::terminal::{self, OutputError};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Where a reviewer finds what a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path of the file in the checkout.
    pub path: String,
    /// Line, counted from 1.
    pub line: usize,
}

/// The findings as a SARIF log with one run. Places of files below `folder`, the top of a checkout, are relative to it. `places` are those
/// known better than by a finding's location, by its id.
///
/// # Errors
/// When a number in a verdict is not finite.
pub fn sarif(
    document: &ScanDocument,
    folder: Option<&Path>,
    places: &BTreeMap<String, Place>,
) -> Result<Vec<u8>, OutputError> {
    let mut first_of: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in &document.findings {
        first_of.entry(&finding.advisory_id).or_insert(finding);
    }
    let rules: Vec<Value> = first_of.values().map(|finding| rule(finding)).collect();
    let rule_of: BTreeMap<&str, usize> = first_of.keys().enumerate().map(|(index, id)| (*id, index)).collect();
    let target = target_address(&document.target, folder);
    let result_of = |finding: &Finding| {
        let rule = rule_of.get(finding.advisory_id.as_str());
        let (address, line) = match places.get(&finding.finding_id) {
            Some(place) => (in_address(&place.path), place.line),
            None if finding.location.path.is_empty() => (target.clone(), 1),
            None => (in_address(&finding.location.path), 1),
        };
        result(finding, rule, &address, line)
    };
    let version = document.engine.strip_prefix("stella ").unwrap_or(&document.engine);
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "stella", "version": version, "rules": rules}},
            "results": document.findings.iter().map(result_of).collect::<Vec<Value>>(),
            "properties": {"digest": document.digest, "policyStatus": document.policy_status},
        }],
    });
    terminal::json(&log)
}

fn rule(finding: &Finding) -> Value {
    let summary = if finding.summary.is_empty() { &finding.advisory_id } else { &finding.summary };
    let address = format!("https://osv.dev/vulnerability/{}", in_address(&finding.advisory_id));
    let known_as = finding.aliases.join(", ");
    let exploited = if finding.kev { "\nKnown to be exploited." } else { "" };
    let mut properties = Map::new();
    properties.insert("tags".to_owned(), json!(["security", "vulnerability"]));
    if let Some(cvss) = &finding.cvss {
        properties.insert("security-severity".to_owned(), json!(format!("{:.1}", cvss.score)));
    }
    json!({
        "id": finding.advisory_id,
        "shortDescription": {"text": summary},
        "fullDescription": {"text": format!("{summary} ({known_as})")},
        "help": {
            "text": format!("{summary}\nKnown as {known_as}.{exploited}\nMore: {address}"),
            "markdown": format!("Known as {known_as}.{exploited}\n\n[{}]({address})", finding.advisory_id),
        },
        "helpUri": address,
        "defaultConfiguration": {"level": level(finding.severity)},
        "properties": properties,
    })
}

fn result(finding: &Finding, rule: Option<&usize>, address: &str, line: usize) -> Value {
    let mut result = json!({
        "ruleId": finding.advisory_id,
        "ruleIndex": rule,
        "level": level(finding.severity),
        "message": {"text": message(finding)},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": address},
                // Reviews show a result at a line.
                "region": {"startLine": line, "startColumn": 1, "endLine": line, "endColumn": 1},
            },
            "logicalLocations": [{"fullyQualifiedName": finding.package.purl, "kind": "module"}],
        }],
        "partialFingerprints": {
            "primaryLocationLineHash": fingerprint(finding),
            "stellaFindingId/v1": finding.finding_id,
        },
        "properties": {
            "severity": finding.severity,
            "purl": finding.package.purl,
            "layer": finding.location.layer,
            "fixedIn": finding.fixed_in,
            "reachability": finding.reachability.status,
            "exploited": finding.kev,
            "verdict": finding.verdict,
        },
    });
    if is_hidden(status(finding)) {
        let by = finding.verdict.get("quietedBy").and_then(Value::as_str).unwrap_or("policy");
        result["suppressions"] = json!([{"kind": "external", "justification": by}]);
    }
    result
}

/// Names a finding from build to build: neither the image's digest nor the version of the package is in it. With a colon and a
/// count at the end, which is the form that reviews know.
fn fingerprint(finding: &Finding) -> String {
    let mut hasher = Hasher::new();
    let package = &finding.package;
    for part in [&finding.advisory_id, &package.ecosystem, &package.name, &finding.location.path] {
        hasher.field(part);
    }
    format!("{}:1", &hasher.finish().hex()[..16])
}

/// What was scanned, for findings that lie in no file of it.
fn target_address(target: &str, folder: Option<&Path>) -> String {
    let path = Path::new(target);
    if !path.is_absolute() {
        return in_address(target);
    }
    match folder.and_then(|folder| path.strip_prefix(folder).ok()).and_then(Path::to_str) {
        Some(below) if !below.is_empty() => in_address(below),
        _ => format!("file://{}", in_address(target)),
    }
}

fn message(finding: &Finding) -> String {
    let package = &finding.package;
    let fix = match finding.fixed_in.as_slice() {
        [] => "no fix is known".to_owned(),
        versions => format!("fixed in {}", versions.join(", ")),
    };
    format!("{} {} is affected by {}; {fix}", package.name, package.version, finding.advisory_id)
}

/// SARIF has three levels. What nobody rated is not harmless.
const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium | Severity::Unknown => "warning",
        Severity::Low | Severity::Informational | Severity::None => "note",
    }
}

/// The text as a relative URI reference (RFC 3986): all but unreserved characters and slashes escaped.
fn in_address(text: &str) -> String {
    let mut address = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => address.push(byte as char),
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_addresses() {
        assert_eq!(in_address("usr/lib/a b.jar"), "usr/lib/a%20b.jar");
        assert_eq!(in_address("registry:5000/ä"), "registry%3A5000/%C3%A4");
        let below = |target| target_address(target, Some(Path::new("/src/app")));
        assert_eq!(below("/src/app/build/bom.json"), "build/bom.json");
        assert_eq!(below("/tmp/a b.json"), "file:///tmp/a%20b.json");
        assert_eq!(below("bom.json"), "bom.json");
        assert_eq!(below("/src/app"), "file:///src/app");
    }
}
