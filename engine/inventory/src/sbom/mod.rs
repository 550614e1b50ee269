//! Documents that declare what is in an image: CycloneDX, SPDX, Trivy.
//!
//! ```text
//!   bytes ──detect──► cyclonedx | spdx | trivy ──► Listing ──► SbomDocument
//!   Inventory, LayerInventory ──► write_cyclonedx, write_layers, write_spdx ──► bytes
//! ```

mod cyclonedx;
mod cyclonedx_write;
mod layered;
mod listing;
mod spdx;
mod spdx_write;
mod trivy;

use stella_domain::Digest;

use crate::limits::Limits;
use crate::{Inventory, LayerInventory};

pub use cyclonedx_write::{write_cyclonedx, write_layers};
pub use spdx_write::write_spdx;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SbomFormat {
    /// CycloneDX JSON, 1.2 to 1.6 (and later as far as it stays compatible).
    CycloneDx,
    /// SPDX JSON, 2.2 and 2.3.
    Spdx,
    /// Trivy's own JSON report, schema version 2.
    Trivy,
}

impl SbomFormat {
    /// The word for it in headers and options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CycloneDx => "cyclonedx-json",
            Self::Spdx => "spdx-json",
            Self::Trivy => "trivy-json-v2",
        }
    }

    /// Reads [`Self::name`] back.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::CycloneDx, Self::Spdx, Self::Trivy].into_iter().find(|format| format.name() == name)
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
    /// Too many layers, or components too deep in each other.
    #[error("more than {max} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: usize,
    },
}

/// Reads a document of any of the formats, told by its content.
///
/// # Errors
/// [`SbomError`]; a single component that cannot be read is a problem of the inventory instead.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<SbomDocument, SbomError> {
    check_size(bytes, limits)?;
    let has = |key: &str| memchr::memmem::find(bytes, key.as_bytes()).is_some();
    let guesses = [
        (SbomFormat::CycloneDx, "\"bomFormat\""),
        (SbomFormat::Spdx, "\"spdxVersion\""),
        (SbomFormat::Trivy, "\"SchemaVersion\""),
    ];
    for (format, _) in guesses.into_iter().filter(|(_, key)| has(key)) {
        match parse_as(format, bytes, limits) {
            Err(SbomError::NotAnSbom { .. }) => {}
            result => return result,
        }
    }
    Err(SbomError::NotAnSbom { found: describe(bytes) })
}

/// Reads a document of a known format.
///
/// # Errors
/// As [`parse`].
pub fn parse_as(format: SbomFormat, bytes: &[u8], limits: &Limits) -> Result<SbomDocument, SbomError> {
    check_size(bytes, limits)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match format {
        SbomFormat::CycloneDx => cyclonedx::parse(bytes, limits),
        SbomFormat::Spdx => spdx::parse(bytes, limits),
        SbomFormat::Trivy => trivy::parse(bytes, limits),
    }
}

fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), SbomError> {
    let (size, max) = (bytes.len() as u64, limits.max_document_bytes);
    if size > max { Err(SbomError::TooLarge { size, max }) } else { Ok(()) }
}

fn malformed(format: SbomFormat, error: &serde_json::Error) -> SbomError {
    SbomError::Malformed { format: format.name(), reason: error.to_string() }
}

/// What something that is no SBOM looks like.
fn describe(bytes: &[u8]) -> String {
    let start = bytes.trim_ascii_start();
    match start {
        [] => "it is empty".into(),
        [0x1f, 0x8b, ..] => "it is compressed with gzip".into(),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed with zstd".into(),
        [b'<', ..] => "it is XML or HTML; the formats are read as JSON".into(),
        [b'{', ..] => {
            match serde_json::from_slice::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(start) {
                Ok(fields) => {
                    let names: Vec<String> = fields.into_keys().take(8).collect();
                    format!("a JSON object with the fields {}", names.join(", "))
                }
                Err(error) => format!("broken JSON: {error}"),
            }
        }
        [b'[', ..] => "it is a JSON array".into(),
        _ if start.starts_with(b"SPDXVersion:") => "it is SPDX in tag-value form; the formats are read as JSON".into(),
        _ => "it is no JSON".into(),
    }
}
