//! The header of a package as databases keep it (rpm.org, "RPM Package format", "Header"): an index of tags, then a
//! store of values, all numbers big-endian, without the magic that headers have in package files.

use super::database::{be_u16, be_u32};

/// Tags that are read here (rpm.org, "Tags").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Tag {
    Name = 1000,
    Version = 1001,
    Release = 1002,
    Epoch = 1003,
    License = 1014,
    Arch = 1022,
    OldFileNames = 1027,
    FileStates = 1029,
    FileModes = 1030,
    SourceRpm = 1044,
    DirIndexes = 1116,
    BaseNames = 1117,
    DirNames = 1118,
    ModularityLabel = 5096,
}

const INT16: u32 = 3;
const INT32: u32 = 4;
const CHAR: u32 = 1;
const INT8: u32 = 2;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

const ENTRY: usize = 16;
/// As rpm itself bounds them.
const MAX_ENTRIES: usize = 0xffff;
/// Values of one tag; packages with the most files have some 100,000.
const MAX_VALUES: usize = 1 << 20;

/// Why a header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    /// It is cut off, or claims more than there is.
    #[error("the header claims {entries} tags and {bytes} bytes of values, and has {found} bytes in all")]
    Size {
        /// Tags it claims.
        entries: u32,
        /// Bytes it claims.
        bytes: u32,
        /// Bytes there are.
        found: usize,
    },
    /// A tag's values are not where it says, or not of the kind they must be.
    #[error("the header's tag {0:?} is damaged")]
    Tag(Tag),
}

/// One header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    index: &'a [[u8; ENTRY]],
    store: &'a [u8],
}

