//! Reading CycloneDX JSON (ECMA-424), with the properties that Stella, Trivy and Syft add.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::limits::Limits;
use crate::purl::Purl;
use crate::{OsRelease, SourcePackage};

use super::layered::{self, LayerProperties};
use super::listing::{Details, Listing, digest_in, joined_version};
use super::{SbomDocument, SbomError, SbomFormat, Subject, malformed};

/// Properties of components and of the document.
pub(super) mod property {
    pub const LAYER: &str = "stella:layer:diffId";
    pub const LAYERS: &str = "stella:layers";
    pub const LAYER_PREFIX: &str = "stella:layer:";
    /// Marks the fold of an image, whose components carry their layer for information only.
    pub const FOLDED: &str = "stella:folded";
    pub const PATH: &str = "stella:path";
    pub const FILES: &str = "stella:files";
    pub const SOURCE_NAME: &str = "stella:source:name";
    pub const SOURCE_VERSION: &str = "stella:source:version";
    pub const OS_LIKE: &str = "stella:os:like";
    pub const PROBLEM_PREFIX: &str = "stella:problem:";
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: Option<String>,
    spec_version: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Option<Vec<Component>>,
    #[serde(default)]
    properties: Option<Vec<Property>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    component: Option<Component>,
    #[serde(default)]
    properties: Option<Vec<Property>>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    licenses: Option<Vec<LicenceChoice>>,
    #[serde(default)]
    properties: Option<Vec<Property>>,
    #[serde(default)]
    components: Option<Vec<Component>>,
}

#[derive(Deserialize)]
struct LicenceChoice {
    #[serde(default)]
    license: Option<Licence>,
    #[serde(default)]
    expression: Option<String>,
}

#[derive(Deserialize)]
struct Licence {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: Option<String>,
}

pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<SbomDocument, SbomError> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| malformed(SbomFormat::CycloneDx, &error))?;
    if document.bom_format.as_deref() != Some("CycloneDX") {
        return Err(SbomError::NotAnSbom { found: "bomFormat is not CycloneDX".into() });
    }
    let version = document.spec_version.unwrap_or_default();
    if !matches!(version.split_once('.'), Some(("1", minor)) if minor.parse::<u32>().is_ok_and(|minor| minor >= 2)) {
        return Err(SbomError::Version { format: SbomFormat::CycloneDx.name(), version });
    }
    let metadata = document.metadata.unwrap_or_default();
    let mut listing = Listing::default();
    let mut layers = LayerProperties::default();
    for property in metadata.properties.into_iter().flatten().chain(document.properties.into_iter().flatten()) {
        let value = property.value.unwrap_or_default();
        match property.name.strip_prefix(property::PROBLEM_PREFIX) {
            Some(path) => listing.problem(path, value),
            None => layers.take(&property.name, &value)?,
        }
    }
    layers.check(limits)?;
    listing.layers.clone_from(&layers.order);
    let subject = metadata.component.as_ref().map(subject_of);
    // Some producers put everything below the subject.
    let below = metadata.component.and_then(|component| component.components);
    for component in document.components.into_iter().chain(below).flatten() {
        take(component, &mut listing, limits, 0)?;
    }
    layered::finish(listing, layers, SbomFormat::CycloneDx, subject)
}

