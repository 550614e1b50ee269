//! An image of containerd's store: which manifest, which configuration, and every digest that names it.

use std::io;

use stella_domain::Digest;
use stella_inventory::image::{
    ImageConfig, Manifest, ManifestError, ManifestOrIndex, Platform, parse_config, parse_manifest_or_index,
};

use crate::{ContentStore, CriError};

/// Why the documents of an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StoredImageError {
    /// The runtime failed.
    #[error(transparent)]
    Cri(#[from] CriError),
    /// The runtime has no such image.
    #[error("the runtime has no such image")]
    Unknown,
    /// A document is missing, or was changed.
    #[error("cannot read {what}: {source}")]
    Document {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A manifest or configuration is of no use.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// An index names another one for this platform.
    #[error("the index of the image names another index")]
    Nesting,
}

/// An image whose documents were read and verified.
#[derive(Debug, Clone)]
pub struct StoredImage {
    /// Its name in the image store.
    pub name: String,
    /// Index (where there is one), manifest, configuration.
    pub digests: Vec<Digest>,
    /// The manifest for the platform.
    pub manifest_digest: Digest,
    /// The same, read.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ImageConfig,
}

impl StoredImage {
    /// Finds the image by its reference or any of its digests, and reads its documents. Blocks.
    ///
    /// # Errors
    /// When the store does not know the image, or a document is missing, changed or malformed.
    pub fn find(
        store: &ContentStore,
        image_ref: Option<&str>,
        digest: Option<&Digest>,
        platform: &Platform,
    ) -> Result<Self, StoredImageError> {
        let (name, target) = store.find(image_ref, digest)?.ok_or(StoredImageError::Unknown)?;
        let document = |what, digest: &Digest| {
            store.document(digest).map_err(|source| StoredImageError::Document { what, source })
        };
        let mut digests = vec![target];
        let mut manifest_digest = target;
        let manifest = match parse_manifest_or_index(&document("the manifest", &target)?)? {
            ManifestOrIndex::Manifest(manifest) => manifest,
            ManifestOrIndex::Index(index) => {
                manifest_digest = index.select(platform)?.digest;
                digests.push(manifest_digest);
                match parse_manifest_or_index(&document("the manifest", &manifest_digest)?)? {
                    ManifestOrIndex::Manifest(manifest) => manifest,
                    ManifestOrIndex::Index(_) => return Err(StoredImageError::Nesting),
                }
            }
        };
        let config = parse_config(&document("the configuration", &manifest.config.digest)?)?;
        digests.push(manifest.config.digest);
        Ok(Self { name, digests, manifest_digest, manifest, config })
    }
}
