//! CycloneDX (ECMA-424): the document of what was scanned, with its findings as `vulnerabilities`.

use std::collections::HashMap;

use serde_json::{Value, json};
use stella_advisory::cvss::Cvss;
use stella_api::finding::Finding;
use stella_domain::Severity;

use super::RenderError;
use crate::stella::status;
use crate::terminal;

/// Property that holds the declaring file of a component.
const PATH: &str = "stella:path";

/// Adds `findings` to the CycloneDX document `bom`.
///
/// # Errors
/// When `bom` is no JSON.
pub fn cyclonedx(bom: &[u8], findings: &[Finding]) -> Result<Vec<u8>, RenderError> {
    let mut document: Value = serde_json::from_slice(bom).map_err(RenderError::Bom)?;
    let references = references(&document);
    let vulnerabilities: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let key = (finding.package.purl.clone(), finding.location.path.clone());
            vulnerability(finding, references.get(&key).unwrap_or(&finding.package.purl))
        })
        .collect();
    if let Value::Object(members) = &mut document {
        members.insert("vulnerabilities".to_owned(), Value::Array(vulnerabilities));
    }
    Ok(terminal::json(&document)?)
}

/// References of components by package URL and declaring file.
fn references(document: &Value) -> HashMap<(String, String), String> {
    let components = document.get("components").and_then(Value::as_array);
    let entry = |component: &Value| {
        let text = |name: &str| component.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(((text("purl")?, path(component)), text("bom-ref")?))
    };
    components.into_iter().flatten().filter_map(entry).collect()
}

fn path(component: &Value) -> String {
    let properties = component.get("properties").and_then(Value::as_array);
    let named = properties.into_iter().flatten().find(|property| property["name"] == PATH);
    named.and_then(|property| property["value"].as_str()).unwrap_or_default().to_owned()
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
        let document = json!({"components": [
            {"bom-ref": "p", "purl": "p", "properties": [{"name": "stella:path", "value": "a"}]},
            {"bom-ref": "p#2", "purl": "p", "properties": [{"name": "stella:path", "value": "b"}]},
            {"bom-ref": "os:debian"},
        ]});
        let found = references(&document);
        assert_eq!(found.len(), 2);
        assert_eq!(found[&("p".to_owned(), "b".to_owned())], "p#2");
    }
}
