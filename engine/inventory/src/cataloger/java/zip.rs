//! As much of ZIP as it takes to list an archive and to read single entries (PKWARE APPNOTE 6.3.10).
//!
//! The central directory at the end is what counts, as it does for Java. Nothing is allocated for a size that an
//! archive merely claims.

use std::borrow::Cow;

use crate::cataloger::unpacking::{Allowance, UnpackError};

const END: &[u8; 4] = b"PK\x05\x06";
const END_64: &[u8; 4] = b"PK\x06\x06";
const END_64_LOCATOR: &[u8; 4] = b"PK\x06\x07";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const LOCAL: &[u8; 4] = b"PK\x03\x04";
const END_SIZE: usize = 22;
const LOCATOR_SIZE: usize = 20;
const CENTRAL_SIZE: usize = 46;
const LOCAL_SIZE: usize = 30;
/// A comment of up to 65,535 bytes may follow the end record.
const MAX_COMMENT: usize = 65_535;
const ENCRYPTED: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// In place of a value that lies in the 64-bit record.
const ELSEWHERE: u64 = 0xffff_ffff;

/// Why an archive or an entry cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ZipError {
    #[error("it is no ZIP archive or its end is missing")]
    NoEnd,
    #[error("its directory lies outside of it")]
    Directory,
    #[error("its directory is damaged at byte {at}")]
    Record { at: usize },
    #[error("it has more than {max} entries")]
    TooManyEntries { max: usize },
    #[error("the entry '{name}' lies outside of the archive")]
    Outside { name: String },
    #[error("the entry '{name}' is encrypted")]
    Encrypted { name: String },
    #[error("the entry '{name}' is compressed by method {method}")]
    Method { name: String, method: u16 },
    #[error("the entry '{name}' claims {size} bytes, more than the limit of {max}")]
    TooLarge { name: String, size: u64, max: u64 },
    #[error("the entry '{name}' unpacks to other than the {size} bytes it claims")]
    Size { name: String, size: u64 },
    #[error("the entry '{name}' cannot be unpacked: {reason}")]
    Deflate { name: String, reason: String },
    #[error("more than {max} bytes would have to be unpacked")]
    Total { max: u64 },
}

/// An entry as the central directory lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ZipEntry<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    packed: u64,
    size: u64,
    offset: u64,
}

impl<'a> ZipEntry<'a> {
    /// Its name; what is not UTF-8 is replaced.
    pub(super) fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name)
    }

    /// Bytes that it claims to unpack to.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Its content, taken off the allowance. What is stored is not copied.
    pub(super) fn read(&self, archive: &'a [u8], left: &mut Allowance) -> Result<Cow<'a, [u8]>, ZipError> {
        let name = || self.name().into_owned();
        if self.flags & ENCRYPTED != 0 {
            return Err(ZipError::Encrypted { name: name() });
        }
        let packed = self.packed_bytes(archive).ok_or_else(|| ZipError::Outside { name: name() })?;
        match self.method {
            STORED if self.size == self.packed => Ok(Cow::Borrowed(packed)),
            STORED => Err(ZipError::Size { name: name(), size: self.size }),
            DEFLATED => self.inflate(packed, left).map(Cow::Owned),
            method => Err(ZipError::Method { name: name(), method }),
        }
    }

    fn packed_bytes(&self, archive: &'a [u8]) -> Option<&'a [u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let header = archive.get(start..)?.get(..LOCAL_SIZE)?;
        if !header.starts_with(LOCAL) {
            return None;
        }
        let data = start + LOCAL_SIZE + usize::from(short(header, 26)?) + usize::from(short(header, 28)?);
        archive.get(data..)?.get(..usize::try_from(self.packed).ok()?)
    }

    fn inflate(&self, packed: &[u8], left: &mut Allowance) -> Result<Vec<u8>, ZipError> {
        let max = left.limits().max_archive_entry_bytes;
        left.read(flate2::read::DeflateDecoder::new(packed), self.size, max).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: UnpackError) -> ZipError {
        let name = self.name().into_owned();
        match error {
            UnpackError::TooLarge { size, max } => ZipError::TooLarge { name, size, max },
            UnpackError::Total { max } => ZipError::Total { max },
            UnpackError::Damaged { reason } => ZipError::Deflate { name, reason },
            UnpackError::Size { size } => ZipError::Size { name, size },
        }
    }
}

/// The entries of an archive in the order of its directory. Bytes before the archive, such as a start script, are
/// passed over.
pub(super) fn entries<'a>(archive: &'a [u8], left: &mut Allowance) -> Result<Vec<ZipEntry<'a>>, ZipError> {
    let (start, end, base) = directory(archive)?;
    let mut entries = Vec::new();
    let mut at = start;
    while at < end {
        let (entry, size) = central_entry(&archive[at..end], base).ok_or(ZipError::Record { at })?;
        left.entry().map_err(|max| ZipError::TooManyEntries { max })?;
        entries.push(entry);
        at += size;
    }
    Ok(entries)
}

/// Where the central directory starts and ends, and how many bytes precede the archive.
fn directory(archive: &[u8]) -> Result<(usize, usize, u64), ZipError> {
    let from = archive.len().saturating_sub(END_SIZE + MAX_COMMENT);
    let tail = &archive[from..];
    let found = memchr::memmem::rfind_iter(tail, END).find(|at| {
        let comment = short(tail, at + 20).map(usize::from);
        comment.is_some_and(|comment| at + END_SIZE + comment <= tail.len())
    });
    let at = from + found.ok_or(ZipError::NoEnd)?;
    let record = &archive[at..];
    let (mut size, mut offset) = (word(record, 12).unwrap_or(0), word(record, 16).unwrap_or(0));
    let mut end = at;
    if let Some(at_64) = end_64(archive, at) {
        (size, offset) = (long(archive, at_64 + 40).unwrap_or(0), long(archive, at_64 + 48).unwrap_or(0));
        end = at_64;
    } else if size == ELSEWHERE || offset == ELSEWHERE {
        return Err(ZipError::NoEnd);
    }
    let start = (end as u64).checked_sub(size).ok_or(ZipError::Directory)?;
    let base = start.checked_sub(offset).ok_or(ZipError::Directory)?;
    Ok((usize::try_from(start).map_err(|_| ZipError::Directory)?, end, base))
}

