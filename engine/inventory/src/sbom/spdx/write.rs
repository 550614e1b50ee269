//! Writing SPDX 2.3 JSON, with the layer and the source package of each component in the words Trivy uses.

use serde::Serialize;
use stella_domain::Hasher;

use crate::{Component, Inventory, OsRelease};

use super::super::Subject;
use super::{BUILT_FROM, LAYER};

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
    relationships: Vec<Relationship>,
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
    #[serde(skip_serializing_if = "str::is_empty")]
    package_file_name: &'a str,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: &'static str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_info: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    license_comments: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attribution_texts: Vec<String>,
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

/// An inventory as SPDX 2.3. Licences go into `licenseComments` as declared, for they are seldom valid expressions.
#[must_use]
pub fn write_spdx(inventory: &Inventory, subject: Option<&Subject>) -> Vec<u8> {
    let name = subject.map_or("inventory", |subject| subject.name.as_str());
    let digest = subject.and_then(|subject| subject.digest);
    let version = digest.map(|digest| digest.to_string()).unwrap_or_default();
    let mut packages = vec![package(SUBJECT.into(), name, version, "CONTAINER")];
    packages.extend(inventory.os.iter().map(operating_system));
    packages.extend(inventory.components.iter().enumerate().map(|(index, component)| library(index, component)));
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
    let mut hasher = Hasher::new();
    hasher.field(inventory.digest().as_bytes());
    hasher.field(name);
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name,
        document_namespace: format!("urn:sha256:{}", hasher.finish().hex()),
        creation_info: CreationInfo { created: CREATED, creators: ["Tool: stella"] },
        packages,
        relationships,
    };
    serde_json::to_vec(&document).unwrap_or_default()
}

fn package<'a>(id: String, name: &'a str, version_info: String, purpose: &'static str) -> Package<'a> {
    Package {
        id,
        name,
        version_info,
        primary_package_purpose: purpose,
        package_file_name: "",
        download_location: UNKNOWN,
        files_analyzed: false,
        license_concluded: UNKNOWN,
        license_declared: UNKNOWN,
        copyright_text: UNKNOWN,
        source_info: String::new(),
        license_comments: String::new(),
        external_refs: Vec::new(),
        attribution_texts: Vec::new(),
    }
}

fn operating_system(os: &OsRelease) -> Package<'_> {
    package("SPDXRef-OperatingSystem".into(), &os.id, os.version.clone(), "OPERATING-SYSTEM")
}

fn library(index: usize, component: &Component) -> Package<'_> {
    let Component { package: found, purl, layer, .. } = component;
    let source = found.source.as_ref();
    Package {
        package_file_name: &found.path,
        source_info: source.map(|s| format!("{BUILT_FROM}{} {}", s.name, s.version)).unwrap_or_default(),
        license_comments: found.licences.join("; "),
        external_refs: vec![ExternalRef {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: purl,
        }],
        attribution_texts: layer.iter().map(|layer| format!("{LAYER}{layer}")).collect(),
        ..package(format!("SPDXRef-Package-{index}"), &found.name, found.version.clone(), "LIBRARY")
    }
}
