//! CycloneDX (ECMA-424): the document of what was scanned, with its findings as `vulnerabilities`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use stella_advisory::cvss::Cvss;
use stella_api::finding::Finding;
use stella_domain::Severity;

use super::RenderError;
use crate::stella::status;

/// Property that holds the declaring file of a component.
const PATH: &str = "stella:path";

/// Adds `findings` to the CycloneDX document `bom`, whose other members stay byte for byte as they are.
///
/// # Errors
/// When `bom` is no JSON object.
pub fn cyclonedx(bom: &[u8], findings: &[Finding]) -> Result<Vec<u8>, RenderError> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(bom).map_err(RenderError::Bom)?;
    let components = members.get("components").cloned().filter(|_| !findings.is_empty());
    let references = references(components.as_ref().map_or("[]", |list| list.get())).map_err(RenderError::Bom)?;
    let vulnerabilities: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let key = (finding.package.purl.as_str().into(), finding.location.path.as_str().into());
            vulnerability(finding, references.get(&key).map_or(&finding.package.purl, |reference| reference))
        })
        .collect();
    let vulnerabilities = to_raw_value(&vulnerabilities).map_err(RenderError::Bom)?;
    members.insert("vulnerabilities".to_owned(), vulnerabilities);
    let mut text = serde_json::to_vec(&members).map_err(RenderError::Bom)?;
    text.push(b'\n');
    Ok(text)
}

/// What is read of a component to find it again.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Component<'b> {
    #[serde(borrow, default)]
    purl: Cow<'b, str>,
    #[serde(borrow, default)]
    bom_ref: Cow<'b, str>,
    #[serde(borrow, default)]
    properties: Vec<Property<'b>>,
}

#[derive(Deserialize)]
struct Property<'b> {
    #[serde(borrow, default)]
    name: Cow<'b, str>,
    #[serde(borrow, default)]
    value: Cow<'b, str>,
}

/// References of components by package URL and declaring file.
type References<'b> = HashMap<(Cow<'b, str>, Cow<'b, str>), Cow<'b, str>>;

fn references(components: &str) -> serde_json::Result<References<'_>> {
    let mut found = References::new();
    for component in serde_json::from_str::<Vec<Component<'_>>>(components)? {
        let path = component.properties.into_iter().find(|property| property.name == PATH);
        let path = path.map(|path| path.value).unwrap_or_default();
        if !component.purl.is_empty() {
            found.insert((component.purl, path), component.bom_ref);
        }
    }
    Ok(found)
}

fn vulnerability(finding: &Finding, reference: &str) -> Value {
    let source = finding.sources.first().map_or("stella", String::as_str);
    let mut entry = json!({
        "bom-ref": finding.finding_id,
        "id": finding.advisory_id,
        "source": {"name": source},
        "references": aliases(finding, source),
        "ratings": [rating(finding)],
        "description": finding.summary,
        "affects": [{"ref": reference}],
        "properties": [
            {"name": "stella:verdict", "value": status(finding).name()},
            {"name": "stella:reachability", "value": finding.reachability.status.name()},
            {"name": "stella:kev", "value": finding.kev.to_string()},
        ],
    });
    if !finding.fixed_in.is_empty() {
        entry["recommendation"] = json!(format!("Upgrade to {}", finding.fixed_in.join(" or ")));
    }
    entry
}

fn aliases(finding: &Finding, source: &str) -> Vec<Value> {
    let others = finding.aliases.iter().filter(|alias| **alias != finding.advisory_id);
    others.map(|alias| json!({"id": alias, "source": {"name": source}})).collect()
}

fn rating(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Informational => "info".to_owned(),
        level => level.name().to_ascii_lowercase(),
    };
    match &finding.cvss {
        None => json!({"severity": severity}),
        Some(cvss) => json!({
            "score": cvss.score, "severity": severity, "method": method(cvss), "vector": cvss.vector,
        }),
    }
}

fn method(cvss: &Cvss) -> &'static str {
    match cvss.version.as_str() {
        "2.0" => "CVSSv2",
        "3.0" => "CVSSv3",
        "3.1" => "CVSSv31",
        "4.0" => "CVSSv4",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_found_by_url_and_file() {
        let components = json!([
            {"bom-ref": "p", "purl": "p", "properties": [{"name": "stella:path", "value": "a"}]},
            {"bom-ref": "p#2", "purl": "p", "properties": [{"name": "stella:path", "value": "\"b"}]},
            {"bom-ref": "os:debian"},
        ])
        .to_string();
        let found = references(&components).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[&("p".into(), "\"b".into())], "p#2");
    }
}
