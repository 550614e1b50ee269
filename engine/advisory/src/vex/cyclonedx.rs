//! Vulnerabilities of CycloneDX documents (CycloneDX 1.4 to 1.7, "Vulnerability Exploitability").

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Budget, Document, Product, Selector, Statement, Status, Vers, VexError, malformed, timestamp};

/// How deep components may be nested.
const MAX_DEPTH: usize = 60;

#[derive(Deserialize)]
struct Bom {
    #[serde(rename = "serialNumber", default)]
    serial_number: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    component: Option<Component>,
    #[serde(default)]
    supplier: Option<Organisation>,
    #[serde(default)]
    manufacture: Option<Organisation>,
    #[serde(default)]
    manufacturer: Option<Organisation>,
}

#[derive(Deserialize)]
struct Organisation {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "bom-ref", default)]
    reference: Option<String>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    hashes: Vec<Hash>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Hash {
    alg: String,
    content: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    id: String,
    #[serde(default)]
    references: Vec<Reference>,
    #[serde(default)]
    published: Option<String>,
    #[serde(default)]
    updated: Option<String>,
    #[serde(default)]
    analysis: Option<Analysis>,
    #[serde(default)]
    affects: Vec<Affects>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
struct Analysis {
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    justification: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(rename = "lastUpdated", default)]
    last_updated: Option<String>,
}

#[derive(Deserialize)]
struct Affects {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    versions: Vec<AffectedVersion>,
}

#[derive(Deserialize)]
struct AffectedVersion {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    range: Option<String>,
    #[serde(default)]
    status: Option<String>,
}

impl Component {
    fn selector(&self) -> Option<Selector> {
        let sha256 = self.hashes.iter().find(|hash| hash.alg == "SHA-256").map(|hash| hash.content.as_str());
        if self.kind == "container" {
            // Some tools write the digest of an image as its version.
            let digest = self.version.as_deref().and_then(|version| version.strip_prefix("sha256:"));
            return Selector::of(self.purl.as_deref(), sha256.or(digest));
        }
        // The hash of a package is more than an inventory knows; its URL says which package is meant.
        let selector = Selector::of(Some(self.purl.as_deref()?), None)?;
        match (&selector, &self.version) {
            (Selector::Package { versions: super::Versions::All, .. }, Some(version)) => selector.in_version(version),
            _ => Some(selector),
        }
    }
}

/// The components of a document, and what the document is about.
struct Subjects<'a> {
    by_reference: BTreeMap<&'a str, &'a Component>,
    root: Option<&'a Component>,
}

pub(super) fn read(value: Value) -> Result<Document, VexError> {
    let bom: Bom = serde_json::from_value(value).map_err(|e| malformed("document", e.to_string()))?;
    let mut subjects = Subjects { by_reference: BTreeMap::new(), root: bom.metadata.component.as_ref() };
    subjects.collect(&bom.components, 0)?;
    if let Some(root) = subjects.root {
        subjects.collect(&root.components, 0)?;
    }
    let organisations = [&bom.metadata.manufacturer, &bom.metadata.manufacture, &bom.metadata.supplier];
    let author = organisations.into_iter().flatten().map(|o| o.name.clone()).next().unwrap_or_default();
    let mut read = Document { id: bom.serial_number, statements: Vec::new(), unusable: 0 };
    let mut budget = Budget::new();
    for (number, vulnerability) in bom.vulnerabilities.iter().enumerate() {
        let Some(analysis) = &vulnerability.analysis else { continue };
        let Some(word) = &analysis.state else { continue };
        let place = format!("vulnerabilities[{number}]");
        let state = state(word).ok_or_else(|| malformed(&place, "unknown analysis.state"))?;
        let dates = [&analysis.last_updated, &vulnerability.updated, &vulnerability.published, &bom.metadata.timestamp];
        let date = timestamp(&place, dates.into_iter().find_map(Option::as_deref))?;
        let references = vulnerability.references.iter().map(|reference| reference.id.clone());
        let ids: Vec<String> =
            std::iter::once(vulnerability.id.clone()).chain(references).filter(|id| !id.is_empty()).collect();
        for (status, products) in subjects.said(vulnerability, state, &mut budget, &mut read.unusable)? {
            read.statements.push(Statement {
                vulnerability: ids.clone(),
                status,
                justification: analysis
                    .justification
                    .as_deref()
                    .filter(|_| status == Status::NotAffected)
                    .map(justification),
                detail: analysis.detail.clone(),
                author: author.clone(),
                timestamp: date,
                products,
            });
        }
    }
    Ok(read)
}

