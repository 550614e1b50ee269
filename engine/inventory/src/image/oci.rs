//! OCI image layouts (OCI image specification, "Image Layout"), as a folder or in a tar.

use stella_domain::Digest;

use crate::limits::Limits;

use super::ImageError;
use super::manifest::{Descriptor, Index, Manifest, ManifestOrIndex, Platform, parse_manifest_or_index};

/// Its name in the layout.
pub(super) const INDEX: &str = "index.json";

/// Name under which an index keeps what an image is called.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
/// The same, as containerd and BuildKit write it: complete.
const FULL_REFERENCE: &str = "io.containerd.image.name";

pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The image of a layout.
pub(super) struct Selected {
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    pub(super) names: Vec<String>,
}

/// Follows indexes from `index.json` down to the manifest of `platform`.
pub(super) fn select(
    index: &[u8],
    platform: &Platform,
    limits: &Limits,
    document: &dyn Fn(&Digest) -> Result<Vec<u8>, ImageError>,
) -> Result<Selected, ImageError> {
    let mut at = parse_manifest_or_index(index)?;
    let mut digest = Digest::of(index);
    let mut names = Vec::new();
    for depth in 0..=limits.max_nesting {
        let index = match at {
            ManifestOrIndex::Manifest(manifest) => return Ok(Selected { digest, manifest, names }),
            ManifestOrIndex::Index(index) => index,
        };
        let entry = if depth == 0 { sole(&index, platform, document)? } else { index.select(platform)? };
        names.extend(name_of(entry).filter(|_| names.is_empty()).cloned());
        digest = entry.digest;
        at = parse_manifest_or_index(&document(&digest)?)?;
    }
    Err(ImageError::Nesting { max: limits.max_nesting })
}

/// The one image for `platform` that the layout itself names. Signatures and other artifacts may stand beside it.
fn sole<'i>(
    index: &'i Index,
    platform: &Platform,
    document: &dyn Fn(&Digest) -> Result<Vec<u8>, ImageError>,
) -> Result<&'i Descriptor, ImageError> {
    let selected = index.select(platform)?;
    let mut images: Vec<&Descriptor> = Vec::new();
    for entry in index.manifests.iter().filter(|entry| entry.platform == selected.platform) {
        if images.iter().all(|known| known.digest != entry.digest) && is_image(entry, document)? {
            images.push(entry);
        }
    }
    match images[..] {
        [] => Ok(selected),
        [image] => Ok(image),
        _ => {
            let name = |entry: &Descriptor| name_of(entry).map_or_else(|| entry.digest.to_string(), String::clone);
            Err(ImageError::SeveralImages { names: images.into_iter().map(name).collect() })
        }
    }
}

/// Whether it is no artifact; only those without a platform can be one.
fn is_image(entry: &Descriptor, document: &dyn Fn(&Digest) -> Result<Vec<u8>, ImageError>) -> Result<bool, ImageError> {
    if entry.platform.is_some() {
        return Ok(true);
    }
    match parse_manifest_or_index(&document(&entry.digest)?)? {
        ManifestOrIndex::Manifest(manifest) => Ok(manifest.is_image()),
        ManifestOrIndex::Index(_) => Ok(true),
    }
}

fn name_of(entry: &Descriptor) -> Option<&String> {
    [FULL_REFERENCE, REFERENCE].iter().find_map(|key| entry.annotations.get(*key))
}
