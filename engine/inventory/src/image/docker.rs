//! The `manifest.json` of `docker save` (Docker image specification v1.2, "Combined Image JSON + Filesystem").

use serde::Deserialize;

use super::manifest::{ManifestError, json};

/// Its name in the archive.
pub(super) const MANIFEST: &str = "manifest.json";

/// One image of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SavedImage {
    /// Path of the configuration.
    pub(super) config: String,
    /// Names it was saved under.
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    /// Paths of the layers, base first.
    pub(super) layers: Vec<String>,
}

/// The first image; `docker save` of several names gives several.
pub(super) fn parse_saved(bytes: &[u8]) -> Result<SavedImage, ManifestError> {
    let images: Vec<SavedImage> = json(MANIFEST, bytes)?;
    images.into_iter().next().ok_or(ManifestError::Unsupported { found: "a manifest.json without an image".into() })
}
