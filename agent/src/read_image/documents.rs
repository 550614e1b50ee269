//! The image's documents: which manifest, which configuration, and every digest that names it.

use stella_domain::Digest;
use stella_inventory::image::{
    ImageConfig, ImageError, Manifest, ManifestOrIndex, Platform, parse_config, parse_manifest_or_index,
};

use super::ReadImageError;
use super::store::ContentStore;

/// An image whose documents were read and verified.
pub struct Documents {
    /// Its name in the image store.
    pub name: String,
    /// Index (where there is one), manifest, configuration.
    pub digests: Vec<Digest>,
    /// The manifest for this node's platform.
    pub manifest_digest: Digest,
    /// The same, read.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ImageConfig,
}

/// Finds and reads them.
///
/// # Errors
/// When the store does not know the image, or a document is missing, changed or malformed.
pub fn read(
    store: &ContentStore,
    image_ref: Option<&str>,
    digest: Option<&Digest>,
) -> Result<Documents, ReadImageError> {
    let (name, target) = store.find(image_ref, digest)?.ok_or(ReadImageError::Unknown)?;
    let document =
        |what, digest: &Digest| store.document(digest).map_err(|source| ReadImageError::Document { what, source });
    let mut digests = vec![target];
    let mut manifest_digest = target;
    let manifest = match parse_manifest_or_index(&document("the manifest", &target)?)? {
        ManifestOrIndex::Manifest(manifest) => manifest,
        ManifestOrIndex::Index(index) => {
            manifest_digest = index.select(&Platform::host())?.digest;
            digests.push(manifest_digest);
            match parse_manifest_or_index(&document("the manifest", &manifest_digest)?)? {
                ManifestOrIndex::Manifest(manifest) => manifest,
                ManifestOrIndex::Index(_) => return Err(ImageError::Nesting { max: 1 }.into()),
            }
        }
    };
    let config = parse_config(&document("the configuration", &manifest.config.digest)?)?;
    digests.push(manifest.config.digest);
    Ok(Documents { name, digests, manifest_digest, manifest, config })
}
