//! `bun.lockb`, the binary lock of Bun before 1.2: as much of it as names and versions need.
//!
//! Nobody specifies it. Format 2, which Bun 0.6 to 1.1 write, is read as files that they wrote show it: behind the line that
//! names the format its number, a checksum, and the table of packages column by column; then arrays, the last of which has
//! the texts.

use super::super::{Cataloger, Findings, ParseError, SourceFile};
use super::{found, is_lock, sort};

/// `bun.lockb`.
pub(in crate::cataloger) const LOCK: Cataloger =
    Cataloger { name: "bun-lockb", wants: |path| is_lock(path, "bun.lockb"), parse, is_database: true };

const MAGIC: &[u8] = b"#!/usr/bin/env bun\nbun-lockfile-format-v0\n";
/// The only format that is read.
const FORMAT: u32 = 2;
/// Bytes of the checksum behind the number of the format.
const CHECKSUM: usize = 32;
/// Bytes of a text in a table: itself where it is short, else its place among the texts.
const TEXT: usize = 8;
/// Bytes of the hash of a name.
const HASH: usize = 8;
/// Bytes of what tells where a package comes from: its kind, the address, the version.
const RESOLUTION: usize = 64;
/// The kind of a package that comes from the registry.
const REGISTRY: u8 = 2;
/// Arrays that are looked through for the texts; there are six.
const ARRAYS: usize = 16;
/// How the array with the texts introduces itself.
const TEXTS: &[u8] = b"\n<u8> 1 sizeof";
/// What to do about a file that is not read.
const MEND: &str = "'bun install --save-text-lockfile' writes bun.lock, which is read in its place";

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock = Lock::open(file.bytes)?;
    let mut unread = 0usize;
    for index in (0..lock.count).filter(|index| lock.is_from_registry(*index)) {
        match lock.package(index) {
            Some((name, version)) => found(file, findings, name, &version),
            None => unread += 1,
        }
    }
    sort(findings);
    if unread > 0 {
        let count = lock.count;
        findings.problems.push(format!("{unread} of the {count} packages in Bun's binary lock cannot be read; {MEND}"));
    }
    Ok(())
}

/// The parts of a file.
struct Lock<'a> {
    /// A text for each package.
    names: &'a [u8],
    /// Where each package comes from.
    resolutions: &'a [u8],
    /// The texts that are too long for their place.
    texts: &'a [u8],
    count: usize,
}

impl<'a> Lock<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let damaged = || ParseError(format!("it is no Bun lock, or one that is damaged; {MEND}"));
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let format = rest.first_chunk().copied().map(u32::from_le_bytes).ok_or_else(damaged)?;
        if format != FORMAT {
            return Err(ParseError(format!(
                "it is Bun's binary lock in format {format}, of which only {FORMAT} is read; {MEND}"
            )));
        }
        Self::parts(bytes).ok_or_else(damaged)
    }

    fn parts(bytes: &'a [u8]) -> Option<Self> {
        // The end of all, the count of packages, the alignment and the number of columns, then where the columns are.
        let head = MAGIC.len() + size_of::<u32>() + CHECKSUM;
        let [count, begin, end] = [1, 4, 5].map(|field| offset(bytes, head + 8 * field));
        let (count, begin, end) = (count?, begin?, end?);
        let columns = bytes.get(begin..end)?;
        let (names, rest) = columns.split_at_checked(count.checked_mul(TEXT)?)?;
        let rest = rest.get(count.checked_mul(HASH)?..)?;
        let resolutions = rest.get(..count.checked_mul(RESOLUTION)?)?;
        Some(Self { names, resolutions, texts: texts(bytes, end)?, count })
    }

    /// Whether a package is one of the registry, not a folder, a workspace, an archive or a repository.
    fn is_from_registry(&self, index: usize) -> bool {
        self.resolutions.get(index * RESOLUTION) == Some(&REGISTRY)
    }

    /// Name and version of a package of the registry.
    fn package(&self, index: usize) -> Option<(&str, String)> {
        let resolution = self.resolutions.get(index * RESOLUTION..)?.first_chunk::<RESOLUTION>()?;
        let name = self.text(self.names.get(index * TEXT..)?)?;
        let number = |at: usize| resolution[at..].first_chunk().copied().map(u32::from_le_bytes);
        let mut version = format!("{}.{}.{}", number(16)?, number(20)?, number(24)?);
        let before_release = self.text(&resolution[32..])?;
        if !before_release.is_empty() {
            version.push('-');
            version.push_str(before_release);
        }
        Some((name, version))
    }

    /// Up to eight bytes of text, or with the highest bit set the place and length of a longer one.
    fn text<'t>(&'t self, place: &'t [u8]) -> Option<&'t str> {
        let place = place.first_chunk::<TEXT>()?;
        let bytes = if place[TEXT - 1] & 0x80 == 0 {
            place.split(|byte| *byte == 0).next()?
        } else {
            let at = u32::from_le_bytes(*place.first_chunk()?) as usize;
            let length = (u32::from_le_bytes(*place.last_chunk()?) & 0x7fff_ffff) as usize;
            self.texts.get(at..)?.get(..length)?
        };
        std::str::from_utf8(bytes).ok()
    }
}

