//! Documents that declare what is in an image: CycloneDX, SPDX, Trivy, Syft.
//!
//! ```text
//!   bytes ──text_of──► text ──detect──► cyclonedx | spdx | trivy | syft ──► Listing ──► SbomDocument
//!   Inventory, LayerInventory ──► write_cyclonedx, write_layers, write_spdx ──► bytes
//! ```
//!
//! A document is borrowed, and only what is wanted of it is kept while it is read.

mod cyclonedx;
mod detect;
mod evidence;
mod graph;
mod json;
mod layered;
mod licences;
mod listing;
mod spdx;
mod syft;
mod text;
mod trivy;
mod xml;

use stella_domain::Digest;

use crate::limits::Limits;
use crate::{Inventory, LayerInventory};

pub use cyclonedx::{write_cyclonedx, write_layers};
pub use graph::{Checksum, Checksums, Relation, RelationKind};
pub use spdx::write_spdx;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SbomFormat {
    /// CycloneDX JSON, 1.2 to 1.7 (and later as far as it stays compatible).
    CycloneDx,
    /// CycloneDX XML, 1.2 to 1.7.
    CycloneDxXml,
    /// SPDX JSON, 2.2 and 2.3.
    Spdx,
    /// SPDX in tag-value form, 2.2 and 2.3.
    SpdxTagValue,
    /// SPDX JSON-LD, 3.0.
    Spdx3,
    /// Trivy's own JSON report, schema version 2.
    Trivy,
    /// Syft's own JSON.
    Syft,
}

impl SbomFormat {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::CycloneDx, Self::CycloneDxXml, Self::Spdx, Self::SpdxTagValue, Self::Spdx3, Self::Trivy, Self::Syft];

    /// The word for it in headers and options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CycloneDx => "cyclonedx-json",
            Self::CycloneDxXml => "cyclonedx-xml",
            Self::Spdx => "spdx-json",
            Self::SpdxTagValue => "spdx-tag-value",
            Self::Spdx3 => "spdx3-json",
            Self::Trivy => "trivy-json-v2",
            Self::Syft => "syft-json",
        }
    }

    /// Reads [`Self::name`] back.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What a document is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name, such as an image reference.
    pub name: String,
    /// The digest of the image, where the document names one.
    pub digest: Option<Digest>,
}

/// A document, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomDocument {
    /// The format it has.
    pub format: SbomFormat,
    /// What it declares. When it describes layers and all of them: their fold.
    pub inventory: Inventory,
    /// What it is about.
    pub subject: Option<Subject>,
    /// Whether it describes an image layer by layer; then `inventory.layers` are all its layers.
    pub layered: bool,
    /// The layers it describes one by one (`stella:layers`), in the image's order; those of
    /// `inventory.layers` that are not among them were left out by whoever wrote it. Empty for a flat document.
    pub layers: Vec<LayerInventory>,
    /// How its components relate, sorted.
    pub relations: Vec<Relation>,
    /// Checksums it gives for components.
    pub checksums: Checksums,
}

/// Why a document cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SbomError {
    /// Too many bytes.
    #[error("the document has {size} bytes, more than the limit of {max}")]
    TooLarge {
        /// Its bytes.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// Not one of the formats.
    #[error("not an SBOM: {found}")]
    NotAnSbom {
        /// What it looks like instead.
        found: String,
    },
    /// One of the formats, but not as it should be.
    #[error("malformed {format}: {reason}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A version that is not read.
    #[error("unsupported {format} version '{version}'")]
    Version {
        /// The format's name.
        format: &'static str,
        /// The version found.
        version: String,
    },
    /// A layer that is no digest, or not one of the image's.
    #[error("{place} names layer '{layer}': {reason}")]
    Layer {
        /// The component or property.
        place: String,
        /// What it names.
        layer: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A component without a layer, in a document that names those of the image: nobody could tell when it is removed.
    #[error("component {component} names no layer (property {property}), and the document names those of the image")]
    NoLayer {
        /// Its package URL.
        component: String,
        /// The property it lacks.
        property: &'static str,
    },
    /// Too many layers, or components too deep in each other.
    #[error("more than {max} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: usize,
    },
}

/// How much of a document is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Everything.
    Whole,
    /// What inventories are made of: neither relations nor checksums.
    Packages,
}

/// Reads a document of any of the formats, told by its content.
///
/// # Errors
/// [`SbomError`]; a single component that cannot be read is a problem of the inventory instead.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<SbomDocument, SbomError> {
    parse_any(bytes, limits, Extent::Whole)
}

/// As [`parse`], for whoever needs the inventory alone: relations and checksums are checked, and not kept.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_packages(bytes: &[u8], limits: &Limits) -> Result<SbomDocument, SbomError> {
    parse_any(bytes, limits, Extent::Packages)
}

fn parse_any(bytes: &[u8], limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    check_size(bytes, limits)?;
    let text = detect::text_of(bytes)?;
    check_parts(text, limits)?;
    read(detect::detect(text)?, text, limits, extent)
}

/// Reads a document of a known format. As SPDX JSON, one of version 3 is taken too.
///
/// # Errors
/// As [`parse`].
pub fn parse_as(format: SbomFormat, bytes: &[u8], limits: &Limits) -> Result<SbomDocument, SbomError> {
    check_size(bytes, limits)?;
    let text = detect::text_of(bytes)?;
    check_parts(text, limits)?;
    let is_newer = || detect::detect(text) == Ok(SbomFormat::Spdx3);
    let format = if format == SbomFormat::Spdx && is_newer() { SbomFormat::Spdx3 } else { format };
    read(format, text, limits, Extent::Whole)
}

fn read(format: SbomFormat, text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    match format {
        SbomFormat::CycloneDx => cyclonedx::parse_json(text, limits, extent),
        SbomFormat::CycloneDxXml => cyclonedx::parse_xml(text, limits, extent),
        SbomFormat::Spdx => spdx::parse_json(text, limits, extent),
        SbomFormat::SpdxTagValue => spdx::parse_tag_value(text, limits, extent),
        SbomFormat::Spdx3 => spdx::parse_v3(text, limits, extent),
        SbomFormat::Trivy => trivy::parse(text, limits, extent),
        SbomFormat::Syft => syft::parse(text, limits, extent),
    }
}

fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), SbomError> {
    let (size, max) = (bytes.len() as u64, limits.max_document_bytes);
    if size > max { Err(SbomError::TooLarge { size, max }) } else { Ok(()) }
}

/// A small text may stand for a large thing in memory: what makes up its parts is counted before they are read.
fn check_parts(text: &str, limits: &Limits) -> Result<(), SbomError> {
    let max = limits.max_document_objects;
    let check = |mark: u8, what: &'static str, factor: usize| {
        let max = max.saturating_mul(factor);
        let found = memchr::memchr_iter(mark, text.as_bytes()).count();
        if found > max { Err(SbomError::Limit { what, max }) } else { Ok(()) }
    };
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'<') => check(b'<', "tags in a document", 4),
        Some(b'{' | b'[') => {
            check(b'{', "objects in a document", 1)?;
            check(b',', "items in a document", 4)
        }
        _ => check(b'\n', "lines in a document", 2),
    }
}
