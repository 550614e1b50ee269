//! Reading CycloneDX (ECMA-424), with the properties that Stella, Trivy and Syft add.

mod model;
mod told;
mod write;
mod xml;

use stella_domain::Digest;

use crate::OsRelease;
use crate::limits::Limits;
use crate::purl::Purl;

use self::model::{Component, Document, LicenceChoice};
use self::told::Told;
use super::graph::{Reference, RelationKind};
use super::layered::{self, LayerProperties};
use super::listing::{Details, Listing, digest_in};
use super::{Extent, SbomDocument, SbomError, SbomFormat, Subject, json};

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
pub(super) fn parse_json(text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    let format = SbomFormat::CycloneDx;
    let document: Document<'_> = json::read(format, text)?;
    if document.bom_format.as_deref() != Some("CycloneDX") {
        return Err(SbomError::NotAnSbom { found: "bomFormat is not CycloneDX".into() });
    }
    understand(&document, format, limits, extent)
}

/// Reads CycloneDX XML.
pub(super) fn parse_xml(text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    understand(&xml::read(text, limits.max_nesting)?, SbomFormat::CycloneDxXml, limits, extent)
}

fn understand(
    document: &Document<'_>,
    format: SbomFormat,
    limits: &Limits,
    extent: Extent,
) -> Result<SbomDocument, SbomError> {
    let version = document.spec_version.as_deref().unwrap_or_default();
    let minor = version.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    // Later versions are read as far as they stay compatible.
    if minor.is_none_or(|minor| minor < 2) {
        return Err(SbomError::Version { format: format.name(), version: json::cut(version) });
    }
    let metadata = document.metadata.as_ref();
    let mut listing = Listing::new(extent);
    let mut layers = LayerProperties::default();
    let of_metadata = metadata.and_then(|metadata| metadata.properties.as_ref()).into_iter().flatten();
    for property in of_metadata.chain(document.properties.iter().flatten()) {
        let value = property.value.as_deref().unwrap_or_default();
        match property.name.strip_prefix(property::PROBLEM_PREFIX) {
            Some(path) => listing.problem(path, value.to_owned()),
            None if property.name.is_empty() => listing.problem("", "a property without a name".into()),
            None => layers.take(&property.name, value)?,
        }
    }
    layers.check(limits)?;
    listing.layers.clone_from(&layers.order);
    let main = metadata.and_then(|metadata| metadata.component.as_ref());
    let subject = main.map(subject_of);
    let root = main.and_then(|component| component.reference.as_deref()).unwrap_or_default();
    listing.subject(root);
    let root = listing.reference(root);
    let reader = Reader { format, limits };
    for (index, component) in document.components.iter().flatten().enumerate() {
        reader.take(component, &mut listing, &Place::top("components", index, None))?;
    }
    // Some producers put everything below the subject.
    let below = main.and_then(|component| component.components.as_ref()).into_iter().flatten();
    for (index, component) in below.enumerate() {
        reader.take(component, &mut listing, &Place::top("metadata.component.components", index, root))?;
    }
    for dependency in document.dependencies.iter().flatten() {
        if dependency.reference.is_empty() {
            listing.problem("", "a dependency without a reference".into());
            continue;
        }
        let needing = listing.reference(&*dependency.reference);
        for needed in dependency.depends_on.iter().flatten() {
            let needed = listing.reference(&**needed);
            listing.relate(needing, RelationKind::DependsOn, needed);
        }
    }
    layered::finish(listing, layers, format, subject)
}

/// Where a component stands.
struct Place<'p> {
    list: &'static str,
    index: usize,
    /// The place of the component that it lies within.
    outer: Option<&'p Place<'p>>,
    depth: usize,
    /// Reference of the component that it lies within, if that has one.
    parent: Option<Reference>,
}

impl<'p> Place<'p> {
    fn top(list: &'static str, index: usize, parent: Option<Reference>) -> Self {
        Self { list, index, outer: None, depth: 0, parent }
    }

    fn within(outer: &'p Place<'p>, index: usize, parent: Option<Reference>) -> Self {
        Self { list: "components", index, outer: Some(outer), depth: outer.depth + 1, parent }
    }

    /// As errors show it, such as `components[3].components[0]`.
    fn path(&self) -> String {
        let own = format!("{}[{}]", self.list, self.index);
        match self.outer {
            Some(outer) => format!("{}.{own}", outer.path()),
            None => own,
        }
    }
}

struct Reader<'l> {
    format: SbomFormat,
    limits: &'l Limits,
}

