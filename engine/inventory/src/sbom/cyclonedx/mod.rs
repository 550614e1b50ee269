//! Reading CycloneDX (ECMA-424), with the properties that Stella, Trivy and Syft add.

mod model;
mod write;
mod xml;

use std::collections::BTreeMap;

use crate::limits::Limits;
use crate::purl::Purl;
use crate::{OsRelease, SourcePackage};

use self::model::{Component, Document, Hash, LicenceChoice};
use super::graph::{Checksum, RelationKind};
use super::layered::{self, LayerProperties};
use super::listing::{Details, Listing, digest_in, joined_version};
use super::{SbomDocument, SbomError, SbomFormat, Subject, json};

pub use write::{write_cyclonedx, write_layers};

/// Properties of components and of the document.
pub(super) mod property {
    pub const LAYER: &str = "stella:layer:diffId";
    pub const LAYERS: &str = "stella:layers";
    pub const LAYER_PREFIX: &str = "stella:layer:";
    /// Marks the fold of an image, whose components carry their layer for information only.
    pub const FOLDED: &str = "stella:folded";
    pub const PATH: &str = "stella:path";
    pub const FILES: &str = "stella:files";
    pub const LINKED: &str = "stella:linked";
    pub const SOURCE_NAME: &str = "stella:source:name";
    pub const SOURCE_VERSION: &str = "stella:source:version";
    pub const OS_LIKE: &str = "stella:os:like";
    pub const PROBLEM_PREFIX: &str = "stella:problem:";
}

/// Types of components that the specification names.
const TYPES: [&str; 13] = [
    "application",
    "container",
    "cryptographic-asset",
    "data",
    "device",
    "device-driver",
    "file",
    "firmware",
    "framework",
    "library",
    "machine-learning-model",
    "operating-system",
    "platform",
];

/// Reads CycloneDX JSON.
pub(super) fn parse_json(text: &str, limits: &Limits) -> Result<SbomDocument, SbomError> {
    let format = SbomFormat::CycloneDx;
    let document: Document = json::read(format, text)?;
    if document.bom_format.as_deref() != Some("CycloneDX") {
        return Err(SbomError::NotAnSbom { found: "bomFormat is not CycloneDX".into() });
    }
    understand(document, format, limits)
}

/// Reads CycloneDX XML.
pub(super) fn parse_xml(text: &str, limits: &Limits) -> Result<SbomDocument, SbomError> {
    understand(xml::read(text, limits.max_nesting)?, SbomFormat::CycloneDxXml, limits)
}

fn understand(document: Document, format: SbomFormat, limits: &Limits) -> Result<SbomDocument, SbomError> {
    let version = document.spec_version.unwrap_or_default();
    let minor = version.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    // Later versions are read as far as they stay compatible.
    if minor.is_none_or(|minor| minor < 2) {
        return Err(SbomError::Version { format: format.name(), version: json::cut(&version) });
    }
    let metadata = document.metadata.unwrap_or_default();
    let mut listing = Listing::default();
    let mut layers = LayerProperties::default();
    for property in metadata.properties.into_iter().flatten().chain(document.properties.into_iter().flatten()) {
        let value = property.value.unwrap_or_default();
        match property.name.strip_prefix(property::PROBLEM_PREFIX) {
            Some(path) => listing.problem(path, value),
            None if property.name.is_empty() => listing.problem("", "a property without a name".into()),
            None => layers.take(&property.name, &value)?,
        }
    }
    layers.check(limits)?;
    listing.layers.clone_from(&layers.order);
    let subject = metadata.component.as_ref().map(subject_of);
    let root = metadata.component.as_ref().and_then(|component| component.reference.clone()).unwrap_or_default();
    listing.subject(&root);
    // Some producers put everything below the subject.
    let below = metadata.component.and_then(|component| component.components);
    let reader = Reader { format, limits };
    for (index, component) in document.components.into_iter().flatten().enumerate() {
        reader.take(component, &mut listing, &Place::top("components", index, ""))?;
    }
    for (index, component) in below.into_iter().flatten().enumerate() {
        reader.take(component, &mut listing, &Place::top("metadata.component.components", index, &root))?;
    }
    for dependency in document.dependencies.into_iter().flatten() {
        if dependency.reference.is_empty() {
            listing.problem("", "a dependency without a reference".into());
            continue;
        }
        for needed in dependency.depends_on.into_iter().flatten() {
            listing.relate(&dependency.reference, RelationKind::DependsOn, &needed);
        }
    }
    layered::finish(listing, layers, format, subject)
}

/// Where a component stands.
struct Place<'p> {
    path: String,
    depth: usize,
    /// Reference of the component that it lies within, or empty.
    parent: &'p str,
}

impl<'p> Place<'p> {
    fn top(list: &str, index: usize, parent: &'p str) -> Self {
        Self { path: format!("{list}[{index}]"), depth: 0, parent }
    }
}

struct Reader<'l> {
    format: SbomFormat,
    limits: &'l Limits,
}

