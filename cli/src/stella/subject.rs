//! What is scanned: told by its content, read into an inventory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use stella_domain::Digest;
use stella_inventory::image::{ImageError, ImageFile, ReadOptions};
use stella_inventory::sbom::{self, SbomDocument, SbomError, SbomFormat};
use stella_inventory::{Inventory, Limits, RootfsError, rootfs};

use super::image_store::{self, StoreError};
use crate::terminal::{self, Progress};

/// A tar header is this long and always has a zero byte in it.
const TAR_HEADER: usize = 512;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Why a subject cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// The file or folder itself.
    #[error("cannot read '{path}'")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no usable image.
    #[error("cannot scan image '{path}'")]
    Image {
        /// The archive or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: ImageError,
    },
    /// It is no folder that can be read as a file system.
    #[error("cannot scan folder '{path}'")]
    Root {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        source: RootfsError,
    },
    /// It is in a store of this machine and cannot be read there.
    #[error(transparent)]
    Stored(#[from] StoreError),
    /// It is no usable SBOM.
    #[error("cannot scan '{path}'")]
    Sbom {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SbomError,
    },
}

/// What a file or folder holds, as its beginning shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An OCI layout.
    Layout,
    /// Any other folder: the root of a file system.
    Root,
    /// An image archive, plain.
    Archive,
    /// An image archive, compressed with gzip.
    GzipArchive,
    /// An image archive, compressed with zstd.
    ZstdArchive,
    /// Text, and so at best an SBOM.
    Document,
}

impl Kind {
    /// Looks at the beginning of `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self, SubjectError> {
        let failed = |source| SubjectError::Read { path: path.to_owned(), source };
        if path.metadata().map_err(failed)?.is_dir() {
            return Ok(if is_layout(path) { Self::Layout } else { Self::Root });
        }
        let mut start = Vec::with_capacity(TAR_HEADER);
        let file = File::open(path).map_err(failed)?;
        file.take(TAR_HEADER as u64).read_to_end(&mut start).map_err(failed)?;
        Ok(Self::of_start(&start))
    }

    fn of_start(start: &[u8]) -> Self {
        match start {
            _ if start.starts_with(GZIP) => Self::GzipArchive,
            _ if start.starts_with(ZSTD) => Self::ZstdArchive,
            _ if start.contains(&0) => Self::Archive,
            _ => Self::Document,
        }
    }
}

/// Whether a folder is an OCI layout (image layout specification 1.0); that some forget the mark is no reason to read it as files.
fn is_layout(folder: &Path) -> bool {
    folder.join("oci-layout").exists() || (folder.join("index.json").exists() && folder.join("blobs").is_dir())
}

/// An inventory and what it is the inventory of.
#[derive(Debug)]
pub struct Subject {
    /// The image's digest, else that of the inventory.
    pub digest: Digest,
    /// What the image calls itself.
    pub name: Option<String>,
    /// What is in it.
    pub inventory: Inventory,
}

/// Reads what `target` is: an image of a store, or what a path holds. With a `format` it is an SBOM of that format, whatever it looks like.
///
/// # Errors
/// When it cannot be read, or is neither an image nor an SBOM.
pub fn read(target: &str, format: Option<SbomFormat>, limits: &Limits) -> Result<Subject, SubjectError> {
    let progress = Progress::show(&format!("reading {target}"));
    let path = Path::new(target);
    let subject = if image_store::is_stored(target) {
        read_image(target, limits)?
    } else {
        match (format, Kind::of(path)?) {
            (None, Kind::Layout | Kind::Archive | Kind::GzipArchive | Kind::ZstdArchive) => read_image(target, limits)?,
            (None, Kind::Root) => read_root(path, limits)?,
            (format, _) => read_sbom(path, format, limits)?,
        }
    };
    drop(progress);
    tell_problems(&subject);
    Ok(subject)
}

/// Says what of it could not be read.
pub fn tell_problems(subject: &Subject) {
    if let Some(first) = subject.inventory.problems.first() {
        let count = subject.inventory.problems.len();
        terminal::note(format!("warning: {count} parts could not be read; {}: {}", first.path, first.message));
    }
}

/// Opens the image that `target` is; its layers are not read yet, unless it is compressed as a whole.
///
/// # Errors
/// When it is no image.
pub fn open_image(target: &str, limits: &Limits) -> Result<ImageFile, SubjectError> {
    if let Some(stored) = image_store::open(target, limits) {
        return Ok(stored?);
    }
    let options = ReadOptions { limits: *limits, ..ReadOptions::default() };
    ImageFile::open(Path::new(target), &options).map_err(|source| SubjectError::Image { path: target.into(), source })
}

fn read_image(target: &str, limits: &Limits) -> Result<Subject, SubjectError> {
    of_image(target, &open_image(target, limits)?)
}

/// Reads every layer of an image.
///
/// # Errors
/// When one cannot be read, or is not what its digests say.
pub fn of_image(target: &str, image: &ImageFile) -> Result<Subject, SubjectError> {
    if image.is_unpacked() {
        terminal::note("warning: only unpacked layers are kept of the image; they are read as one, and not verified");
    }
    let inventory = image.inventory().map_err(|source| SubjectError::Image { path: target.into(), source })?;
    Ok(Subject { digest: image.digest(), name: image.names().first().cloned(), inventory })
}

/// Reads the tree below a folder as the root of a file system.
///
/// # Errors
/// When it cannot be opened, or has more in it than the limits allow.
pub fn read_root(path: &Path, limits: &Limits) -> Result<Subject, SubjectError> {
    let inventory = rootfs(path, limits).map_err(|source| SubjectError::Root { path: path.to_owned(), source })?;
    if inventory.components.is_empty() {
        terminal::note(format!("warning: no package was found below '{}'", path.display()));
    }
    Ok(Subject { digest: inventory.digest(), name: None, inventory })
}

fn read_sbom(path: &Path, format: Option<SbomFormat>, limits: &Limits) -> Result<Subject, SubjectError> {
    let failed = |source| SubjectError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limits.max_document_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    let parsed = match format {
        Some(format) => sbom::parse_as(format, &bytes, limits),
        None => sbom::parse(&bytes, limits),
    };
    let document = parsed.map_err(|source| SubjectError::Sbom { path: path.to_owned(), source })?;
    tell_missing_layers(&document);
    let named = document.subject;
    Ok(Subject {
        digest: named.as_ref().and_then(|named| named.digest).unwrap_or_else(|| document.inventory.digest()),
        name: named.map(|named| named.name).filter(|name| !name.is_empty()),
        inventory: document.inventory,
    })
}

/// Documents made for a server may leave out layers that it has; here nobody has them.
fn tell_missing_layers(document: &SbomDocument) {
    let (all, described) = (document.inventory.layers.len(), document.layers.len());
    if described > 0 && described < all {
        terminal::note(format!("warning: the SBOM describes {described} of {all} layers; the others are not scanned"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_tells_the_kind() {
        let mut header = [0; TAR_HEADER];
        header[..8].copy_from_slice(b"manifest");
        let cases: [(&[u8], Kind); 5] = [
            (b"{\"bomFormat\"", Kind::Document),
            (b"", Kind::Document),
            (&header, Kind::Archive),
            (&[0x1f, 0x8b, 8, 0], Kind::GzipArchive),
            (&[0x28, 0xb5, 0x2f, 0xfd, 0], Kind::ZstdArchive),
        ];
        for (start, kind) in cases {
            assert_eq!(Kind::of_start(start), kind);
        }
    }
}
