//! What the three databases have in common: blobs at places, and errors that name the place.

use std::borrow::Cow;
use std::fmt;

/// Where in a database something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The page of this number.
    Page(u32),
    /// So many bytes from the beginning.
    Offset(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(number) => write!(f, "page {number}"),
            Self::Offset(offset) => write!(f, "offset {offset}"),
        }
    }
}

/// What is wrong with a database, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format} database, {place}: {reason}")]
pub(super) struct DatabaseError {
    /// Name of the format.
    pub(super) format: &'static str,
    /// Where.
    pub(super) place: Place,
    /// What.
    pub(super) reason: &'static str,
}

/// One package header as a database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob<'a> {
    /// Where it begins.
    pub(super) place: Place,
    /// Its bytes.
    pub(super) bytes: Cow<'a, [u8]>,
}

/// Takes the blobs of a database one by one; an error is that of one blob and leaves the others readable.
pub(super) type Take<'t, 'a> = dyn FnMut(Result<Blob<'a>, DatabaseError>) + 't;

/// Reads a whole database.
pub(super) type Read = for<'a> fn(&'a [u8], &mut Take<'_, 'a>) -> Result<(), DatabaseError>;

/// The big-endian number at an offset.
pub(super) fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// The big-endian number at an offset.
pub(super) fn be_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// The little-endian number at an offset.
pub(super) fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// How many more bytes the entries of a database may claim. Those of a sound one lie side by side, so that together
/// they have no more than the file; entries that overlap could claim any number.
#[derive(Debug)]
pub(super) struct Claims(usize);

impl Claims {
    /// The least that a package takes in any database, with what leads to it.
    const LEAST: usize = 16;

    /// For a file of so many bytes.
    pub(super) fn new(file: usize) -> Self {
        Self(file)
    }

    /// Another entry; `None` when there are too many, and reading should end.
    pub(super) fn entry(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(Self::LEAST)?;
        Some(())
    }

    /// So many bytes more of an entry; `None` when those are too many.
    pub(super) fn bytes(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.checked_sub(count)?;
        Some(())
    }
}

/// The pages that were seen. Each page of a sound database has one place in it, so that a second visit means a
/// loop, or one page that stands for many.
#[derive(Debug)]
pub(super) struct Visited(Vec<u64>);

impl Visited {
    /// None of pages `0..count` has been seen.
    pub(super) fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// Whether `page` exists and is seen for the first time.
    pub(super) fn is_first(&mut self, page: u32) -> bool {
        let (word, bit) = (page as usize / 64, 1 << (page % 64));
        let Some(word) = self.0.get_mut(word) else { return false };
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}
