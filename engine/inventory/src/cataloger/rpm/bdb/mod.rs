//! `Packages`: a hash table of BerkeleyDB (Oracle Berkeley DB, `dbinc/db_page.h`), in the byte order of the machine
//! that wrote it. Its buckets are not followed: every page tells what it is, and each that holds items is read.

use std::borrow::Cow;

use super::database::{Blob, Claims, DatabaseError, Place, Take, Visited};

const FORMAT: &str = "BerkeleyDB";
const HASH_MAGIC: u32 = 0x0006_1561;
const BTREE_MAGIC: u32 = 0x0005_3162;
/// Bytes of a page before its items.
const PAGE_HEADER: usize = 26;
/// Types of pages.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;
/// Types of items.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;

fn error(page: u32, reason: &'static str) -> DatabaseError {
    DatabaseError { format: FORMAT, place: Place::Page(page), reason }
}

/// Hands every header to `take`.
///
/// # Errors
/// [`DatabaseError`] when the file is no hash table of BerkeleyDB.
pub(super) fn read<'a>(bytes: &'a [u8], take: &mut Take<'_, 'a>) -> Result<(), DatabaseError> {
    let file = File::open(bytes)?;
    let pages = bytes.len() / file.page_size;
    if file.u32(bytes, 32).is_some_and(|last| last as usize >= pages) {
        take(Err(error(0, "the file ends before the last page that it names")));
    }
    let mut values = Values { file, visited: Visited::new(pages), claims: Claims::new(bytes.len()) };
    for number in 1..u32::try_from(pages).unwrap_or(u32::MAX) {
        let page = file.page(number)?;
        if matches!(page.kind(), HASH | HASH_UNSORTED) {
            values.of_page(&page, take)?;
        }
    }
    Ok(())
}

/// The table as a sequence of pages.
#[derive(Debug, Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    page_size: usize,
    big_endian: bool,
}

impl<'a> File<'a> {
    /// Reads the page of metadata, which has number 0.
    fn open(bytes: &'a [u8]) -> Result<Self, DatabaseError> {
        let magic = bytes.get(12..).and_then(|rest| rest.first_chunk()).copied();
        let magic = magic.ok_or(error(0, "the file ends within it"))?;
        let big_endian = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (HASH_MAGIC, _) => false,
            (_, HASH_MAGIC) => true,
            (BTREE_MAGIC, _) | (_, BTREE_MAGIC) => return Err(error(0, "it is a tree, not a hash table")),
            _ => return Err(error(0, "it is no BerkeleyDB")),
        };
        let mut file = Self { bytes, page_size: 0, big_endian };
        file.page_size = file.u32(bytes, 20).map_or(0, |size| size as usize);
        if !(512..=1 << 16).contains(&file.page_size) || !file.page_size.is_power_of_two() {
            return Err(error(0, "the size of its pages is none that BerkeleyDB has"));
        }
        if bytes.len() < file.page_size {
            return Err(error(0, "the file ends within it"));
        }
        if bytes[24] != 0 {
            return Err(error(0, "it is encrypted"));
        }
        Ok(file)
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let number = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) })
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let number = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(number) } else { u32::from_le_bytes(number) })
    }

    fn page(self, number: u32) -> Result<Page<'a>, DatabaseError> {
        let start = (number as usize).checked_mul(self.page_size);
        let bytes = start.and_then(|start| self.bytes.get(start..)?.get(..self.page_size));
        Ok(Page { file: self, number, bytes: bytes.ok_or(error(number, "the file ends before it"))? })
    }
}

#[derive(Debug)]
struct Page<'a> {
    file: File<'a>,
    number: u32,
    bytes: &'a [u8],
}

impl<'a> Page<'a> {
    fn kind(&self) -> u8 {
        self.bytes[25]
    }

    fn field(&self, at: usize) -> usize {
        usize::from(self.file.u16(self.bytes, at).unwrap_or(0))
    }

    /// Keys and their values in turn.
    fn item_count(&self) -> usize {
        self.field(20)
    }

    /// An item with its type in front. Items stand from the end of the page towards its middle.
    fn item(&self, index: usize) -> Option<&'a [u8]> {
        let offset = |index: usize| self.file.u16(self.bytes, PAGE_HEADER + 2 * index).map(usize::from);
        let end = if index == 0 { self.bytes.len() } else { offset(index - 1)? };
        self.bytes.get(offset(index)?..end)
    }

    /// The next page of a long value, and what this one holds of it.
    fn overflow(&self) -> Option<(u32, &'a [u8])> {
        let content = self.bytes.get(PAGE_HEADER..)?.get(..self.field(22))?;
        (self.kind() == OVERFLOW).then_some((self.file.u32(self.bytes, 16)?, content))
    }
}

/// Reads values; no page of a long one is met twice, and all together have no more bytes than the file.
struct Values<'a> {
    file: File<'a>,
    visited: Visited,
    claims: Claims,
}

impl<'a> Values<'a> {
    fn of_page(&mut self, page: &Page<'a>, take: &mut Take<'_, 'a>) -> Result<(), DatabaseError> {
        for pair in 0..page.item_count() / 2 {
            self.claims.entry().ok_or(error(page.number, "there are more items than the file can have"))?;
            let (key, value) = (page.item(2 * pair), page.item(2 * pair + 1));
            let (Some([KEY_DATA, key @ ..]), Some(value)) = (key, value) else {
                take(Err(error(page.number, "an item lies outside of it")));
                return Ok(());
            };
            // Under zero it counts the packages there have been.
            if key.iter().any(|byte| *byte != 0) {
                take(self.value(page.number, value));
            }
        }
        Ok(())
    }

    fn value(&mut self, page: u32, item: &'a [u8]) -> Result<Blob<'a>, DatabaseError> {
        let too_much = error(page, "its values have more bytes than the file");
        let bytes = match item {
            [KEY_DATA, value @ ..] => {
                self.claims.bytes(value.len()).ok_or(too_much)?;
                Cow::Borrowed(value)
            }
            [OFF_PAGE, ..] => {
                let (Some(first), Some(length)) = (self.file.u32(item, 4), self.file.u32(item, 8)) else {
                    return Err(error(page, "a value is cut off"));
                };
                self.claims.bytes(length as usize).ok_or(too_much)?;
                Cow::Owned(self.long_value(page, first, length as usize)?)
            }
            _ => return Err(error(page, "a value is of a kind that rpm does not write")),
        };
        Ok(Blob { place: Place::Page(page), bytes })
    }

    fn long_value(&mut self, page: u32, first: u32, length: usize) -> Result<Vec<u8>, DatabaseError> {
        let mut value = Vec::with_capacity(length);
        let (mut from, mut next) = (page, first);
        while value.len() < length {
            if next == 0 || !self.visited.is_first(next) {
                return Err(error(from, "its value leads to a page that does not exist or has been visited"));
            }
            let page = self.file.page(next)?;
            let (after, content) = page.overflow().ok_or(error(next, "it should go on with a value"))?;
            value.extend_from_slice(&content[..content.len().min(length - value.len())]);
            (from, next) = (next, after);
        }
        Ok(value)
    }
}

#[cfg(test)]
pub(super) mod tests;
