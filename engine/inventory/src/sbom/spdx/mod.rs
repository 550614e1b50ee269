//! Reading SPDX: 2.2 and 2.3 as JSON and in tag-value form, 3.0 as JSON-LD.

mod model;
mod tag_value;
mod v3;
mod write;

use std::collections::{HashMap, HashSet};

use stella_domain::Digest;

use crate::limits::Limits;
use crate::purl::Purl;
use crate::{OsRelease, Problem, SourcePackage};

use self::model::{Annotation, Document, Package, Relationship};
use super::cyclonedx::property;
use super::graph::RelationKind;
use super::layered::{self, digest};
use super::listing::{Details, Listing, digest_in};
use super::{Extent, SbomDocument, SbomError, SbomFormat, Subject, json};

pub use write::write_spdx;

/// What texts beside a package say of its layer and its source, as Trivy words it.
const LAYER: &str = "LayerDiffID: ";
const BUILT_FROM: &str = "built package from: ";
/// An annotation of the document with a problem as JSON; see [`property`] for the others.
const PROBLEM: &str = "stella:problem";
/// Longest name of an extracted licence that stands for the reference to it, in bytes.
const MAX_LICENCE: usize = 1024;
/// Begins the comment of relationships by which Syft says that a package of the system owns another.
const OWNERSHIP: &str = "ownership-by-file-overlap";

/// Reads SPDX JSON.
pub(super) fn parse_json(text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    let document: Document = json::read(SbomFormat::Spdx, text)?;
    understand(&document, SbomFormat::Spdx, "SPDX-2.", limits, extent)
}

/// Reads SPDX in tag-value form.
pub(super) fn parse_tag_value(text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    understand(&tag_value::read(text)?, SbomFormat::SpdxTagValue, "SPDX-2.", limits, extent)
}

/// Reads SPDX 3 JSON-LD.
pub(super) fn parse_v3(text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    understand(&v3::read(text)?, SbomFormat::Spdx3, "SPDX-3.", limits, extent)
}

impl Package {
    fn purl(&self) -> Option<&str> {
        let is_purl = |reference: &&model::ExternalRef| reference.reference_type.ends_with("purl");
        self.external_refs.iter().flatten().find(is_purl).map(|reference| reference.reference_locator.as_str())
    }

    fn note(&self, prefix: &str) -> Option<&str> {
        let texts = self.attribution_texts.iter().flatten().map(String::as_str);
        let comments = self.annotations.iter().flatten().map(|annotation| annotation.comment.as_str());
        texts.chain(comments).find_map(|text| text.strip_prefix(prefix)).map(str::trim)
    }

    fn source(&self) -> Option<SourcePackage> {
        let (name, version) = self.source_info.as_deref()?.strip_prefix(BUILT_FROM)?.split_once(' ')?;
        Some(SourcePackage::new(name, version.trim()))
    }

    fn licences(&self, extracted: &HashMap<&str, &str>) -> Vec<String> {
        let told = |licence: &&str| !matches!(*licence, "" | "NOASSERTION" | "NONE");
        let both = [self.license_declared.as_deref(), self.license_concluded.as_deref()];
        let named = |term: &str| extracted.get(term).map_or(term, |name| *name).to_owned();
        both.into_iter()
            .flatten()
            .find(told)
            .map(|told| terms(told).into_iter().map(named).collect())
            .unwrap_or_default()
    }

    fn path(&self) -> &str {
        let file = self.package_file_name.as_deref().filter(|name| name.contains('/'));
        let database = || {
            self.source_info
                .as_deref()
                .filter(|info| info.starts_with("acquired"))
                .and_then(|info| info.split_once(": "))
        };
        file.or_else(|| database().map(|(_, path)| path.split(',').next().unwrap_or(path))).unwrap_or("")
    }
}

/// Licences that all apply, one by one; any other expression stays whole.
fn terms(expression: &str) -> Vec<&str> {
    let is_plain = |text: &str| !text.contains(['(', ')']) && !text.contains(" OR ") && !text.contains(" WITH ");
    if is_plain(expression) { expression.split(" AND ").map(str::trim).collect() } else { vec![expression] }
}