/// Where the 64-bit end record lies, when there is one in front of its locator.
fn end_64(archive: &[u8], end: usize) -> Option<usize> {
    let locator = end.checked_sub(LOCATOR_SIZE)?;
    if !archive[locator..].starts_with(END_64_LOCATOR) {
        return None;
    }
    // The record has 56 bytes and may be longer; it ends where the locator starts.
    let from = locator.saturating_sub(4096);
    let at = from + memchr::memmem::rfind(&archive[from..locator], END_64)?;
    (locator - at >= 56).then_some(at)
}

fn central_entry(bytes: &[u8], base: u64) -> Option<(ZipEntry<'_>, usize)> {
    if !bytes.starts_with(CENTRAL) {
        return None;
    }
    let length = |at| short(bytes, at).map(usize::from);
    let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
    let name_end = CENTRAL_SIZE + name;
    let extra_end = name_end + extra;
    let total = extra_end + comment;
    let (mut packed, mut size, mut offset) = (word(bytes, 20)?, word(bytes, 24)?, word(bytes, 42)?);
    widen(bytes.get(name_end..extra_end)?, [&mut size, &mut packed, &mut offset]);
    let entry = ZipEntry {
        name: bytes.get(CENTRAL_SIZE..name_end)?,
        flags: short(bytes, 8)?,
        method: short(bytes, 10)?,
        packed,
        size,
        offset: offset.checked_add(base)?,
    };
    (total <= bytes.len()).then_some((entry, total))
}

/// Values that do not fit stand in the extra field of the id 1, in this order and only those.
fn widen(mut extra: &[u8], values: [&mut u64; 3]) {
    while let (Some(id), Some(size)) = (short(extra, 0), short(extra, 2)) {
        let Some(body) = extra.get(4..4 + usize::from(size)) else { return };
        if id == 1 {
            let mut at = 0;
            for value in values {
                if *value == ELSEWHERE
                    && let Some(wide) = long(body, at)
                {
                    *value = wide;
                    at += 8;
                }
            }
            return;
        }
        extra = &extra[4 + usize::from(size)..];
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::Limits;

    fn archive(files: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        for (name, content) in files {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn contents(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ZipError> {
        let mut left = Allowance::within(&Limits::default());
        let entries = entries(bytes, &mut left)?;
        entries.iter().map(|e| Ok((e.name().into_owned(), e.read(bytes, &mut left)?.into_owned()))).collect()
    }

    #[test]
    fn entries_are_read_stored_and_deflated_with_a_script_in_front() {
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            let bytes = archive(&[("a", b"one"), ("b/c", &[7; 9000])], method);
            let expected = vec![("a".to_owned(), b"one".to_vec()), ("b/c".to_owned(), vec![7; 9000])];
            assert_eq!(contents(&bytes).unwrap(), expected);
            let started = [b"#!/bin/sh\nexec java -jar $0\n".as_slice(), &bytes].concat();
            assert_eq!(contents(&started).unwrap(), expected);
        }
    }

    #[test]
    fn sizes_that_lie_are_refused() {
        let mut bytes = archive(&[("bomb", &[0; 100_000])], zip::CompressionMethod::Deflated);
        let at = memchr::memmem::find(&bytes, CENTRAL).unwrap();
        bytes[at + 24..at + 28].copy_from_slice(&10u32.to_le_bytes());
        assert_eq!(contents(&bytes), Err(ZipError::Size { name: "bomb".into(), size: 10 }));
        bytes[at + 24..at + 28].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
        assert!(matches!(contents(&bytes), Err(ZipError::TooLarge { .. })));
    }

    #[test]
    fn the_sum_of_what_is_unpacked_is_bounded() {
        let bytes = archive(&[("a", &[0; 1000]), ("b", &[0; 1000])], zip::CompressionMethod::Deflated);
        let limits = Limits { max_archive_entries: 2, max_archive_bytes: 1500, ..Limits::default() };
        let mut left = Allowance::within(&limits);
        let found = entries(&bytes, &mut left).unwrap();
        assert!(found[0].read(&bytes, &mut left).is_ok());
        assert!(matches!(found[1].read(&bytes, &mut left), Err(ZipError::Total { .. })));
        assert!(matches!(entries(&bytes, &mut left), Err(ZipError::TooManyEntries { .. })));
    }

    #[test]
    fn truncated_and_foreign_files_are_refused() {
        let bytes = archive(&[("a", b"one")], zip::CompressionMethod::Stored);
        assert_eq!(contents(&bytes[..bytes.len() - 30]), Err(ZipError::NoEnd));
        assert_eq!(contents(b""), Err(ZipError::NoEnd));
        assert!(contents(&bytes[40..]).is_err());
    }

    proptest! {
        #[test]
        fn no_damage_panics(at in 0usize..400, value: u8, cut in 0usize..400) {
            let mut bytes = archive(&[("a", b"one"), ("META-INF/x", &[3; 300])], zip::CompressionMethod::Deflated);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = contents(&bytes);
            bytes.truncate(cut);
            let _ = contents(&bytes);
        }
    }
}
