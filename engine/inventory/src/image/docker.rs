//! The `manifest.json` of `docker save` (Docker image specification v1.2, "Combined Image JSON + Filesystem").

use serde::Deserialize;

use super::ImageError;
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

/// The image. `docker save` of several images gives several; the same one under several names may stand there once for each.
pub(super) fn parse_saved(bytes: &[u8]) -> Result<SavedImage, ImageError> {
    let mut images = json::<Vec<SavedImage>>(MANIFEST, bytes)?.into_iter();
    let none = || ManifestError::Unsupported { found: "a manifest.json without an image".into() };
    let first = images.next().ok_or_else(none)?;
    let mut names = vec![first.name()];
    let mut tags = first.repo_tags.clone().unwrap_or_default();
    for other in images {
        if other.config == first.config && other.layers == first.layers {
            tags.extend(other.repo_tags.unwrap_or_default());
        } else {
            names.push(other.name());
        }
    }
    if names.len() > 1 {
        return Err(ImageError::SeveralImages { names });
    }
    Ok(SavedImage { repo_tags: Some(tags), ..first })
}

impl SavedImage {
    fn name(&self) -> String {
        self.repo_tags.iter().flatten().next().unwrap_or(&self.config).clone()
    }
}
