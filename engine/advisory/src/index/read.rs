//! Reading an index.

use std::fs::File;
use std::path::{Path, PathBuf};

use stella_domain::Digest;

use super::blocks::{Blocks, Bytes};
use super::entry::Entry;
use super::layout::{FIXED, Header, MAGIC, Reader, SECTIONS, SLOT, bucket, hash, u32_at, u64_at};
use crate::feed::FeedInfo;
use crate::merge::Group;
use crate::naming::package_key;

/// Why an index could not be built or used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file cannot be read or written.
    #[error("index {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not an index of this version, or was damaged.
    #[error("index {path} is damaged or of another version ({what}); remove it and it is built anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// A section would be larger than the format allows.
    #[error("index section '{0}' would be larger than the format allows")]
    TooLarge(&'static str),
}

/// What an index was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// The feeds, sorted by name.
    pub feeds: Vec<FeedInfo>,
    /// Digest of the content; two indexes with the same digest answer alike.
    pub generation: Digest,
    /// Number of vulnerabilities.
    pub groups: u32,
    /// Number of packages that something is known about.
    pub packages: u32,
}

/// An opened index. Cheap to share between threads.
pub struct Index {
    path: PathBuf,
    info: IndexInfo,
    sources: Vec<String>,
    bucket_bits: u8,
    blocks: Blocks,
    buckets: Section,
    slots: Section,
    lists: Section,
    places: Section,
    groups: Section,
}

#[derive(Debug, Clone, Copy)]
struct Section {
    from: usize,
    to: usize,
}

impl Section {
    fn len(self) -> usize {
        self.to - self.from
    }
}

/// One package key of an index: its hash, where its list lies, and a sum of what is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) hash: u64,
    pub(super) place: usize,
    pub(super) known: [u8; 16],
}

