//! Reading an index.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use stella_domain::Digest;

use super::{Entry, FIXED, Header, MAGIC, SECTIONS, key};
use crate::feed::FeedInfo;
use crate::merge::Group;

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
}

/// An opened index. Cheap to share between threads.
pub struct Index {
    path: PathBuf,
    bytes: Bytes,
    info: IndexInfo,
    keys: fst::Map<Vec<u8>>,
    postings: (usize, usize),
    places: (usize, usize),
    groups: (usize, usize),
}

enum Bytes {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Index {
    /// Maps the index at `path` and checks its digest (1.3 GB a second on one core).
    ///
    /// # Errors
    /// When the file cannot be read, or is not a sound index of this version.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let io = |source| IndexError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: index files are written under another name and renamed into place, and never changed afterwards; a
        // replaced index is a new file, and this map keeps the old one.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::over(path.to_owned(), Bytes::Mapped(map))
    }

    /// An index over bytes in memory, as [`build`](super::build) makes them.
    ///
    /// # Errors
    /// When the bytes are not a sound index of this version.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, IndexError> {
        Self::over(PathBuf::from("(memory)"), Bytes::Owned(bytes))
    }

    fn over(path: PathBuf, bytes: Bytes) -> Result<Self, IndexError> {
        let damaged = |what| IndexError::Damaged { path: path.clone(), what };
        let all = bytes.get();
        if all.len() < FIXED || &all[..8] != MAGIC {
            return Err(damaged("no index header"));
        }
        let generation = Digest::of(&all[40..]);
        if generation.as_bytes()[..] != all[8..40] {
            return Err(damaged("digest differs"));
        }
        let sections = sections(all).ok_or_else(|| damaged("sections do not fit"))?;
        let of = |(from, to): (usize, usize)| &all[from..to];
        let header: Header = postcard::from_bytes(of(sections[0])).map_err(|_| damaged("header"))?;
        let keys = fst::Map::new(of(sections[1]).to_vec()).map_err(|_| damaged("keys"))?;
        let info = IndexInfo { feeds: header.feeds, generation, groups: header.groups };
        if (sections[3].1 - sections[3].0) != (header.groups as usize + 1) * 8 {
            return Err(damaged("places"));
        }
        let [_, _, postings, places, groups] = sections;
        Ok(Self { path, info, keys, postings, places, groups, bytes })
    }

    /// What it was made from.
    #[must_use]
    pub fn info(&self) -> &IndexInfo {
        &self.info
    }

    /// What records say about a package; empty when nothing is known.
    ///
    /// # Errors
    /// When the file changed under us.
    pub fn entries(&self, ecosystem: &str, name: &str) -> Result<Vec<Entry>, IndexError> {
        let Some(offset) = self.keys.get(key(ecosystem, name)) else {
            return Ok(Vec::new());
        };
        let section = self.section(self.postings);
        let list = usize::try_from(offset).ok().and_then(|at| {
            let length = u32::from_le_bytes(section.get(at..at.checked_add(4)?)?.try_into().ok()?);
            section.get(at + 4..(at + 4).checked_add(length as usize)?)
        });
        self.decode(list, "postings")
    }

    /// A vulnerability by its number.
    ///
    /// # Errors
    /// When there is no such number, or the file changed under us.
    pub fn group(&self, number: u32) -> Result<Group, IndexError> {
        let places = self.section(self.places);
        let place = |number: usize| -> Option<usize> {
            let bytes = places.get(number.checked_mul(8)?..number.checked_mul(8)?.checked_add(8)?)?;
            usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
        };
        let number = number as usize;
        let range = place(number).zip(place(number + 1));
        let bytes = range.and_then(|(from, to)| self.section(self.groups).get(from..to));
        self.decode(bytes, "groups")
    }

    fn section(&self, (from, to): (usize, usize)) -> &[u8] {
        &self.bytes.get()[from..to]
    }

    fn decode<T: DeserializeOwned>(&self, bytes: Option<&[u8]>, what: &'static str) -> Result<T, IndexError> {
        bytes
            .and_then(|bytes| postcard::from_bytes(bytes).ok())
            .ok_or_else(|| IndexError::Damaged { path: self.path.clone(), what })
    }
}

/// Where each section lies; `None` when they do not fill the file exactly.
fn sections(all: &[u8]) -> Option<[(usize, usize); SECTIONS]> {
    let mut at = FIXED;
    let mut sections = [(0, 0); SECTIONS];
    for (number, section) in sections.iter_mut().enumerate() {
        let field = 40 + number * 8;
        let length = usize::try_from(u64::from_le_bytes(all.get(field..field + 8)?.try_into().ok()?)).ok()?;
        let end = at.checked_add(length).filter(|end| *end <= all.len())?;
        *section = (at, end);
        at = end;
    }
    (at == all.len()).then_some(sections)
}
