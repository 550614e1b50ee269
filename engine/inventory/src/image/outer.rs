//! The archive around an image, as a set of named files.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stella_domain::Digest;

use crate::archive::{EntryKind, FileSlice, TarReader, resolve_target};
use crate::layer::{Budget, LayerStream};
use crate::limits::Limits;

use super::ImageError;
use super::resolve::{Documents, check};

/// Links from name to name that are followed.
pub(super) const MAX_LINKS: usize = 8;

/// Where the named files of an image lie.
#[derive(Debug)]
pub(super) enum Outer {
    /// A tar on disk, its files known by position.
    Archive { file: Arc<File>, entries: HashMap<String, Place> },
    /// A folder.
    Folder(PathBuf),
}

/// Where one of them lies in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    At { offset: u64, size: u64 },
    Link(String),
}

impl Place {
    /// The name it leads to; empty when its bytes are there.
    fn target(&self) -> &str {
        match self {
            Self::At { .. } => "",
            Self::Link(target) => target,
        }
    }
}

impl Outer {
    /// Indexes a plain tar without reading the bodies.
    pub(super) fn index(file: File, size: u64, limits: &Limits) -> Result<Self, ImageError> {
        let file = Arc::new(file);
        let mut walk = TarReader::new(FileSlice::new(Arc::clone(&file), 0, size), limits);
        let (mut entries, budget) = (HashMap::new(), Budget::new(limits));
        while let Some(entry) = walk.next_entry()? {
            let folder = entry.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let place = match entry.kind {
                EntryKind::File => Place::At { offset: entry.offset, size: entry.size },
                EntryKind::Symlink => Place::Link(resolve_target(folder, &entry.link)),
                EntryKind::HardLink => Place::Link(resolve_target("", &entry.link)),
                _ => continue,
            };
            let kept = entry.path.len() + place.target().len() + size_of::<(String, Place)>();
            let failed = |source| ImageError::Read { what: entry.path.clone(), source };
            budget.keep(kept as u64).map_err(|exceeded| failed(exceeded.into()))?;
            entries.insert(entry.path, place);
        }
        Ok(Self::Archive { file, entries })
    }

    /// Opens a file of the image. Names come from the image, so they are taken apart first.
    pub(super) fn open(&self, name: &str) -> std::io::Result<(Box<dyn Read + Send>, u64)> {
        let name = resolve_target("", name);
        match self {
            Self::Archive { file, entries } => {
                let (offset, size) = follow(entries, &name).ok_or(std::io::ErrorKind::NotFound)?;
                Ok((Box::new(FileSlice::new(Arc::clone(file), offset, size)), size))
            }
            Self::Folder(root) => {
                let file = open_plain(root, &name)?;
                let size = file.metadata()?.len();
                Ok((Box::new(file), size))
            }
        }
    }
}

/// The documents of an image on disk.
pub(super) struct OuterDocuments<'o> {
    pub(super) outer: &'o Outer,
    pub(super) limits: &'o Limits,
}

impl Documents for OuterDocuments<'_> {
    fn has(&self, name: &str) -> bool {
        match self.outer {
            Outer::Archive { entries, .. } => entries.contains_key(name),
            Outer::Folder(root) => root.join(name).is_file(),
        }
    }

    fn document(&self, name: &str, digest: Option<Digest>) -> Result<Vec<u8>, ImageError> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => ImageError::Missing { what: name.to_owned() },
            _ => ImageError::Read { what: name.to_owned(), source },
        };
        let (reader, size) = self.outer.open(name).map_err(failed)?;
        let max = self.limits.max_metadata_bytes;
        if size > max {
            return Err(ImageError::TooLarge { what: name.to_owned(), size, max });
        }
        let mut bytes = Vec::new();
        reader.take(max).read_to_end(&mut bytes).map_err(failed)?;
        check(name, digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    fn diff_id(&self, name: &str, limits: &Limits, budget: &Budget) -> Result<Digest, ImageError> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => ImageError::Missing { what: name.to_owned() },
            _ => ImageError::Read { what: name.to_owned(), source },
        };
        let (reader, _) = self.outer.open(name).map_err(failed)?;
        let stream = LayerStream::open(reader, limits, budget).map_err(failed)?;
        stream.finish().map(|found| found.diff_id).map_err(failed)
    }
}

/// Follows links until something with bytes is met.
fn follow(entries: &HashMap<String, Place>, name: &str) -> Option<(u64, u64)> {
    let mut name = name;
    for _ in 0..MAX_LINKS {
        match entries.get(name)? {
            Place::At { offset, size } => return Some((*offset, *size)),
            Place::Link(target) => name = target,
        }
    }
    None
}

/// A regular file below `root`. Blobs of a layout are no links; following one could leave the layout.
fn open_plain(root: &Path, name: &str) -> std::io::Result<File> {
    let path = root.join(name);
    if !std::fs::symlink_metadata(&path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)
}