/// The array with the texts: each begins with where its content begins and ends, and the next one is behind it.
fn texts(bytes: &[u8], first: usize) -> Option<&[u8]> {
    let mut place = first;
    for _ in 0..ARRAYS {
        let (begin, end) = (offset(bytes, place)?, offset(bytes, place.checked_add(8)?)?);
        let introduction = bytes.get(place.checked_add(16)?..begin)?;
        if introduction.starts_with(TEXTS) {
            return bytes.get(begin..end);
        }
        place = end;
    }
    None
}

fn offset(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REAL: [&[u8]; 2] = [
        include_bytes!("../../../tests/recorded/bun-0.6/bun.lockb"),
        include_bytes!("../../../tests/recorded/bun-1.1/bun.lockb"),
    ];

    fn read(bytes: &[u8]) -> (Findings, Result<(), ParseError>) {
        let mut findings = Findings::default();
        let parsed = parse(&SourceFile { path: "app/bun.lockb", bytes }, &mut findings);
        (findings, parsed)
    }

    fn refused(bytes: &[u8]) -> String {
        read(bytes).1.unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_read_says_how_to_mend_it() {
        let mut newer = REAL[1].to_vec();
        newer[MAGIC.len()] = 3;
        assert_eq!(
            refused(&newer),
            "it is Bun's binary lock in format 3, of which only 2 is read; \
             'bun install --save-text-lockfile' writes bun.lock, which is read in its place"
        );
        for damaged in [&b""[..], MAGIC, &REAL[1][..100], &REAL[1][..5000]] {
            let error = refused(damaged);
            assert!(error.contains("damaged") && error.ends_with(MEND), "{error}");
        }
    }

    #[test]
    fn packages_with_a_damaged_name_are_counted() {
        let mut bytes = REAL[1].to_vec();
        // The first name that is not in its place leads far behind the texts.
        let begin = offset(&bytes, MAGIC.len() + 4 + CHECKSUM + 32).unwrap();
        let long = (0..22).map(|index| begin + 8 * index).find(|at| bytes[at + 7] & 0x80 != 0).unwrap();
        bytes[long..long + 4].fill(0xff);
        let (found, parsed) = read(&bytes);
        parsed.unwrap();
        assert!(found.problems[0].starts_with("1 of the 22 packages"), "{:?}", found.problems);
        assert_eq!(found.packages.len(), read(REAL[1]).0.packages.len() - 1);
    }

    #[test]
    fn an_absurd_count_or_place_reserves_nothing() {
        for at in (MAGIC.len() + 4 + CHECKSUM..MAGIC.len() + 4 + CHECKSUM + 48).step_by(8) {
            let mut bytes = REAL[0].to_vec();
            bytes[at..at + 8].fill(0xff);
            let _ = read(&bytes);
        }
    }

    proptest! {
        #[test]
        fn no_damage_panics(
            which in 0usize..2,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = REAL[which].to_vec();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = read(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            let _ = read(&bytes);
        }
    }
}
