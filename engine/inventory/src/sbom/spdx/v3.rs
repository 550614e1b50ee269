//! SPDX 3.0 as JSON-LD, brought into the shape of SPDX 2. Terms are taken by their names in the standard's context;
//! contexts are not fetched and nothing is expanded.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::graph::MAX_REFERENCE;
use super::super::{SbomError, SbomFormat, json};
use super::MAX_LICENCE;
use super::model::{Annotation, Document, ExternalRef, Package, PackageChecksum, Relationship};

#[derive(Deserialize)]
struct Root {
    #[serde(default, rename = "@context")]
    context: Option<OneOrMany<Context>>,
    #[serde(default, rename = "@graph")]
    graph: Option<Vec<Element>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Context {
    Name(String),
    Terms(serde::de::IgnoredAny),
}

/// An element by its IRI, or written out in its place.
#[derive(Deserialize)]
#[serde(untagged)]
enum Link {
    Iri(String),
    Inline {
        #[serde(alias = "@id", rename = "spdxId", default)]
        id: String,
    },
}

impl Link {
    fn into_id(self) -> String {
        match self {
            Self::Iri(id) | Self::Inline { id } => id,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Element {
    #[serde(alias = "@type")]
    r#type: String,
    #[serde(alias = "@id")]
    spdx_id: String,
    name: Option<String>,
    description: Option<String>,
    root_element: Option<OneOrMany<Link>>,
    #[serde(rename = "software_packageVersion")]
    version: Option<String>,
    #[serde(rename = "software_packageUrl")]
    purl: Option<String>,
    #[serde(rename = "software_primaryPurpose")]
    purpose: Option<String>,
    #[serde(rename = "software_sourceInfo")]
    source_info: Option<String>,
    #[serde(rename = "software_attributionText")]
    attribution: Option<OneOrMany<String>>,
    external_identifier: Option<OneOrMany<ExternalIdentifier>>,
    verified_using: Option<OneOrMany<Integrity>>,
    from: Option<Link>,
    to: Option<OneOrMany<Link>>,
    relationship_type: Option<String>,
    subject: Option<Link>,
    statement: Option<String>,
    #[serde(rename = "simplelicensing_licenseExpression")]
    expression: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExternalIdentifier {
    external_identifier_type: String,
    identifier: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Integrity {
    algorithm: String,
    hash_value: String,
}

pub(super) fn read(text: &str) -> Result<Document, SbomError> {
    let root: Root = json::read(SbomFormat::Spdx3, text)?;
    let contexts = root.context.map(OneOrMany::into_vec).unwrap_or_default();
    let version = contexts.iter().find_map(|context| match context {
        Context::Name(name) => name.split_once("spdx.org/rdf/")?.1.split('/').next(),
        Context::Terms(_) => None,
    });
    let version =
        version.ok_or_else(|| SbomError::NotAnSbom { found: "JSON-LD without the context of SPDX".into() })?;
    if version != "3.0" && !version.starts_with("3.0.") {
        return Err(SbomError::Version { format: SbomFormat::Spdx3.name(), version: json::cut(version) });
    }
    let mut document = Document { spdx_version: Some(format!("SPDX-{version}")), ..Document::default() };
    let (mut packages, mut relationships) = (Vec::new(), Vec::new());
    let mut licences: HashMap<String, String> = HashMap::new();
    let mut notes: Vec<(String, String)> = Vec::new();
    let mut roots = Vec::new();
    for element in root.graph.unwrap_or_default() {
        match element.r#type.rsplit(['_', '/']).next().unwrap_or("") {
            "SpdxDocument" => {
                document.id = element.spdx_id;
                document.name = element.name.unwrap_or_default();
                roots.splice(0..0, ids(element.root_element));
            }
            "Sbom" | "Bom" => roots.extend(ids(element.root_element)),
            "Package" => packages.push(package(element)),
            "LicenseExpression" => {
                licences.insert(element.spdx_id, element.expression.unwrap_or_default());
            }
            "Annotation" => {
                let subject = element.subject.map(Link::into_id).unwrap_or_default();
                notes.push((subject, element.statement.unwrap_or_default()));
            }
            "Relationship" | "LifecycleScopedRelationship" => relationships.push(element),
            _ => {}
        }
    }
    let places: HashMap<String, usize> =
        packages.iter().enumerate().rev().map(|(index, package)| (package.id.clone(), index)).collect();
    for (subject, comment) in notes {
        match places.get(&subject) {
            Some(index) => packages[*index].annotations.get_or_insert_default().push(Annotation { comment }),
            None if subject == document.id => {
                document.annotations.get_or_insert_default().push(Annotation { comment });
            }
            None => {}
        }
    }
    let mut related = Vec::new();
    for element in relationships {
        let from = element.from.map(Link::into_id).unwrap_or_default();
        if from.len() > MAX_REFERENCE {
            continue;
        }
        let kind = element.relationship_type.unwrap_or_default();
        for to in ids(element.to) {
            let licence = || licences.get(&to).filter(|licence| licence.len() <= MAX_LICENCE).cloned();
            match (kind.as_str(), places.get(&from)) {
                ("hasDeclaredLicense", Some(index)) => packages[*index].license_declared = licence(),
                ("hasConcludedLicense", Some(index)) => packages[*index].license_concluded = licence(),
                _ => related.push(Relationship {
                    spdx_element_id: from.clone(),
                    relationship_type: kind_of_2(&kind).to_owned(),
                    related_spdx_element: to,
                    comment: None,
                }),
            }
        }
    }
    // The root of the document may be the SBOM, whose own root is the subject.
    roots.retain(|root| places.contains_key(root));
    document.document_describes = Some(roots);
    document.packages = Some(packages);
    document.relationships = Some(related);
    Ok(document)
}

fn ids(links: Option<OneOrMany<Link>>) -> impl Iterator<Item = String> {
    links.map(OneOrMany::into_vec).into_iter().flatten().map(Link::into_id)
}

fn kind_of_2(kind: &str) -> &str {
    match kind {
        "contains" => "CONTAINS",
        "dependsOn" => "DEPENDS_ON",
        "describes" => "DESCRIBES",
        "hasOptionalDependency" | "hasProvidedDependency" | "hasPrerequisite" | "hasStaticLink" | "hasDynamicLink" => {
            "DEPENDS_ON"
        }
        other => other,
    }
}

fn package(element: Element) -> Package {
    let identifiers = element.external_identifier.map(OneOrMany::into_vec).into_iter().flatten();
    let purls = identifiers.filter(|id| matches!(id.external_identifier_type.as_str(), "packageUrl" | "packageURL"));
    let purls = element.purl.into_iter().chain(purls.map(|identifier| identifier.identifier));
    let references = purls.map(|purl| ExternalRef { reference_type: "purl".into(), reference_locator: purl }).collect();
    let hashes = element.verified_using.map(OneOrMany::into_vec).into_iter().flatten();
    let checksums = hashes
        .filter(|hash| !hash.algorithm.is_empty())
        .map(|hash| PackageChecksum { algorithm: hash.algorithm, checksum_value: hash.hash_value })
        .collect();
    Package {
        id: element.spdx_id,
        name: element.name.unwrap_or_default(),
        version_info: element.version,
        description: element.description,
        primary_package_purpose: element.purpose.map(|purpose| match purpose.as_str() {
            "operatingSystem" => "OPERATING-SYSTEM".into(),
            _ => purpose.to_ascii_uppercase(),
        }),
        source_info: element.source_info,
        checksums: Some(checksums),
        external_refs: Some(references),
        attribution_texts: element.attribution.map(OneOrMany::into_vec),
        ..Package::default()
    }
}
