//! OCI image layouts (OCI image specification, "Image Layout"), as a folder or in a tar.

use stella_domain::Digest;

use crate::limits::Limits;

use super::ImageError;
use super::manifest::{Manifest, ManifestOrIndex, Platform, parse_manifest_or_index};

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
    for _ in 0..=limits.max_nesting {
        let index = match at {
            ManifestOrIndex::Manifest(manifest) => return Ok(Selected { digest, manifest, names }),
            ManifestOrIndex::Index(index) => index,
        };
        let entry = index.select(platform)?;
        let name = [FULL_REFERENCE, REFERENCE].iter().find_map(|key| entry.annotations.get(*key));
        names.extend(name.filter(|_| names.is_empty()).cloned());
        digest = entry.digest;
        at = parse_manifest_or_index(&document(&digest)?)?;
    }
    Err(ImageError::Nesting { max: limits.max_nesting })
}
