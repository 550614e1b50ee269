//! Writing SPDX 2.3 JSON, with the layer and the source package of each component in the words Trivy uses.

use std::collections::BTreeMap;

use serde::Serialize;
use stella_domain::{Digest, Hasher};

use crate::{Component, Inventory, OsRelease};

use super::super::Subject;
use super::super::cyclonedx::property;
use super::super::evidence::technique;
use super::super::licences::is_identifier;
use super::super::listing::{sorted, sorted_components};
use super::{BUILT_FROM, LAYER, PROBLEM};

/// SPDX demands an instant; the documents here have none, so that they depend on their content alone.
const CREATED: &str = "1970-01-01T00:00:00Z";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const SUBJECT: &str = "SPDXRef-Subject";
const UNKNOWN: &str = "NOASSERTION";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'a str,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<ExtractedLicence<'a>>,
    relationships: Vec<Relationship>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: &'static str,
    creators: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package<'a> {
    #[serde(rename = "SPDXID")]
    id: String,
    name: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    version_info: String,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    package_file_name: String,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_info: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attribution_texts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtractedLicence<'a> {
    license_id: String,
    extracted_text: &'a str,
    name: &'a str,
}

/// What SPDX has no field for, as `name: value`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    annotation_date: &'static str,
    annotation_type: &'static str,
    annotator: &'static str,
    comment: String,
}

impl Annotation {
    fn new(name: &str, value: &str) -> Self {
        let comment = format!("{name}: {value}");
        Self { annotation_date: CREATED, annotation_type: "OTHER", annotator: "Tool: stella", comment }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef<'a> {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: &'static str,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// An inventory as SPDX 2.3, with the layer of origin of each component and how it was identified. The files of the
/// packages are left out; everything else reads back. The order of components and problems makes no difference.
#[must_use]
pub fn write_spdx(inventory: &Inventory, subject: Option<&Subject>) -> Vec<u8> {
    let name = subject.map_or("inventory", |subject| subject.name.as_str());
    let digest = subject.and_then(|subject| subject.digest);
    let version = digest.map(|digest| digest.to_string()).unwrap_or_default();
    let mut packages = vec![package(SUBJECT.into(), name, version, "CONTAINER")];
    packages.extend(inventory.os.iter().map(operating_system));
    let mut extracted = BTreeMap::new();
    let components = sorted_components(inventory).into_iter().enumerate();
    packages.extend(components.map(|(index, component)| library(index, component, &mut extracted)));
    let contained = packages[1..].iter().map(|package| Relationship {
        spdx_element_id: SUBJECT,
        relationship_type: "CONTAINS",
        related_spdx_element: package.id.clone(),
    });
    let describes = Relationship {
        spdx_element_id: DOCUMENT,
        relationship_type: "DESCRIBES",
        related_spdx_element: SUBJECT.into(),
    };
    let relationships = std::iter::once(describes).chain(contained).collect();
    let extracted = extracted.into_iter();
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name,
        document_namespace: String::new(),
        creation_info: CreationInfo { created: CREATED, creators: ["Tool: stella"] },
        packages,
        has_extracted_licensing_infos: extracted
            .map(|(license_id, text)| ExtractedLicence { license_id, extracted_text: text, name: text })
            .collect(),
        relationships,
        annotations: annotations(inventory),
    };
    let mut hasher = Hasher::new();
    hasher.field("stella spdx 1");
    hasher.field(serde_json::to_vec(&document).unwrap_or_default());
    document.document_namespace = format!("urn:sha256:{}", hasher.finish().hex());
    serde_json::to_vec(&document).unwrap_or_default()
}

fn annotations(inventory: &Inventory) -> Vec<Annotation> {
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    let layers = (!inventory.layers.is_empty())
        .then(|| Annotation::new(property::LAYERS, &json(serde_json::to_string(&inventory.layers))));
    let problems = sorted(&inventory.problems);
    let problems = problems.into_iter().map(|problem| Annotation::new(PROBLEM, &json(serde_json::to_string(problem))));
    layers.into_iter().chain(problems).collect()
}

/// All of the licences by identifier, or by a reference to the words that were found.
fn declared<'a>(licences: &'a [String], extracted: &mut BTreeMap<String, &'a str>) -> String {
    let terms: Vec<String> = licences
        .iter()
        .filter(|licence| !licence.is_empty())
        .map(|licence| {
            if is_identifier(licence) {
                return licence.clone();
            }
            let reference = format!("LicenseRef-{}", &Digest::of(licence).hex()[..16]);
            extracted.insert(reference.clone(), licence);
            reference
        })
        .collect();
    if terms.is_empty() { UNKNOWN.to_owned() } else { terms.join(" AND ") }
}

fn package<'a>(id: String, name: &'a str, version_info: String, purpose: &'static str) -> Package<'a> {
    Package {
        id,
        name,
        version_info,
        primary_package_purpose: purpose,
        package_file_name: String::new(),
        download_location: UNKNOWN,
        files_analyzed: false,
        license_concluded: UNKNOWN,
        license_declared: UNKNOWN.to_owned(),
        copyright_text: UNKNOWN,
        description: "",
        comment: String::new(),
        source_info: String::new(),
        external_refs: Vec::new(),
        attribution_texts: Vec::new(),
        annotations: Vec::new(),
    }
}

fn operating_system(os: &OsRelease) -> Package<'_> {
    let like = (!os.like.is_empty()).then(|| Annotation::new(property::OS_LIKE, &os.like.join(" ")));
    Package {
        description: &os.name,
        annotations: like.into_iter().collect(),
        ..package("SPDXRef-OperatingSystem".into(), &os.id, os.version.clone(), "OPERATING-SYSTEM")
    }
}

fn library<'a>(index: usize, component: &'a Component, extracted: &mut BTreeMap<String, &'a str>) -> Package<'a> {
    let Component { package: found, purl, layer, .. } = component;
    let source = found.source.as_ref();
    let has_path = !found.path.is_empty();
    Package {
        package_file_name: if has_path { format!("./{}", found.path) } else { String::new() },
        license_declared: declared(&found.licences, extracted),
        comment: if has_path { format!("identified by {} of {}", technique(found), found.path) } else { String::new() },
        source_info: source.map(|s| format!("{BUILT_FROM}{} {}", s.name, s.version)).unwrap_or_default(),
        external_refs: vec![ExternalRef {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: purl,
        }],
        attribution_texts: layer.iter().map(|layer| format!("{LAYER}{layer}")).collect(),
        annotations: found.linked.then(|| Annotation::new(property::LINKED, "true")).into_iter().collect(),
        ..package(format!("SPDXRef-Package-{index}"), &found.name, found.version.clone(), "LIBRARY")
    }
}