impl Index {
    /// Maps the index at `path` and checks its head; the rest is checked as it is touched.
    ///
    /// # Errors
    /// When the file cannot be read, or is not an index of this version, or has not the size that its head tells.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let io = |source| IndexError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: index files are written under another name and renamed into place, and never changed afterwards; a
        // replaced index is a new file, and this map keeps the old one.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::over(path.to_owned(), Bytes::Mapped(map))
    }

    /// An index over bytes in memory, as [`build`](super::build) makes them, all of it checked.
    ///
    /// # Errors
    /// When the bytes are not a sound index of this version.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, IndexError> {
        let index = Self::over(PathBuf::from("(memory)"), Bytes::Owned(bytes))?;
        index.verify()?;
        Ok(index)
    }

    fn over(path: PathBuf, bytes: Bytes) -> Result<Self, IndexError> {
        Self::with_head(&path, bytes).map_err(|what| IndexError::Damaged { path, what })
    }

    fn with_head(path: &Path, bytes: Bytes) -> Result<Self, &'static str> {
        let all = bytes.get();
        if all.len() < FIXED || &all[..8] != MAGIC {
            return Err("no index header");
        }
        let length = u64_at(all, 40).and_then(|length| usize::try_from(length).ok());
        let start = length.and_then(|length| FIXED.checked_add(length)).filter(|start| *start <= all.len());
        let start = start.ok_or("the file ends within its head")?;
        let head = &all[FIXED..start];
        let generation = Digest::of(head);
        if generation.as_bytes()[..] != all[8..40] {
            return Err("digest differs");
        }
        let header_length = u32_at(head, 0).ok_or("header")? as usize;
        let (header, sums) = head[4..].split_at_checked(header_length).ok_or("header")?;
        let header: Header = postcard::from_bytes(header).map_err(|_| "header")?;
        let [buckets, slots, lists, places, groups] =
            sections(&header.sections, all.len() - start).ok_or("the file has not the size that its head tells")?;
        let fits = header.bucket_bits <= 32
            && buckets.len() == ((1usize << header.bucket_bits) + 1) * 4
            && slots.len() == header.keys as usize * SLOT
            && places.len() == (header.groups as usize + 1) * 8;
        if !fits {
            return Err("sections do not fit");
        }
        let sums = sums.to_vec();
        let info = IndexInfo { feeds: header.feeds, generation, groups: header.groups, packages: header.keys };
        let blocks = Blocks::new(bytes, start, &sums).ok_or("the file has not the size that its head tells")?;
        let (path, sources, bucket_bits) = (path.to_owned(), header.sources, header.bucket_bits);
        Ok(Self { path, info, sources, bucket_bits, blocks, buckets, slots, lists, places, groups })
    }

    /// What it was made from.
    #[must_use]
    pub fn info(&self) -> &IndexInfo {
        &self.info
    }

    /// Checks every block against its sum (1.3 GB a second on one core).
    ///
    /// # Errors
    /// When one differs.
    pub fn verify(&self) -> Result<(), IndexError> {
        if self.blocks.verify() { Ok(()) } else { Err(self.damaged("a block differs from its sum")) }
    }

    /// What records say about a package; empty when nothing is known.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn entries(&self, ecosystem: &str, name: &str) -> Result<Vec<Entry<'_>>, IndexError> {
        self.list(&package_key(ecosystem, name))?.map(|entry| entry.map_err(|what| self.damaged(what))).collect()
    }

    /// The entries of a package key, sorted by group.
    pub(crate) fn list(
        &self,
        key: &[u8],
    ) -> Result<impl Iterator<Item = Result<Entry<'_>, &'static str>> + use<'_>, IndexError> {
        let mut reader = Reader(self.find(key).map_err(|what| self.damaged(what))?.unwrap_or_default());
        Ok(std::iter::from_fn(move || {
            if reader.0.is_empty() {
                return None;
            }
            let entry = Entry::read(&mut reader);
            if entry.is_none() {
                reader.0 = &[];
            }
            Some(entry.ok_or("lists"))
        }))
    }

    /// The bytes of a key's list.
    fn find(&self, key: &[u8]) -> Result<Option<&[u8]>, &'static str> {
        let hash = hash(key);
        let at = bucket(hash, self.bucket_bits) * 4;
        let ends = self.part(self.buckets, at, 8).ok_or("buckets")?;
        let (from, to) = u32_at(ends, 0).zip(u32_at(ends, 4)).ok_or("buckets")?;
        for number in from..to {
            let slot = self.slot(number as usize).ok_or("slots")?;
            if slot.hash == hash {
                let (found, list) = self.key_and_list(slot.place).ok_or("lists")?;
                if found == key {
                    return Ok(Some(list));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn slot(&self, number: usize) -> Option<Slot> {
        let bytes = self.part(self.slots, number.checked_mul(SLOT)?, SLOT)?;
        let place = usize::try_from(u64_at(bytes, 8)?).ok()?;
        Some(Slot { hash: u64_at(bytes, 0)?, place, known: bytes[16..].try_into().ok()? })
    }

    pub(super) fn key_and_list(&self, place: usize) -> Option<(&[u8], &[u8])> {
        let lengths = self.part(self.lists, place, 8)?;
        let (key, list) = (u32_at(lengths, 0)? as usize, u32_at(lengths, 4)? as usize);
        self.part(self.lists, place.checked_add(8)?, key.checked_add(list)?)?.split_at_checked(key)
    }

    /// The feed that an entry is of.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn source(&self, entry: &Entry<'_>) -> Result<&str, IndexError> {
        self.sources.get(entry.source()).map(String::as_str).ok_or_else(|| self.damaged("sources"))
    }

    /// A vulnerability by its number.
    ///
    /// # Errors
    /// When there is no such number, or the file is damaged.
    pub fn group(&self, number: u32) -> Result<Group, IndexError> {
        let read = || -> Option<Group> {
            let ends = self.part(self.places, (number as usize).checked_mul(8)?, 16)?;
            let (from, to) = (usize::try_from(u64_at(ends, 0)?).ok()?, usize::try_from(u64_at(ends, 8)?).ok()?);
            postcard::from_bytes(self.part(self.groups, from, to.checked_sub(from)?)?).ok()
        };
        read().ok_or_else(|| self.damaged("groups"))
    }

    fn part(&self, section: Section, from: usize, length: usize) -> Option<&[u8]> {
        let from = section.from.checked_add(from)?;
        let to = from.checked_add(length).filter(|to| *to <= section.to)?;
        self.blocks.get(from, to)
    }

    pub(crate) fn damaged(&self, what: &'static str) -> IndexError {
        IndexError::Damaged { path: self.path.clone(), what }
    }
}

/// Where each section lies; `None` when they do not fill the file exactly.
fn sections(lengths: &[u64; SECTIONS], all: usize) -> Option<[Section; SECTIONS]> {
    let mut at = 0usize;
    let mut sections = [Section { from: 0, to: 0 }; SECTIONS];
    for (section, length) in sections.iter_mut().zip(lengths) {
        let to = at.checked_add(usize::try_from(*length).ok()?)?;
        *section = Section { from: at, to };
        at = to;
    }
    (at == all).then_some(sections)
}