impl Reader<'_> {
    fn take<'d>(
        &self,
        component: &'d Component<'_>,
        listing: &mut Listing<'d>,
        place: &Place<'_>,
    ) -> Result<(), SbomError> {
        if place.depth > self.limits.max_nesting {
            return Err(SbomError::Limit { what: "components within each other", max: self.limits.max_nesting });
        }
        if component.scope.as_deref() == Some("excluded") {
            return Ok(());
        }
        let Some(name) = component.name.as_deref().filter(|name| !name.is_empty()) else {
            let reason = format!("at {}: a component without a name", place.path());
            return Err(SbomError::Malformed { format: self.format.name(), reason });
        };
        note_oddities(component, name, listing);
        let hashes = component.hashes.iter().flatten().map(|hash| (&*hash.alg, &*hash.content));
        let checksums = listing.checksums(name, hashes);
        let told = Told::by(component.properties.as_deref().unwrap_or_default());
        let kind = component.kind.as_deref().unwrap_or("library");
        let reference = component.reference.as_deref().unwrap_or_default();
        match component.purl.as_deref().filter(|purl| !purl.is_empty()) {
            Some(purl) => {
                let mut occurrences = component.evidence.iter().flat_map(|evidence| &evidence.occurrences).flatten();
                let path = told.path.filter(|path| !path.is_empty());
                let path = path.or_else(|| occurrences.next().map(|at| &*at.location)).unwrap_or_default();
                let details = Details {
                    reference: reference.into(),
                    path: path.into(),
                    licences: licences(component.licenses.as_deref().unwrap_or_default()),
                    source: told.source(),
                    layer: layer_of(&told, name)?,
                    files: told.files.map(layered::list).unwrap_or_default(),
                    linked: told.linked == Some("true"),
                    checksums,
                };
                listing.add(purl, name, details);
            }
            None if kind == "operating-system" => {
                listing.pass(reference, name);
                listing.distribution(OsRelease {
                    id: name.to_ascii_lowercase(),
                    version: component.version.as_deref().unwrap_or_default().to_owned(),
                    like: told.os_like.map(words).unwrap_or_default(),
                    name: component.description.as_deref().unwrap_or_default().to_owned(),
                });
            }
            None => {
                listing.pass(reference, name);
                if kind == "library" {
                    listing.oddity(name, "a library without a package URL".into());
                }
            }
        }
        if place.parent.is_none() && component.components.is_none() {
            return Ok(());
        }
        let reference = listing.reference(reference);
        listing.relate(place.parent, RelationKind::Contains, reference);
        for (index, inner) in component.components.iter().flatten().enumerate() {
            self.take(inner, listing, &Place::within(place, index, reference))?;
        }
        Ok(())
    }
}

/// Records what the specification forbids and what can be read all the same.
fn note_oddities(component: &Component<'_>, name: &str, listing: &mut Listing<'_>) {
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

/// The layer of a component: our own property has to be a digest, those of others count where they are one.
fn layer_of(told: &Told<'_>, name: &str) -> Result<Option<Digest>, SbomError> {
    let Some(layer) = told.layer else { return Ok(told.foreign_layer().and_then(|layer| layer.parse().ok())) };
    let layer = layer.parse::<Digest>().map_err(|_| SbomError::Layer {
        place: format!("component {}", json::cut(name)),
        layer: layer.chars().take(100).collect(),
        reason: "it is not a digest",
    })?;
    Ok(Some(layer))
}

fn licences(choices: &[LicenceChoice<'_>]) -> Vec<String> {
    choices.iter().filter_map(licence_of).map(str::to_owned).collect()
}

fn licence_of<'c>(choice: &'c LicenceChoice<'_>) -> Option<&'c str> {
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
fn subject_of(component: &Component<'_>) -> Subject {
    let purl = component.purl.as_deref().and_then(|purl| purl.parse::<Purl>().ok());
    let of_purl = purl.filter(|purl| purl.kind == "oci").and_then(|purl| digest_in(purl.version.as_deref()?));
    let digest = of_purl
        .or_else(|| digest_in(component.version.as_deref()?))
        .or_else(|| digest_in(component.name.as_deref()?))
        .or_else(|| {
            let told = |name: &str| component.properties.iter().flatten().find(|property| &*property.name == name);
            let property = told("aquasecurity:trivy:RepoDigest").or_else(|| told("aquasecurity:trivy:ImageID"))?;
            digest_in(property.value.as_deref()?)
        });
    Subject { name: component.name.as_deref().unwrap_or_default().to_owned(), digest }
}
