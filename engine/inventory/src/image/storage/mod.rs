//! Images of Podman, Buildah and CRI-O: the folder that the library `containers/storage` keeps, read only.
//!
//! ```text
//!   overlay-images/images.json ──► image ──► configuration
//!   overlay-layers/layers.json ──► chain of layers ─┬─ tar-split ──► the bytes of each layer, verified
//!                                  overlay/ID/diff ─┴─ without ────► unpacked folders, one flat inventory
//! ```

mod index;
mod tar_split;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use stella_domain::Digest;

use crate::layer::LayerDigests;
use crate::limits::Limits;
use crate::{Inventory, RootfsError, stacked};

use super::ImageError;
use super::manifest::{ImageConfig, ManifestError, parse_config};
use super::resolve::{Resolved, check};
use super::source::check_counts;
use tar_split::TarSplit;

/// The only driver whose folders are layers.
const DRIVER: &str = "overlay";

/// The layers of one image, as folders of a storage.
#[derive(Debug)]
pub(super) struct StoredLayers {
    root: PathBuf,
    /// Base first.
    ids: Vec<String>,
    /// Whether the bytes of every layer can be put together again.
    pub(super) are_whole: bool,
}

impl StoredLayers {
    /// The uncompressed bytes of the layer of this id.
    pub(super) fn open(&self, id: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(TarSplit::open(&split(&self.root, id), &diff(&self.root, id))?))
    }

    /// Everything in the unpacked folders.
    pub(super) fn flat(&self, limits: &Limits) -> Result<Inventory, RootfsError> {
        let folders: Vec<PathBuf> = self.ids.iter().map(|id| diff(&self.root, id)).collect();
        stacked(&folders, limits)
    }
}

fn diff(root: &Path, id: &str) -> PathBuf {
    root.join(DRIVER).join(id).join("diff")
}

fn split(root: &Path, id: &str) -> PathBuf {
    root.join(format!("{DRIVER}-layers")).join(format!("{id}.tar-split.gz"))
}

/// Finds the image `name` in the storage at `root`.
pub(super) fn resolve(root: &Path, name: &str, limits: &Limits) -> Result<(Resolved, StoredLayers), ImageError> {
    let images = root.join(format!("{DRIVER}-images"));
    let image = index::find(&index::document(&images.join("images.json"), limits)?, name)?;
    let image = image.ok_or_else(|| ImageError::Missing { what: format!("image {name} in {}", root.display()) })?;
    let (config_digest, config) = config(&images, &image.id, limits)?;
    let chain = match &image.layer {
        Some(top) => {
            let layers = root.join(format!("{DRIVER}-layers"));
            index::chain(&index::document(&layers.join("layers.json"), limits)?, top, limits)?
        }
        None => Vec::new(),
    };
    check_counts(chain.len(), &config, limits)?;
    let mut layers = Vec::with_capacity(chain.len());
    for (layer, diff_id) in chain.iter().zip(&config.rootfs.diff_ids) {
        if layer.diff_digest.is_some_and(|found| found != *diff_id) {
            let reason = format!("layer {} is not the one of the configuration", layer.id);
            return Err(ManifestError::Malformed { what: "layers.json", reason }.into());
        }
        layers.push((layer.id.clone(), LayerDigests { blob: None, diff_id: *diff_id }));
    }
    let ids: Vec<String> = chain.into_iter().map(|layer| layer.id).collect();
    let are_whole = ids.iter().all(|id| split(root, id).exists());
    let digest = image.digest.unwrap_or(config_digest);
    let resolved = Resolved { digest, names: image.names.unwrap_or_default(), config, layers };
    Ok((resolved, StoredLayers { root: root.to_owned(), ids, are_whole }))
}

/// The configuration is kept under its digest, which is the image's id.
fn config(images: &Path, id: &str, limits: &Limits) -> Result<(Digest, ImageConfig), ImageError> {
    let key = format!("sha256:{id}");
    let digest: Digest = key.parse().map_err(|_| ManifestError::Malformed {
        what: "images.json",
        reason: format!("'{}' is no id of an image", id.chars().take(100).collect::<String>()),
    })?;
    let bytes = index::document(&images.join(id).join(index::file_name(&key)), limits)?;
    check("image configuration", Some(digest), Digest::of(&bytes))?;
    Ok((digest, parse_config(&bytes)?))
}
