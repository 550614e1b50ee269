//! Pages: the file's header, the nodes of a table's tree, and the overflow of long rows.

use super::super::database::{DatabaseError, be_u16, be_u32};
use super::error;
use super::log::Log;
use super::record::varint;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const FILE_HEADER: usize = 100;
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

/// A database file, and the pages that are newer than those in it.
#[derive(Debug)]
pub(super) struct File<'a> {
    bytes: &'a [u8],
    log: Log<'a>,
    page_size: usize,
    /// Bytes of a page without those that extensions reserve at its end.
    usable: usize,
}

impl<'a> File<'a> {
    /// Reads the file's header.
    pub(super) fn open(bytes: &'a [u8], log: Log<'a>) -> Result<Self, DatabaseError> {
        let first = log.page(1).unwrap_or(bytes);
        if !first.starts_with(MAGIC) {
            return Err(error(1, "it does not begin like a SQLite database"));
        }
        let (Some(size), Some(reserved)) = (be_u16(first, 16), first.get(20).filter(|_| first.len() >= FILE_HEADER))
        else {
            return Err(error(1, "the file ends within its header"));
        };
        let page_size = if size == 1 { 1 << 16 } else { usize::from(size) };
        if page_size < 512 || !page_size.is_power_of_two() {
            return Err(error(1, "the size of its pages is none that SQLite has"));
        }
        let usable = page_size - usize::from(*reserved);
        if usable < 480 {
            return Err(error(1, "too many bytes of a page are reserved"));
        }
        if !log.fits(page_size) {
            return Err(error(1, "the log beside the file has pages of another size"));
        }
        Ok(Self { bytes, log, page_size, usable })
    }

    /// Whole pages; the first has number 1.
    pub(super) fn page_count(&self) -> usize {
        self.log.page_count(self.bytes.len() / self.page_size)
    }

    /// Bytes of the file and of what is newer.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.log.size()
    }

    fn page(&self, number: u32) -> Result<&'a [u8], DatabaseError> {
        if let Some(page) = self.log.page(number).and_then(|page| page.get(..self.usable)) {
            return Ok(page);
        }
        let start = (number as usize).checked_sub(1).and_then(|before| before.checked_mul(self.page_size));
        let page = start.and_then(|start| self.bytes.get(start..)?.get(..self.usable));
        page.ok_or(error(number, "the file ends before it"))
    }

    /// The node of a table's tree on page `number`.
    pub(super) fn tree_page(&self, number: u32) -> Result<TreePage<'a>, DatabaseError> {
        let bytes = self.page(number)?;
        let start = if number == 1 { FILE_HEADER } else { 0 };
        let is_leaf = match bytes[start] {
            LEAF => true,
            INTERIOR => false,
            _ => return Err(error(number, "it is no page of a table")),
        };
        let pointers = start + if is_leaf { 8 } else { 12 };
        let cells = usize::from(be_u16(bytes, start + 3).unwrap_or(0));
        let Some(pointers) = bytes.get(pointers..pointers + 2 * cells) else {
            return Err(error(number, "it claims more cells than fit"));
        };
        let right = be_u32(bytes, start + 8).unwrap_or(0);
        Ok(TreePage { number, bytes, pointers, right, is_leaf })
    }

    /// The number of the next overflow page, and the content of this one.
    pub(super) fn overflow_page(&self, number: u32) -> Result<(u32, &'a [u8]), DatabaseError> {
        let (next, content) = self.page(number)?.split_first_chunk().ok_or(error(number, "it is too short"))?;
        Ok((u32::from_be_bytes(*next), content))
    }
}

/// A node of the tree of a table.
#[derive(Debug)]
pub(super) struct TreePage<'a> {
    number: u32,
    bytes: &'a [u8],
    pointers: &'a [u8],
    right: u32,
    /// Whether it holds rows.
    pub(super) is_leaf: bool,
}

/// The number of a page below another one.
#[derive(Debug)]
pub(super) struct Child(pub(super) u32);

/// A row, as much of it as lies on its page.
#[derive(Debug)]
pub(super) struct LeafCell<'a> {
    /// Bytes of the whole row.
    pub(super) length: usize,
    /// Those on this page.
    pub(super) local: &'a [u8],
    /// The page with those that follow.
    pub(super) overflow: Option<u32>,
}

impl<'a> TreePage<'a> {
    fn cells(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let bytes = self.bytes;
        self.pointers
            .as_chunks::<2>()
            .0
            .iter()
            .map(move |pointer| bytes.get(usize::from(u16::from_be_bytes(*pointer))..))
    }

    /// The pages below, from left to right.
    pub(super) fn children(&self) -> impl Iterator<Item = Result<Child, DatabaseError>> {
        let number = self.number;
        let left = self.cells().map(move |cell| {
            let child = cell.and_then(|cell| be_u32(cell, 0));
            child.map(Child).ok_or(error(number, "a cell lies outside of it"))
        });
        left.chain([Ok(Child(self.right))])
    }

    /// The rows on it, in order.
    pub(super) fn leaf_cells(&self) -> impl Iterator<Item = Result<LeafCell<'a>, DatabaseError>> {
        let (number, usable) = (self.number, self.bytes.len());
        self.cells().map(move |cell| {
            let cell = cell.and_then(|cell| leaf_cell(cell, usable));
            cell.ok_or(error(number, "a row is cut off or claims an absurd length"))
        })
    }
}

/// A row that is longer than `usable - 35` bytes keeps a part of itself on overflow pages.
fn leaf_cell(cell: &[u8], usable: usize) -> Option<LeafCell<'_>> {
    let (length, rest) = varint(cell)?;
    let (_rowid, rest) = varint(rest)?;
    let length = usize::try_from(length).ok()?;
    if length <= usable - 35 {
        return Some(LeafCell { length, local: rest.get(..length)?, overflow: None });
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let wanted = least + (length - least) % (usable - 4);
    let (local, rest) = rest.split_at_checked(if wanted <= usable - 35 { wanted } else { least })?;
    Some(LeafCell { length, local, overflow: Some(be_u32(rest, 0)?) })
}
