//! Reading Syft's own JSON.

use std::collections::HashSet;

use serde::Deserialize;

use crate::limits::Limits;
use crate::{OsRelease, SourcePackage};

use super::graph::RelationKind;
use super::layered::digest;
use super::listing::{Details, Listing, digest_in};
use super::{Extent, SbomDocument, SbomError, SbomFormat, Subject, json};

/// What all locations of one artifact together may repeat, in bytes.
const MAX_REPEATED: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    artifacts: Option<Vec<Artifact>>,
    #[serde(default)]
    artifact_relationships: Option<Vec<Relationship>>,
    #[serde(default)]
    source: Source,
    #[serde(default)]
    distro: Option<Distro>,
    #[serde(default)]
    schema: Option<Schema>,
}

#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Artifact {
    id: String,
    name: String,
    r#type: String,
    locations: Option<Vec<Location>>,
    licenses: Option<Vec<Licence>>,
    purl: String,
    metadata: Option<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Location {
    path: String,
    #[serde(rename = "layerID")]
    layer_id: String,
    annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations {
    evidence: String,
}

/// A word in old documents, an object since schema 8.
#[derive(Deserialize)]
#[serde(untagged)]
enum Licence {
    Word(String),
    Told {
        #[serde(default)]
        value: String,
        #[serde(default, rename = "spdxExpression")]
        expression: String,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    source: Option<serde_json::Value>,
    source_version: Option<String>,
    origin_package: Option<String>,
    source_rpm: Option<String>,
    version: Option<serde_json::Value>,
    digest: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Relationship {
    #[serde(default)]
    parent: String,
    #[serde(default)]
    child: String,
    #[serde(default)]
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    id: String,
    name: Option<String>,
    metadata: Option<serde_json::Value>,
    target: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Image {
    user_input: String,
    #[serde(rename = "manifestDigest")]
    manifest_digest: String,
    #[serde(rename = "imageID")]
    image_id: String,
    repo_digests: Option<Vec<String>>,
    layers: Option<Vec<ImageLayer>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ImageLayer {
    digest: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Distro {
    id: String,
    #[serde(rename = "versionID")]
    version_id: String,
    pretty_name: String,
    id_like: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

pub(super) fn parse(text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    let document: Document = json::read(SbomFormat::Syft, text)?;
    let Some(schema) = document.schema else {
        return Err(SbomError::NotAnSbom { found: "it has artifacts as Syft's JSON has, but no schema".into() });
    };
    let major = schema.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    // Package URLs stand in the documents since schema 1; what is read here did not change until 16.
    if major.is_none_or(|major| major < 1) {
        return Err(SbomError::Version { format: SbomFormat::Syft.name(), version: json::cut(&schema.version) });
    }
    let artifacts = document.artifacts.unwrap_or_default();
    let relationships = document.artifact_relationships.unwrap_or_default();
    let mut listing = Listing::new(extent);
    let subject = subject_of(&document.source, &mut listing, limits)?;
    listing.subject(document.source.id.as_str());
    if let Some(distro) = document.distro.filter(|distro| !distro.id.is_empty()) {
        listing.distribution(release(distro));
    }
    let owned = owned_by_os(&artifacts, &relationships);
    for artifact in artifacts.iter().filter(|artifact| !artifact.purl.is_empty()) {
        if !owned.contains(artifact.id.as_str()) {
            take(artifact, &mut listing);
        }
    }
    for Relationship { parent, child, r#type } in &relationships {
        let (from, kind, to) = match r#type.as_str() {
            "contains" => (parent, RelationKind::Contains, child),
            "dependency-of" => (child, RelationKind::DependsOn, parent),
            _ => continue,
        };
        let (from, to) = (listing.reference(from.as_str()), listing.reference(to.as_str()));
        listing.relate(from, kind, to);
    }
    Ok(listing.into_document(SbomFormat::Syft, Some(subject)))
}

fn release(distro: Distro) -> OsRelease {
    let like = match distro.id_like {
        Some(OneOrMany::One(like)) => like.split_ascii_whitespace().map(str::to_owned).collect(),
        Some(OneOrMany::Many(like)) => like,
        None => Vec::new(),
    };
    OsRelease { id: distro.id, version: distro.version_id, like, name: distro.pretty_name }
}

/// One component a place: those that are evidence of the package, or all when none is marked so.
fn take<'d>(artifact: &'d Artifact, listing: &mut Listing<'d>) {
    let locations = artifact.locations.as_deref().unwrap_or_default();
    let is_primary = |location: &&Location| {
        location.annotations.as_ref().is_some_and(|annotations| annotations.evidence == "primary")
    };
    let mut places: Vec<Option<&Location>> = locations.iter().filter(is_primary).map(Some).collect();
    if places.is_empty() {
        places.push(locations.first());
    }
    let licences: Vec<String> = artifact.licenses.iter().flatten().filter_map(licence).collect();
    let repeated = artifact.purl.len() + licences.iter().map(String::len).sum::<usize>();
    if places.len() > 1 && places.len() * repeated > MAX_REPEATED {
        listing.oddity(&artifact.name, format!("{} locations, of which the first is taken", places.len()));
        places.truncate(1);
    }
    for (index, place) in places.into_iter().enumerate() {
        let details = Details {
            reference: if index == 0 { artifact.id.as_str().into() } else { "".into() },
            path: place.map(|location| location.path.as_str()).unwrap_or_default().into(),
            licences: licences.clone(),
            source: artifact.metadata.as_ref().and_then(|metadata| source(metadata, &artifact.r#type)),
            layer: place.and_then(|location| location.layer_id.parse().ok()),
            checksums: listing.checksums(&artifact.name, artifact.metadata.iter().flat_map(digests)),
            ..Details::default()
        };
        listing.add(&artifact.purl, &artifact.name, details);
    }
}

fn licence(licence: &Licence) -> Option<String> {
    let text = match licence {
        Licence::Told { value, expression } if value.is_empty() => expression,
        Licence::Told { value, .. } => value,
        Licence::Word(word) => word,
    };
    Some(text.clone()).filter(|text| !text.is_empty())
}

fn source(metadata: &Metadata, kind: &str) -> Option<SourcePackage> {
    let text = |value: &Option<serde_json::Value>| value.as_ref().and_then(|v| v.as_str()).unwrap_or("").to_owned();
    let (name, version) = match kind {
        "deb" => (text(&metadata.source), metadata.source_version.clone().unwrap_or_default()),
        "apk" => (metadata.origin_package.clone().unwrap_or_default(), text(&metadata.version)),
        "rpm" => return metadata.source_rpm.as_deref().and_then(crate::identity::source_rpm),
        _ => return None,
    };
    let version = if version.is_empty() { text(&metadata.version) } else { version };
    Some(SourcePackage::new(name, version)).filter(|source| !source.name.is_empty())
}

/// Archives of Java carry `digest: [{algorithm, value}]`.
fn digests(metadata: &Metadata) -> impl Iterator<Item = (&str, &str)> {
    let items = metadata.digest.as_ref().and_then(|digest| digest.as_array()).map_or(&[][..], Vec::as_slice);
    items.iter().map(|item| (item["algorithm"].as_str().unwrap_or(""), item["value"].as_str().unwrap_or("")))
}

/// A package whose files a package of the operating system owns is that package, and not reported twice.
fn owned_by_os<'d>(artifacts: &[Artifact], relationships: &'d [Relationship]) -> HashSet<&'d str> {
    let is_os = |artifact: &&Artifact| matches!(artifact.r#type.as_str(), "deb" | "rpm" | "apk");
    let of_os: HashSet<&str> = artifacts.iter().filter(is_os).map(|artifact| artifact.id.as_str()).collect();
    relationships
        .iter()
        .filter(|r| r.r#type == "ownership-by-file-overlap")
        .filter(|r| of_os.contains(r.parent.as_str()) && !of_os.contains(r.child.as_str()))
        .map(|r| r.child.as_str())
        .collect()
}

fn subject_of(source: &Source, listing: &mut Listing<'_>, limits: &Limits) -> Result<Subject, SbomError> {
    // `target` is what the field was called before schema 9; a folder's is a text.
    let told = source.metadata.as_ref().or(source.target.as_ref());
    let image = told.and_then(|value| Image::deserialize(value).ok()).unwrap_or_default();
    let layers = image.layers.unwrap_or_default();
    if layers.len() > limits.max_layers {
        return Err(SbomError::Limit { what: "layers", max: limits.max_layers });
    }
    for layer in layers {
        listing.layers.push(digest("source.metadata.layers", &layer.digest)?);
    }
    let repository = image.repo_digests.iter().flatten().find_map(|name| digest_in(name));
    let found = repository.or_else(|| digest_in(&image.manifest_digest)).or_else(|| digest_in(&image.image_id));
    let named = [Some(image.user_input), source.name.clone()].into_iter().flatten().find(|name| !name.is_empty());
    Ok(Subject { name: named.unwrap_or_default(), digest: found })
}
