//! Images: where their blobs lie and what their manifests say.
//!
//! ```text
//!   docker save archive ─┐
//!   OCI layout, archive ─┤
//!   containers-storage ──┼─► ImageFile ──► manifest, configuration ──► layers in parallel
//!   registry, containerd ┴─► BlobSource
//! ```

mod docker;
mod file;
mod legacy;
mod manifest;
mod oci;
mod outer;
mod packed;
mod resolve;
mod source;
mod storage;

pub use file::{ImageFile, ReadOptions, read_image};
pub use manifest::{
    Descriptor, ImageConfig, Index, Manifest, ManifestError, ManifestOrIndex, Platform, RootFs, RunConfig,
    parse_config, parse_manifest_or_index,
};
pub use source::{BlobSource, read_layers};
use stella_domain::Digest;

use crate::RootfsError;
use crate::archive::ArchiveError;
use crate::layer::LayerError;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file or folder itself cannot be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What was to be read.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The outer archive is damaged or hostile.
    #[error("image archive: {0}")]
    Archive(#[from] ArchiveError),
    /// Neither an image archive nor a layout.
    #[error("not an image: {found}")]
    NotAnImage {
        /// What it looks like instead.
        found: String,
    },
    /// More than one image, and nothing that tells which one is meant.
    #[error("there are {} images in it, and one is read: {}", names.len(), shown(names))]
    SeveralImages {
        /// The first name of each, or its digest.
        names: Vec<String>,
    },
    /// Something the image refers to is missing.
    #[error("the image refers to {what}, which is missing")]
    Missing {
        /// A path or digest.
        what: String,
    },
    /// A document is not what its digest says.
    #[error("{what} should be {expected} and is {found}")]
    Digest {
        /// Which document.
        what: String,
        /// The digest that names it.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A document is larger than allowed.
    #[error("{what} has {size} bytes, more than the limit of {max}")]
    TooLarge {
        /// Which document.
        what: String,
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// Indexes within indexes.
    #[error("indexes are nested deeper than {max}")]
    Nesting {
        /// The limit.
        max: usize,
    },
    /// A manifest or configuration is of no use.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Unpacked layers cannot be read.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
}

/// So many names are told; an archive may have thousands.
const NAMES_SHOWN: usize = 5;

fn shown(names: &[String]) -> String {
    let mut shown =
        names.iter().take(NAMES_SHOWN).map(|name| name.chars().take(200).collect()).collect::<Vec<String>>();
    if names.len() > NAMES_SHOWN {
        shown.push("...".to_owned());
    }
    shown.join(", ")
}
