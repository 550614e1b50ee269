//! Images on disk.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stella_domain::Digest;

use crate::archive::FileSlice;
use crate::layer::{LayerDigests, LayerStream};
use crate::limits::Limits;
use crate::{Inventory, LayerInventory, fold, stacked};

use super::manifest::{ImageConfig, Manifest, Platform};
use super::outer::{Outer, OuterDocuments};
use super::resolve::{Resolved, resolve};
use super::source::{BlobSource, check_counts, read_layers, read_wanted, wanted};
use super::storage::{self, StoredLayers};
use super::{ImageError, packed};

/// How images are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Which image of a manifest list.
    pub platform: Platform,
    /// How much may be read.
    pub limits: Limits,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { platform: Platform::host(), limits: Limits::default() }
    }
}

/// An image in a file or folder: manifest and configuration read and verified, layers not yet.
///
/// A compressed archive is the exception: it cannot be read by position, so its layers are read when it is opened.
#[derive(Debug)]
pub struct ImageFile {
    image: Resolved,
    limits: Limits,
    layers: Layers,
}

#[derive(Debug)]
enum Layers {
    Unread(Outer),
    Read(Vec<LayerInventory>),
    Stored(StoredLayers),
    Blobs(Manifest, Blobs),
    Folders(Vec<PathBuf>),
}

/// A source of blobs, of which nothing can be shown.
struct Blobs(Box<dyn BlobSource + Send>);

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Blobs")
    }
}