impl Reader<'_> {
    fn take(&self, component: Component, listing: &mut Listing, place: &Place<'_>) -> Result<(), SbomError> {
        if place.depth > self.limits.max_nesting {
            return Err(SbomError::Limit { what: "components within each other", max: self.limits.max_nesting });
        }
        if component.scope.as_deref() == Some("excluded") {
            return Ok(());
        }
        let Some(name) = component.name.as_deref().filter(|name| !name.is_empty()) else {
            let reason = format!("at {}: a component without a name", place.path);
            return Err(SbomError::Malformed { format: self.format.name(), reason });
        };
        note_oddities(&component, name, listing);
        let checksums = checksums(component.hashes.as_deref().unwrap_or_default(), name, listing);
        let properties: BTreeMap<&str, &str> = component
            .properties
            .iter()
            .flatten()
            .filter_map(|property| Some((property.name.as_str(), property.value.as_deref()?)))
            .collect();
        let kind = component.kind.as_deref().unwrap_or("library");
        let reference = component.reference.clone().unwrap_or_default();
        match &component.purl {
            Some(purl) if !purl.is_empty() => {
                let mut details = details(&properties, name)?;
                details.reference.clone_from(&reference);
                details.licences = licences(component.licenses.as_deref().unwrap_or_default());
                details.checksums = checksums;
                if details.path.is_empty() {
                    let mut occurrences =
                        component.evidence.iter().flat_map(|evidence| &evidence.occurrences).flatten();
                    details.path = occurrences.next().map(|at| at.location.clone()).unwrap_or_default();
                }
                listing.add(purl, name, details);
            }
            _ if kind == "operating-system" => {
                listing.pass(&reference, name);
                listing.distribution(OsRelease {
                    id: name.to_ascii_lowercase(),
                    version: component.version.clone().unwrap_or_default(),
                    like: properties.get(property::OS_LIKE).map(|like| words(like)).unwrap_or_default(),
                    name: component.description.clone().unwrap_or_default(),
                });
            }
            _ => {
                listing.pass(&reference, name);
                if kind == "library" {
                    listing.oddity(name, "a library without a package URL".into());
                }
            }
        }
        listing.relate(place.parent, RelationKind::Contains, &reference);
        for (index, inner) in component.components.into_iter().flatten().enumerate() {
            let path = format!("{}.components[{index}]", place.path);
            self.take(inner, listing, &Place { path, depth: place.depth + 1, parent: &reference })?;
        }
        Ok(())
    }
}

/// Records what the specification forbids and what can be read all the same.
fn note_oddities(component: &Component, name: &str, listing: &mut Listing) {
    match component.kind.as_deref() {
        None => listing.oddity(name, "a component without a type".into()),
        Some(kind) if !TYPES.contains(&kind) => {
            listing.oddity(name, format!("a component of the unknown type '{}'", json::cut(kind)));
        }
        Some(_) => {}
    }
    match component.scope.as_deref() {
        None | Some("required" | "optional" | "excluded") => {}
        Some(scope) => listing.oddity(name, format!("the unknown scope '{}'", json::cut(scope))),
    }
    if component.reference.as_deref() == Some("") {
        listing.oddity(name, "an empty reference".into());
    }
    if component.version_range.is_some() && (component.version.is_some() || component.is_external != Some(true)) {
        listing.oddity(name, "a range of versions where only a version may stand".into());
    }
    if component.properties.iter().flatten().any(|property| property.name.is_empty()) {
        listing.oddity(name, "a property without a name".into());
    }
    if component.licenses.iter().flatten().any(|choice| licence_of(choice).is_none()) {
        listing.oddity(name, "a licence without id and name".into());
    }
}

fn checksums(hashes: &[Hash], name: &str, listing: &mut Listing) -> Vec<Checksum> {
    let mut found = Vec::new();
    for hash in hashes {
        match Checksum::new(&hash.alg, &hash.content) {
            Ok(checksum) => found.push(checksum),
            Err(reason) => listing.oddity(name, reason.into()),
        }
    }
    found
}

fn details(properties: &BTreeMap<&str, &str>, name: &str) -> Result<Details, SbomError> {
    let first = |names: &[&str]| names.iter().find_map(|name| properties.get(name).copied());
    let own_layer = properties.get(property::LAYER).map(|layer| {
        layer.parse().map_err(|_| SbomError::Layer {
            place: format!("component {}", json::cut(name)),
            layer: (*layer).chars().take(100).collect(),
            reason: "it is not a digest",
        })
    });
    let foreign_layer = first(&["aquasecurity:trivy:LayerDiffID", "syft:location:0:layerID"]);
    Ok(Details {
        path: first(&[property::PATH, "aquasecurity:trivy:FilePath", "syft:location:0:path"]).unwrap_or("").to_owned(),
        source: source(&first),
        layer: own_layer.transpose()?.or_else(|| foreign_layer.and_then(|layer| layer.parse().ok())),
        files: properties.get(property::FILES).map(|files| layered::list(files)).unwrap_or_default(),
        linked: properties.get(property::LINKED) == Some(&"true"),
        ..Details::default()
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
    choices.iter().filter_map(licence_of).map(str::to_owned).collect()
}

fn licence_of(choice: &LicenceChoice) -> Option<&str> {
    let told = choice.license.as_ref();
    let texts = [
        choice.expression.as_deref(),
        told.and_then(|licence| licence.id.as_deref()),
        told.and_then(|licence| licence.name.as_deref()),
    ];
    texts.into_iter().flatten().find(|text| !text.is_empty())
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