impl<'a> Subjects<'a> {
    fn collect(&mut self, components: &'a [Component], depth: usize) -> Result<(), VexError> {
        if depth > MAX_DEPTH {
            return Err(malformed("components", format!("nested deeper than {MAX_DEPTH}")));
        }
        for component in components {
            if let Some(reference) = component.reference.as_deref()
                && self.by_reference.insert(reference, component).is_some()
            {
                return Err(malformed("components", "a bom-ref occurs twice"));
            }
            self.collect(&component.components, depth + 1)?;
        }
        Ok(())
    }

    /// What is said about which products.
    fn said(
        &self,
        vulnerability: &Vulnerability,
        state: Status,
        budget: &mut Budget,
        unusable: &mut usize,
    ) -> Result<BTreeMap<Status, Vec<Product>>, VexError> {
        let mut said: BTreeMap<Status, Vec<Product>> = BTreeMap::new();
        for affects in &vulnerability.affects {
            let is_root = self.root.is_some_and(|root| root.reference.as_deref() == Some(&affects.reference));
            let mut cases: Vec<(Status, Option<Selector>)> = Vec::new();
            if affects.versions.is_empty() {
                cases.push((state, self.selector(&affects.reference)));
            }
            for version in &affects.versions {
                let status = match version.status.as_deref() {
                    None | Some("affected") => state,
                    Some("unaffected") => Status::NotAffected,
                    _ => Status::UnderInvestigation,
                };
                cases.push((status, self.selector(&affects.reference).and_then(|selector| version.narrow(selector))));
            }
            for (status, selector) in cases {
                budget.spend()?;
                match selector.and_then(|selector| self.product(selector, is_root)) {
                    Some(product) => said.entry(status).or_default().push(product),
                    None => *unusable += 1,
                }
            }
        }
        Ok(said)
    }

    /// By `bom-ref`, or a package URL in its place. A link into another document tells nothing here.
    fn selector(&self, reference: &str) -> Option<Selector> {
        if let Some(root) = self.root.filter(|root| root.reference.as_deref() == Some(reference)) {
            return root.selector();
        }
        match self.by_reference.get(reference) {
            Some(component) => component.selector(),
            None if reference.starts_with("pkg:") => Selector::of(Some(reference), None),
            None => None,
        }
    }

    /// Components are spoken of within what the document is about.
    fn product(&self, selector: Selector, is_root: bool) -> Option<Product> {
        match self.root.filter(|_| !is_root) {
            Some(root) => Some(Product::Part { of: root.selector()?, part: selector }),
            None => Some(Product::Whole(selector)),
        }
    }
}

impl AffectedVersion {
    fn narrow(&self, selector: Selector) -> Option<Selector> {
        match (&self.version, &self.range) {
            (Some(version), None) => selector.in_version(version),
            (None, Some(range)) => selector.in_range(range.parse::<Vers>().ok()?),
            _ => None,
        }
    }
}

fn state(word: &str) -> Option<Status> {
    Some(match word {
        "resolved" | "resolved_with_pedigree" => Status::Fixed,
        "exploitable" => Status::Affected,
        "in_triage" => Status::UnderInvestigation,
        "false_positive" | "not_affected" => Status::NotAffected,
        _ => return None,
    })
}

/// In OpenVEX's words where there is one.
fn justification(word: &str) -> String {
    match word {
        "code_not_present" => "vulnerable_code_not_present",
        "code_not_reachable" => "vulnerable_code_not_in_execute_path",
        "protected_by_mitigating_control"
        | "protected_at_runtime"
        | "protected_at_perimeter"
        | "protected_by_compiler" => "inline_mitigations_already_exist",
        other => other,
    }
    .to_owned()
}