fn understand(
    document: &Document,
    format: SbomFormat,
    family: &str,
    limits: &Limits,
    extent: Extent,
) -> Result<SbomDocument, SbomError> {
    let version =
        document.spdx_version.as_deref().ok_or(SbomError::NotAnSbom { found: "it has no spdxVersion".into() })?;
    if !version.starts_with(family) {
        return Err(SbomError::Version { format: format.name(), version: json::cut(version) });
    }
    let packages = document.packages.as_deref().unwrap_or_default();
    let relationships = document.relationships.as_deref().unwrap_or_default();
    let described = document.document_describes.iter().flatten().next().or_else(|| {
        let is_document = |id: &str| id == "SPDXRef-DOCUMENT" || id == document.id;
        let describes = |r: &&Relationship| r.relationship_type == "DESCRIBES" && is_document(&r.spdx_element_id);
        relationships.iter().find(describes).map(|relationship| &relationship.related_spdx_element)
    });
    let root = packages.iter().find(|package| described == Some(&package.id));
    let subject = root.map_or_else(|| Subject { name: document.name.clone(), digest: None }, subject_of);

    let mut listing = Listing::new(extent);
    listing.subject(root.map_or("", |package| package.id.as_str()));
    notes_of_document(document.annotations.as_deref().unwrap_or_default(), &mut listing, limits)?;
    let extracted: HashMap<&str, &str> = document
        .has_extracted_licensing_infos
        .iter()
        .flatten()
        .filter_map(|licence| Some((licence.license_id.as_str(), licence.name.as_deref()?)))
        // Every package may repeat it.
        .filter(|(_, name)| name.len() <= MAX_LICENCE)
        .collect();
    let owned = owned_by_os(packages, relationships);
    for package in packages {
        if package.primary_package_purpose.as_deref() == Some("OPERATING-SYSTEM") {
            let like = package.note(&format!("{}: ", property::OS_LIKE)).unwrap_or("");
            listing.distribution(OsRelease {
                id: package.name.to_ascii_lowercase(),
                version: package.version_info.clone().unwrap_or_default(),
                like: like.split_ascii_whitespace().map(str::to_owned).collect(),
                name: package.description.clone().unwrap_or_default(),
            });
        } else if let Some(purl) = package.purl().filter(|_| !owned.contains(package.id.as_str())) {
            let checksums = package.checksums.iter().flatten();
            let checksums = checksums.map(|sum| (sum.algorithm.as_str(), sum.checksum_value.as_str()));
            let details = Details {
                reference: package.id.as_str().into(),
                path: package.path().into(),
                licences: package.licences(&extracted),
                source: package.source(),
                layer: package.note(LAYER).and_then(|layer| layer.parse().ok()),
                linked: package.note(&format!("{}: ", property::LINKED)) == Some("true"),
                checksums: listing.checksums(&package.name, checksums),
                ..Details::default()
            };
            listing.add(purl, &package.name, details);
        }
    }
    relationships.iter().for_each(|relationship| relate(relationship, &mut listing));
    Ok(listing.into_document(format, Some(subject)))
}

/// What our own documents say of the whole: layers and problems.
fn notes_of_document(notes: &[Annotation], listing: &mut Listing<'_>, limits: &Limits) -> Result<(), SbomError> {
    for note in notes {
        let Some((name, value)) = note.comment.split_once(": ") else { continue };
        match name {
            property::LAYERS => {
                for layer in layered::list(value) {
                    listing.layers.push(digest(name, &layer)?);
                }
            }
            PROBLEM => listing.problems.extend(serde_json::from_str::<Problem>(value).ok()),
            _ => {}
        }
    }
    if listing.layers.len() > limits.max_layers {
        return Err(SbomError::Limit { what: "layers", max: limits.max_layers });
    }
    Ok(())
}

/// Packages whose files belong to a package of the operating system: they are that package, and not reported twice.
fn owned_by_os<'d>(packages: &[Package], relationships: &'d [Relationship]) -> HashSet<&'d str> {
    let is_ownership = |r: &&Relationship| r.comment.as_deref().is_some_and(|comment| comment.starts_with(OWNERSHIP));
    let ownerships: Vec<&Relationship> = relationships.iter().filter(is_ownership).collect();
    if ownerships.is_empty() {
        return HashSet::new();
    }
    let is_os = |purl: &str| ["pkg:deb/", "pkg:rpm/", "pkg:apk/"].iter().any(|kind| purl.starts_with(kind));
    let of_os: HashSet<&str> = packages
        .iter()
        .filter(|package| package.purl().is_some_and(is_os))
        .map(|package| package.id.as_str())
        .collect();
    ownerships
        .into_iter()
        .filter(|r| of_os.contains(r.spdx_element_id.as_str()) && !of_os.contains(r.related_spdx_element.as_str()))
        .map(|r| r.related_spdx_element.as_str())
        .collect()
}

fn relate<'d>(relationship: &'d Relationship, listing: &mut Listing<'d>) {
    let (from, to) = (relationship.spdx_element_id.as_str(), relationship.related_spdx_element.as_str());
    let (from, kind, to) = match relationship.relationship_type.as_str() {
        "DEPENDS_ON" => (from, RelationKind::DependsOn, to),
        "CONTAINS" => (from, RelationKind::Contains, to),
        "CONTAINED_BY" => (to, RelationKind::Contains, from),
        kind if kind.ends_with("DEPENDENCY_OF") => (to, RelationKind::DependsOn, from),
        _ => return,
    };
    let (from, to) = (listing.reference(from), listing.reference(to));
    listing.relate(from, kind, to);
}

fn subject_of(package: &Package) -> Subject {
    let purl = package.purl().and_then(|purl| purl.parse::<Purl>().ok());
    let of_purl = purl.filter(|purl| purl.kind == "oci").and_then(|purl| digest_in(purl.version.as_deref()?));
    let digest: Option<Digest> =
        of_purl.or_else(|| digest_in(package.version_info.as_deref()?)).or_else(|| digest_in(&package.name));
    Subject { name: package.name.clone(), digest }
}
