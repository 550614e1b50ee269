//! Images of Podman, Buildah and CRI-O: the folders that the library `containers/storage` keeps, read only.
//!
//! ```text
//!   DRIVER-images/images.json ──► image ──► configuration
//!   DRIVER-layers/layers.json ──► chain of layers ─┬─ tar-split ──► the bytes of each layer, verified
//!                  overlay/ID/diff, vfs/dir/ID    ─┴─ without ────► unpacked folders, one flat inventory
//! ```
//!
//! A storage may stand on others that it only reads (`additionalimagestores`): an image of it may have layers there.

mod index;
mod tar_split;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use stella_domain::Digest;

use crate::layer::LayerDigests;
use crate::limits::Limits;
use crate::{Inventory, RootfsError, rootfs, stacked};

use super::ImageError;
use super::manifest::{ImageConfig, ManifestError, parse_config};
use super::resolve::{Resolved, check};
use super::source::check_counts;
use tar_split::TarSplit;

/// How a storage keeps layers unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// Each as what it brings, and marks for what it takes away.
    Overlay,
    /// Each as a copy of everything below it, with its own changes made.
    Vfs,
}

/// One folder of `containers/storage`, by one driver.
#[derive(Debug, Clone)]
struct Storage {
    driver: Driver,
    root: PathBuf,
}

impl Storage {
    const fn driver(&self) -> &'static str {
        match self.driver {
            Driver::Overlay => "overlay",
            Driver::Vfs => "vfs",
        }
    }

    fn images(&self) -> PathBuf {
        self.root.join(format!("{}-images", self.driver()))
    }

    fn image_list(&self) -> PathBuf {
        self.images().join("images.json")
    }

    fn layers(&self) -> PathBuf {
        self.root.join(format!("{}-layers", self.driver()))
    }

    fn layer_list(&self) -> PathBuf {
        self.layers().join("layers.json")
    }

    /// The files of a layer.
    fn files(&self, id: &str) -> PathBuf {
        let folder = self.root.join(self.driver());
        match self.driver {
            Driver::Overlay => folder.join(id).join("diff"),
            Driver::Vfs => folder.join("dir").join(id),
        }
    }

    /// What is written down of the bytes that a layer was unpacked from.
    fn split(&self, id: &str) -> PathBuf {
        self.layers().join(format!("{id}.tar-split.gz"))
    }

    /// Whether the files of a layer lie under their digests and not under their names.
    fn is_by_digest(&self, id: &str) -> bool {
        self.root.join(self.driver()).join(id).join("composefs-data").exists()
    }
}

/// A layer and where it is.
#[derive(Debug)]
struct Place {
    storage: Storage,
    id: String,
}

/// The layers of one image, as folders of storages.
#[derive(Debug)]
pub(super) struct StoredLayers {
    /// Base first.
    places: Vec<Place>,
    /// Whether the bytes of every layer can be put together again.
    pub(super) are_whole: bool,
}

impl StoredLayers {
    /// The uncompressed bytes of the layer of this id.
    pub(super) fn open(&self, id: &str) -> io::Result<Box<dyn Read + Send>> {
        let place = self.places.iter().find(|place| place.id == id).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(TarSplit::open(&place.storage.split(id), &place.storage.files(id))?))
    }

    /// Everything in the unpacked folders.
    pub(super) fn flat(&self, limits: &Limits) -> Result<Inventory, RootfsError> {
        let files = |place: &Place| place.storage.files(&place.id);
        match self.places.last() {
            Some(top) if top.storage.driver == Driver::Vfs => rootfs(&files(top), limits),
            _ => stacked(&self.places.iter().map(files).collect::<Vec<_>>(), limits),
        }
    }
}

/// Finds the image `name` in the storage at the first of `roots`, or in one of the others, which it stands on.
pub(super) fn resolve(roots: &[&Path], name: &str, limits: &Limits) -> Result<(Resolved, StoredLayers), ImageError> {
    let storages = storages(roots);
    let mut with_images: Vec<&Storage> = storages.iter().filter(|storage| storage.image_list().exists()).collect();
    if with_images.is_empty() {
        // So that what is missed has a name.
        with_images.extend(storages.first());
    }
    for storage in with_images {
        if let Some(image) = index::find(&index::document(&storage.image_list(), limits)?, name)? {
            return found(storage, &storages, image, limits);
        }
    }
    let roots: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
    Err(ImageError::Missing { what: format!("image {name} in {}", roots.join(", ")) })
}

/// What may lie at `roots`, storages of overlay first.
fn storages(roots: &[&Path]) -> Vec<Storage> {
    let all = |driver| roots.iter().map(move |root| Storage { driver, root: root.to_path_buf() });
    [Driver::Overlay, Driver::Vfs].into_iter().flat_map(all).collect()
}

/// The image of `storage`, with its layers there or in those of `storages` that are of the same driver.
fn found(
    storage: &Storage,
    storages: &[Storage],
    image: index::StoredImage,
    limits: &Limits,
) -> Result<(Resolved, StoredLayers), ImageError> {
    let (config_digest, config) = config(&storage.images(), &image.id, limits)?;
    let beside = storages.iter().filter(|other| other.driver == storage.driver && other.root != storage.root);
    let with_layers: Vec<&Storage> =
        std::iter::once(storage).chain(beside).filter(|storage| storage.layer_list().exists()).collect();
    let chain = match &image.layer {
        Some(top) => {
            let lists = with_layers.iter().map(|storage| index::document(&storage.layer_list(), limits));
            index::chain(&lists.collect::<Result<Vec<_>, _>>()?, top, limits)?
        }
        None => Vec::new(),
    };
    check_counts(chain.len(), &config, limits)?;
    let (mut layers, mut places) = (Vec::with_capacity(chain.len()), Vec::with_capacity(chain.len()));
    for ((list, layer), diff_id) in chain.into_iter().zip(&config.rootfs.diff_ids) {
        if layer.diff_digest.is_some_and(|found| found != *diff_id) {
            let reason = format!("layer {} is not the one of the configuration", layer.id);
            return Err(ManifestError::Malformed { what: "layers.json", reason }.into());
        }
        layers.push((layer.id.clone(), LayerDigests { blob: None, diff_id: *diff_id }));
        places.push(Place { storage: with_layers[list].clone(), id: layer.id });
    }
    let are_whole = places.iter().all(|place| place.storage.split(&place.id).exists());
    // The names in such a folder say nothing, and would give an inventory without packages.
    if let Some(place) = places.iter().find(|place| !are_whole && place.storage.is_by_digest(&place.id)) {
        let what = format!("layer {} as files by their names (it is kept for composefs)", place.id);
        return Err(ImageError::Missing { what });
    }
    let digest = image.digest.unwrap_or(config_digest);
    let resolved = Resolved { digest, names: image.names.unwrap_or_default(), config, layers };
    Ok((resolved, StoredLayers { places, are_whole }))
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