impl ImageFile {
    /// Opens a `docker save` archive, an OCI archive (either plain, gzip or zstd) or an OCI layout folder.
    ///
    /// # Errors
    /// [`ImageError`] when it is none of these, damaged, or has no image for the platform.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Read { what: path.display().to_string(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Self::from_outer(Outer::Folder(path.to_owned()), options);
        }
        Self::from_file(File::open(path).map_err(failed)?, options)
    }

    /// The same for an archive that is already open, such as an unnamed temporary file. It is read by position.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_file(file: File, options: &ReadOptions) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Read { what: "the image archive".into(), source };
        let mut start = [0; 4];
        let read = file.read_at(&mut start, 0).map_err(failed)?;
        if LayerStream::<File>::is_compressed(&start[..read]) {
            return Self::from_packed(file, options);
        }
        let size = file.metadata().map_err(failed)?.len();
        if size == 0 || start[..read].starts_with(b"{") || start[..read].starts_with(b"[") {
            let found = if size == 0 { "an empty file" } else { "a JSON document" };
            return Err(ImageError::NotAnImage { found: found.into() });
        }
        Self::from_outer(Outer::index(file, size, &options.limits)?, options)
    }

    /// Opens the image `name` (or an id, or 12 digits of it) in the folder of `containers/storage` at the first of `roots`, where
    /// Podman and CRI-O keep images, or in one of the others: the image stores that it stands on and only reads. The driver has to
    /// be `overlay` or `vfs`.
    ///
    /// # Errors
    /// [`ImageError`] when there is no such image, or what the folder says is damaged.
    pub fn open_stored(roots: &[&Path], name: &str, options: &ReadOptions) -> Result<Self, ImageError> {
        let (image, stored) = storage::resolve(roots, name, &options.limits)?;
        Ok(Self { image, limits: options.limits, layers: Layers::Stored(stored) })
    }

    /// The image `manifest` and `config` describe, called `digest` and `name`, with its layers in `blobs`.
    ///
    /// # Errors
    /// [`ImageError`] when manifest and configuration do not belong together.
    pub fn from_blobs(
        (digest, name): (Digest, String),
        manifest: Manifest,
        config: ImageConfig,
        blobs: Box<dyn BlobSource + Send>,
        options: &ReadOptions,
    ) -> Result<Self, ImageError> {
        check_counts(manifest.layers.len(), &config, &options.limits)?;
        let image = Resolved { digest, names: vec![name], config, layers: Vec::new() };
        Ok(Self { image, limits: options.limits, layers: Layers::Blobs(manifest, Blobs(blobs)) })
    }

    /// The same image, of which only `folders` are left, the base first: its layers as a runtime has unpacked them.
    #[must_use]
    pub fn from_folders(
        (digest, name): (Digest, String),
        config: ImageConfig,
        folders: Vec<PathBuf>,
        options: &ReadOptions,
    ) -> Self {
        let image = Resolved { digest, names: vec![name], config, layers: Vec::new() };
        Self { image, limits: options.limits, layers: Layers::Folders(folders) }
    }

    /// Whether only unpacked folders are left of its layers. Nobody can tell then that they are what their digests say,
    /// so that it has one flat inventory and no layers.
    #[must_use]
    pub const fn is_unpacked(&self) -> bool {
        match &self.layers {
            Layers::Folders(_) => true,
            Layers::Stored(stored) => !stored.are_whole,
            Layers::Unread(_) | Layers::Read(_) | Layers::Blobs(..) => false,
        }
    }

    fn from_packed(file: File, options: &ReadOptions) -> Result<Self, ImageError> {
        let file = Arc::new(file);
        let size = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
        let open = || Ok(FileSlice::new(Arc::clone(&file), 0, size));
        let (resolved, layers) = packed::read(&open, options)?;
        Ok(Self { image: resolved, limits: options.limits, layers: Layers::Read(layers) })
    }

    fn from_outer(outer: Outer, options: &ReadOptions) -> Result<Self, ImageError> {
        let image = resolve(&OuterDocuments { outer: &outer, limits: &options.limits }, options)?;
        Ok(Self { image, limits: options.limits, layers: Layers::Unread(outer) })
    }

    /// What names the image: the digest of its manifest; in a `docker save` archive, which keeps no manifest, the
    /// digest of its configuration (the image id).
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.image.digest
    }

    /// Names and tags it was saved under.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.image.names
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &ImageConfig {
        &self.image.config
    }

    /// DiffIDs from the base up.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.image.config.rootfs.diff_ids
    }

    /// Reads the layers whose diffID `want` accepts, as [`super::read_layers`] does.
    ///
    /// # Errors
    /// [`ImageError`] naming the first layer that cannot be read or is not what its digests say. None of an image
    /// that [is unpacked](Self::is_unpacked) can.
    pub fn read_layers(&self, want: &dyn Fn(&Digest) -> bool) -> Result<Vec<LayerInventory>, ImageError> {
        match &self.layers {
            Layers::Read(layers) => Ok(layers.iter().filter(|layer| want(&layer.diff_id)).cloned().collect()),
            Layers::Unread(outer) => self.read_from(&|path| outer.open(path).map(|(reader, _)| reader), want),
            Layers::Stored(stored) => self.read_from(&|id| stored.open(id), want),
            Layers::Blobs(manifest, blobs) => read_layers(&*blobs.0, manifest, &self.image.config, want, &self.limits),
            Layers::Folders(_) => Err(ImageError::Missing { what: "its packed layers".into() }),
        }
    }

    fn read_from(
        &self,
        open_at: &(dyn Fn(&str) -> std::io::Result<Box<dyn Read + Send>> + Sync),
        want: &dyn Fn(&Digest) -> bool,
    ) -> Result<Vec<LayerInventory>, ImageError> {
        let paths = &self.image.layers;
        let place: HashMap<Digest, &str> =
            paths.iter().rev().map(|(path, layer)| (layer.diff_id, path.as_str())).collect();
        let open = |layer: &LayerDigests| open_at(place.get(&layer.diff_id).ok_or(std::io::ErrorKind::NotFound)?);
        let layers = wanted(paths.iter().map(|(_, layer)| *layer).collect(), want);
        read_wanted(layers, &open, &self.limits)
    }

    /// Reads every layer and folds them; of an image that [is unpacked](Self::is_unpacked), its folders.
    ///
    /// # Errors
    /// As [`Self::read_layers`].
    pub fn inventory(&self) -> Result<Inventory, ImageError> {
        match &self.layers {
            Layers::Stored(stored) if !stored.are_whole => return Ok(stored.flat(&self.limits)?),
            Layers::Folders(folders) => return Ok(stacked(folders, &self.limits)?),
            Layers::Stored(_) | Layers::Unread(_) | Layers::Read(_) | Layers::Blobs(..) => {}
        }
        let layers = self.read_layers(&|_| true)?;
        let by_diff_id: HashMap<Digest, &LayerInventory> = layers.iter().map(|layer| (layer.diff_id, layer)).collect();
        let ordered: Vec<&LayerInventory> =
            self.diff_ids().iter().filter_map(|id| by_diff_id.get(id).copied()).collect();
        Ok(fold(&ordered))
    }
}

/// Reads an image on disk from the first to the last layer.
///
/// # Errors
/// As [`ImageFile::open`] and [`ImageFile::read_layers`].
pub fn read_image(path: &Path, options: &ReadOptions) -> Result<Inventory, ImageError> {
    ImageFile::open(path, options)?.inventory()
}
