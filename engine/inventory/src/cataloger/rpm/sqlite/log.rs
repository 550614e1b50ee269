//! The write-ahead log beside a database (sqlite.org, "WAL-mode File Format"): pages that are newer than those in the file.

use std::collections::HashMap;

use super::super::database::be_u32;

const HEADER: usize = 32;
/// Bytes of a header that its checksum is of; the checksum is behind them.
const SUMMED: usize = 24;
const FRAME_HEADER: usize = 24;
/// Without its lowest bit, which tells the order of bytes in what is summed up.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// The newest page of each number up to the last commit in a log.
#[derive(Debug, Default)]
pub(in crate::cataloger::rpm) struct Log<'a> {
    page_size: usize,
    pages: HashMap<u32, &'a [u8]>,
    /// Pages of the database since the last commit.
    page_count: usize,
}

impl<'a> Log<'a> {
    /// Reads a log. As SQLite does, it leaves out everything from the first frame on that is not whole, is of another
    /// generation or has a wrong checksum, and what is not committed before that. `None` when it has no sound header.
    pub(in crate::cataloger::rpm) fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER>()?;
        let magic = be_u32(header, 0)?;
        let page_size = be_u32(header, 8)? as usize;
        let is_sound = magic & !1 == MAGIC
            && be_u32(header, 4)? == VERSION
            && (512..=1 << 16).contains(&page_size)
            && page_size.is_power_of_two();
        let mut sum = Sum { is_big_endian: magic & 1 == 1, first: 0, second: 0 };
        sum.add(&header[..SUMMED]);
        if !is_sound || !sum.is(&header[SUMMED..]) {
            return None;
        }
        let salts = &header[16..SUMMED];
        let mut log = Self { page_size, ..Self::default() };
        let mut uncommitted = Vec::new();
        for frame in bytes[HEADER..].chunks_exact(FRAME_HEADER + page_size) {
            let (head, page) = frame.split_at(FRAME_HEADER);
            let (number, page_count) = (be_u32(head, 0)?, be_u32(head, 4)?);
            sum.add(&head[..8]);
            sum.add(page);
            if number == 0 || head[8..16] != *salts || !sum.is(&head[16..]) {
                break;
            }
            uncommitted.push((number, page));
            if page_count > 0 {
                log.pages.extend(uncommitted.drain(..));
                log.page_count = page_count as usize;
            }
        }
        Some(log)
    }

    /// The newest content of a page, if it is not that in the file.
    pub(super) fn page(&self, number: u32) -> Option<&'a [u8]> {
        self.pages.get(&number).copied()
    }

    /// Whether its pages can be those of a database with pages of this size.
    pub(super) fn fits(&self, page_size: usize) -> bool {
        self.pages.is_empty() || self.page_size == page_size
    }

    /// Pages of a database that has so many in its file. Each is there or here, whatever the log says.
    pub(super) fn page_count(&self, in_file: usize) -> usize {
        if self.pages.is_empty() { in_file } else { self.page_count.min(in_file + self.pages.len()) }
    }

    /// Bytes of its pages.
    pub(super) fn size(&self) -> usize {
        self.pages.len() * self.page_size
    }
}

/// The checksum of everything in a log so far.
struct Sum {
    is_big_endian: bool,
    first: u32,
    second: u32,
}

impl Sum {
    /// Goes on over a multiple of eight bytes.
    fn add(&mut self, bytes: &[u8]) {
        let word = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        for [a, b, c, d, e, f, g, h] in bytes.as_chunks::<8>().0 {
            self.first = self.first.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(self.second);
            self.second = self.second.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(self.first);
        }
    }

    /// Whether it is the one that is stored here.
    fn is(&self, stored: &[u8]) -> bool {
        be_u32(stored, 0) == Some(self.first) && be_u32(stored, 4) == Some(self.second)
    }
}
