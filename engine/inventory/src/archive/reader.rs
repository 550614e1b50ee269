//! The walk over headers and bodies.

use std::io::{self, BufRead, Read};

use crate::limits::Limits;

use super::extended::PaxRecords;
use super::header::{BLOCK, EntryKind, Header, Meaning, until_nul};
use super::{ArchiveError, ByteSource, normalise};

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the root, normalised; empty for the root itself.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Target of a link as written, empty otherwise.
    pub link: String,
    /// Bytes of the body.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Whether the name was UTF-8.
    pub utf8: bool,
    /// Where the body begins in the archive.
    pub offset: u64,
}

/// Walks a tar archive entry by entry.
#[derive(Debug)]
pub struct TarReader<'l, S> {
    source: S,
    limits: &'l Limits,
    position: u64,
    body_left: u64,
    padding: u64,
    entries: u64,
    last: String,
    finished: bool,
}

impl<'l, S: ByteSource> TarReader<'l, S> {
    /// Walks what `source` gives.
    pub fn new(source: S, limits: &'l Limits) -> Self {
        Self { source, limits, position: 0, body_left: 0, padding: 0, entries: 0, last: String::new(), finished: false }
    }

    /// Passes over what is left of the body at hand and reads the next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// [`ArchiveError`] naming the entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut pax = PaxRecords::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            self.pass_body()?;
            let offset = self.position;
            let Some(block) = self.header_block()? else { return Ok(None) };
            let header = Header::parse(&block).map_err(|reason| self.bad_header(offset, reason))?;
            let stored = header.size().map_err(|reason| self.bad_header(offset, reason))?;
            match header.meaning() {
                Meaning::PaxRecords => {
                    pax =
                        PaxRecords::parse(&self.extended(stored)?).map_err(|reason| self.bad_header(offset, reason))?
                }
                Meaning::PaxGlobal => drop(self.extended(stored)?),
                Meaning::LongName => long_name = Some(until_nul(&self.extended(stored)?).to_vec()),
                Meaning::LongLink => long_link = Some(until_nul(&self.extended(stored)?).to_vec()),
                Meaning::Entry(kind) => {
                    let size = if header.has_body() { pax.size.unwrap_or(stored) } else { 0 };
                    let name = pax.path.take().or(long_name).unwrap_or_else(|| header.name());
                    let link = pax.link.take().or(long_link).unwrap_or_else(|| header.link());
                    let kind = match kind {
                        EntryKind::File if pax.sparse => EntryKind::Sparse,
                        EntryKind::File if name.ends_with(b"/") => EntryKind::Directory,
                        kind => kind,
                    };
                    if header.sparse_extended() {
                        self.pass_sparse_maps()?;
                    }
                    return self.entry(&name, kind, &link, size, header.mode()).map(Some);
                }
            }
        }
    }

    /// The body of the entry that [`Self::next_entry`] returned last, or what is left of it.
    pub fn body(&mut self) -> Body<'_, S> {
        let left = self.body_left;
        Body { source: &mut self.source, left: &mut self.body_left, position: &mut self.position, total: left }
    }

    /// The source, wherever the walk has left it.
    pub fn into_source(self) -> S {
        self.source
    }

    fn entry(
        &mut self,
        name: &[u8],
        kind: EntryKind,
        link: &[u8],
        size: u64,
        mode: u32,
    ) -> Result<Entry, ArchiveError> {
        let path = normalise(name, self.limits)?;
        self.entries += 1;
        if self.entries > self.limits.max_entries {
            return Err(ArchiveError::Limit { entry: path, what: "entries", max: self.limits.max_entries });
        }
        if link.len() > self.limits.max_path_bytes {
            let max = self.limits.max_path_bytes as u64;
            return Err(ArchiveError::Limit { entry: path, what: "bytes in a link", max });
        }
        self.last.clone_from(&path);
        self.expect_body(size)?;
        let utf8 = std::str::from_utf8(name).is_ok();
        let link = String::from_utf8_lossy(link).into_owned();
        Ok(Entry { path, kind, link, size, mode, utf8, offset: self.position })
    }

    fn expect_body(&mut self, size: u64) -> Result<(), ArchiveError> {
        if size > self.limits.max_total_bytes {
            let max = self.limits.max_total_bytes;
            return Err(ArchiveError::Limit { entry: self.last.clone(), what: "bytes in a file", max });
        }
        self.body_left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    /// Whole body of a header that describes the next one.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > Limits::EXTENDED_HEADER {
            let max = Limits::EXTENDED_HEADER;
            return Err(ArchiveError::Limit { entry: self.last.clone(), what: "bytes in an extended header", max });
        }
        self.expect_body(size)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.source.read_exact(&mut bytes).map_err(|source| self.failed(source))?;
        self.position += size;
        self.body_left = 0;
        Ok(bytes)
    }

    fn pass_body(&mut self) -> Result<(), ArchiveError> {
        let rest = self.body_left + self.padding;
        self.source.skip(rest).map_err(|source| self.failed(source))?;
        self.position += rest;
        (self.body_left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next block, `None` at the end: a block of zeros or the end of the source.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        if self.finished {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        let at_end = self.source.fill_buf().map(<[u8]>::is_empty);
        if at_end.map_err(|source| self.failed(source))? {
            self.finished = true;
            return Ok(None);
        }
        self.source.read_exact(&mut block).map_err(|source| self.failed(source))?;
        self.position += BLOCK as u64;
        self.finished = block.iter().all(|byte| *byte == 0);
        Ok((!self.finished).then_some(block))
    }

    fn pass_sparse_maps(&mut self) -> Result<(), ArchiveError> {
        loop {
            let mut block = [0; BLOCK];
            self.source.read_exact(&mut block).map_err(|source| self.failed(source))?;
            self.position += BLOCK as u64;
            if block[504] != 1 {
                return Ok(());
            }
        }
    }

    fn bad_header(&self, offset: u64, reason: &'static str) -> ArchiveError {
        ArchiveError::Header { offset, after: self.last.clone(), reason }
    }

    fn failed(&self, source: io::Error) -> ArchiveError {
        let after = self.last.clone();
        if source.kind() == io::ErrorKind::UnexpectedEof {
            ArchiveError::Truncated { after }
        } else {
            ArchiveError::Read { after, source }
        }
    }
}

/// The content of one entry.
#[derive(Debug)]
pub struct Body<'a, S> {
    source: &'a mut S,
    left: &'a mut u64,
    position: &'a mut u64,
    total: u64,
}

impl<S: ByteSource> Body<'_, S> {
    /// Bytes left when the body was taken.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.total
    }

    fn advance(&mut self, count: u64) {
        *self.left -= count;
        *self.position += count;
    }
}

impl<S: ByteSource> Read for Body<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<S: ByteSource> BufRead for Body<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if *self.left == 0 {
            return Ok(&[]);
        }
        let available = self.source.fill_buf()?;
        if available.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = usize::try_from(*self.left).map_or(available.len(), |left| left.min(available.len()));
        Ok(&available[..count])
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.advance(count as u64);
    }
}

impl<S: ByteSource> ByteSource for Body<'_, S> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if count > *self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.skip(count)?;
        self.advance(count);
        Ok(())
    }
}