/// Values of one tag.
struct Values<'a> {
    kind: u32,
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Header<'a> {
    /// Finds index and store.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let (entries, length) = (be_u32(bytes, 0).unwrap_or(0), be_u32(bytes, 4).unwrap_or(0));
        let size = HeaderError::Size { entries, bytes: length, found: bytes.len() };
        let count = entries as usize;
        if count == 0 || count > MAX_ENTRIES {
            return Err(size);
        }
        let parts = bytes.get(8..).and_then(|rest| {
            let (index, rest) = rest.split_at_checked(count * ENTRY)?;
            Some((index, rest.get(..length as usize)?))
        });
        let (index, store) = parts.ok_or(size)?;
        Ok(Self { index: index.as_chunks().0, store })
    }

    /// What was added to a header later stands behind, and counts.
    fn values(&self, tag: Tag) -> Result<Option<Values<'a>>, HeaderError> {
        let Some(entry) = self.index.iter().rev().find(|entry| be_u32(*entry, 0) == Some(tag as u32)) else {
            return Ok(None);
        };
        let field = |at| be_u32(entry, at).unwrap_or(0);
        let (kind, offset, count) = (field(4), field(8) as usize, field(12) as usize);
        let bytes = self.store.get(offset..).ok_or(HeaderError::Tag(tag))?;
        Ok(Some(Values { kind, count, bytes }))
    }

    /// A text; empty when the tag is absent.
    pub(super) fn text(&self, tag: Tag) -> Result<String, HeaderError> {
        let Some(values) = self.values(tag)? else { return Ok(String::new()) };
        if !matches!(values.kind, STRING | STRING_ARRAY | I18N_STRING) {
            return Err(HeaderError::Tag(tag));
        }
        let end = memchr::memchr(0, values.bytes).ok_or(HeaderError::Tag(tag))?;
        Ok(String::from_utf8_lossy(&values.bytes[..end]).into_owned())
    }

    /// Texts; none when the tag is absent.
    pub(super) fn texts(&self, tag: Tag) -> Result<Vec<&'a [u8]>, HeaderError> {
        let damaged = HeaderError::Tag(tag);
        let Some(values) = self.values(tag)? else { return Ok(Vec::new()) };
        // Each text has a zero byte at its end, so there are at most as many as bytes.
        let most = values.bytes.len().min(MAX_VALUES);
        if !matches!(values.kind, STRING | STRING_ARRAY) || values.count > most {
            return Err(damaged);
        }
        let mut texts = Vec::with_capacity(values.count);
        let mut rest = values.bytes;
        for _ in 0..values.count {
            let end = memchr::memchr(0, rest).ok_or(damaged.clone())?;
            texts.push(&rest[..end]);
            rest = &rest[end + 1..];
        }
        Ok(texts)
    }

    /// Numbers of 8, 16 or 32 bits; none when the tag is absent.
    pub(super) fn numbers(&self, tag: Tag) -> Result<Vec<u32>, HeaderError> {
        let damaged = HeaderError::Tag(tag);
        let Some(values) = self.values(tag)? else { return Ok(Vec::new()) };
        let width = match values.kind {
            CHAR | INT8 => 1,
            INT16 => 2,
            INT32 => 4,
            _ => return Err(damaged),
        };
        if values.count > MAX_VALUES {
            return Err(damaged);
        }
        let length = values.count.checked_mul(width).ok_or(damaged.clone())?;
        let bytes = values.bytes.get(..length).ok_or(damaged)?;
        let number = |piece: &[u8]| match width {
            1 => u32::from(piece[0]),
            2 => u32::from(be_u16(piece, 0).unwrap_or(0)),
            _ => be_u32(piece, 0).unwrap_or(0),
        };
        Ok(bytes.chunks_exact(width).map(number).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of these tags: kind, count and bytes of each.
    pub(in super::super) fn header(tags: &[(Tag, u32, usize, &[u8])]) -> Vec<u8> {
        let (mut index, mut store) = (Vec::new(), Vec::new());
        for (tag, kind, count, bytes) in tags {
            let entry = [*tag as u32, *kind, store.len() as u32, *count as u32];
            index.extend(entry.map(u32::to_be_bytes).concat());
            store.extend_from_slice(bytes);
        }
        [&(tags.len() as u32).to_be_bytes()[..], &(store.len() as u32).to_be_bytes(), &index, &store].concat()
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let sound = header(&[(Tag::Name, STRING, 1, b"a\0")]);
        assert!(Header::parse(&sound).is_ok());
        for cut in 0..sound.len() {
            assert!(matches!(Header::parse(&sound[..cut]), Err(HeaderError::Size { .. })), "{cut}");
        }
        for at in [0, 4] {
            let mut absurd = sound.clone();
            absurd[at] = 0xff;
            assert!(matches!(Header::parse(&absurd), Err(HeaderError::Size { .. })));
        }
    }

    #[test]
    fn absurd_counts_and_offsets_name_the_tag() {
        let damaged = Err(HeaderError::Tag(Tag::BaseNames));
        for (count, bytes) in [(2, &b"a\0"[..]), (usize::MAX, b"a\0"), (1, b"a"), (1, b"")] {
            let bytes = header(&[(Tag::BaseNames, STRING_ARRAY, count, bytes)]);
            assert_eq!(Header::parse(&bytes).unwrap().texts(Tag::BaseNames), damaged, "{count}");
        }
        let bytes = header(&[(Tag::Epoch, INT32, 1 << 30, &[0; 8])]);
        assert_eq!(Header::parse(&bytes).unwrap().numbers(Tag::Epoch), Err(HeaderError::Tag(Tag::Epoch)));
        let mut bytes = header(&[(Tag::Name, STRING, 1, b"a\0")]);
        bytes[16] = 0xff;
        assert_eq!(Header::parse(&bytes).unwrap().text(Tag::Name), Err(HeaderError::Tag(Tag::Name)));
    }

    #[test]
    fn the_last_value_of_a_tag_counts() {
        let bytes = header(&[(Tag::Name, STRING, 1, b"a\0"), (Tag::Name, I18N_STRING, 1, b"b\0c\0")]);
        assert_eq!(Header::parse(&bytes).unwrap().text(Tag::Name).unwrap(), "b");
        assert_eq!(Header::parse(&bytes).unwrap().text(Tag::Arch).unwrap(), "");
    }
}