fn take(component: Component, listing: &mut Listing, limits: &Limits, depth: usize) -> Result<(), SbomError> {
    if depth > limits.max_nesting {
        return Err(SbomError::Limit { what: "components within each other", max: limits.max_nesting });
    }
    if component.scope.as_deref() == Some("excluded") {
        return Ok(());
    }
    let name = component.name.unwrap_or_default();
    let properties: BTreeMap<&str, &str> = component
        .properties
        .iter()
        .flatten()
        .filter_map(|property| Some((property.name.as_str(), property.value.as_deref()?)))
        .collect();
    let kind = component.kind.as_deref().unwrap_or("library");
    match &component.purl {
        Some(purl) if !purl.is_empty() => {
            let mut details = details(&properties, &name)?;
            details.licences = licences(component.licenses.as_deref().unwrap_or_default());
            listing.add(purl, &name, details);
        }
        _ if kind == "operating-system" => {
            listing.os.get_or_insert(OsRelease {
                id: name.to_ascii_lowercase(),
                version: component.version.clone().unwrap_or_default(),
                like: properties.get(property::OS_LIKE).map(|like| words(like)).unwrap_or_default(),
                name: component.description.clone().unwrap_or_default(),
            });
        }
        _ if kind == "library" => listing.problem(&name, "a library without a package URL".into()),
        _ => {}
    }
    component.components.into_iter().flatten().try_for_each(|inner| take(inner, listing, limits, depth + 1))
}

fn details(properties: &BTreeMap<&str, &str>, name: &str) -> Result<Details, SbomError> {
    let first = |names: &[&str]| names.iter().find_map(|name| properties.get(name).copied());
    let own_layer = properties.get(property::LAYER).map(|layer| {
        layer.parse().map_err(|_| SbomError::Layer {
            place: format!("component {name}"),
            layer: (*layer).chars().take(100).collect(),
            reason: "it is not a digest",
        })
    });
    let foreign_layer = first(&["aquasecurity:trivy:LayerDiffID", "syft:location:0:layerID"]);
    Ok(Details {
        path: first(&[property::PATH, "aquasecurity:trivy:FilePath", "syft:location:0:path"]).unwrap_or("").to_owned(),
        licences: Vec::new(),
        source: source(&first),
        layer: own_layer.transpose()?.or_else(|| foreign_layer.and_then(|layer| layer.parse().ok())),
        files: properties.get(property::FILES).map(|files| layered::list(files)).unwrap_or_default(),
    })
}

fn source<'p>(first: &dyn Fn(&[&str]) -> Option<&'p str>) -> Option<SourcePackage> {
    let trivy = |field: &str| first(&[&format!("aquasecurity:trivy:{field}")]).unwrap_or("");
    if !trivy("SrcName").is_empty() {
        let version = joined_version(trivy("SrcEpoch"), trivy("SrcVersion"), trivy("SrcRelease"));
        return Some(SourcePackage::new(trivy("SrcName"), version));
    }
    let name = first(&[property::SOURCE_NAME, "syft:metadata:source"]).filter(|name| !name.is_empty())?;
    let version = first(&[property::SOURCE_VERSION, "syft:metadata:sourceVersion"]).unwrap_or("");
    Some(SourcePackage::new(name, version))
}

fn licences(choices: &[LicenceChoice]) -> Vec<String> {
    let named = |licence: &Licence| licence.id.clone().or_else(|| licence.name.clone());
    let text = |choice: &LicenceChoice| choice.expression.clone().or_else(|| choice.license.as_ref().and_then(named));
    choices.iter().filter_map(text).filter(|licence| !licence.is_empty()).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Trivy names an image's digest in the package URL, Syft in the version.
fn subject_of(component: &Component) -> Subject {
    let purl = component.purl.as_deref().and_then(|purl| purl.parse::<Purl>().ok());
    let of_purl = purl.filter(|purl| purl.kind == "oci").and_then(|purl| digest_in(purl.version.as_deref()?));
    let digest = of_purl
        .or_else(|| digest_in(component.version.as_deref()?))
        .or_else(|| digest_in(component.name.as_deref()?))
        .or_else(|| {
            let told = |name: &str| component.properties.iter().flatten().find(|property| property.name == name);
            let property = told("aquasecurity:trivy:RepoDigest").or_else(|| told("aquasecurity:trivy:ImageID"))?;
            digest_in(property.value.as_deref()?)
        });
    Subject { name: component.name.clone().unwrap_or_default(), digest }
}
