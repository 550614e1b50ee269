//! Programs that PyInstaller made of Python: an executable with an archive in it that has the interpreter, the program and what
//! it needs ("Understanding PyInstaller Hooks" and "Inspecting Executables" call it CArchive; this is the form since version 4).
//!
//! Packages tell their names where their metadata was packed with them (`--copy-metadata`, or a hook that does so); of others
//! there are only modules, which have no versions.

use std::borrow::Cow;

use memchr::memmem;

use super::compiled::Scan;
use super::interpreter::Interpreter;
use super::unpacking::Allowance;
use super::{Executable, Findings, ParseError, SourceFile, python};
use crate::Package;
use crate::limits::Limits;

/// Begins the record that ends an archive. It lies in a section of its own, behind all segments.
pub(super) const MAGIC: &[u8; 8] = b"MEI\x0c\x0b\x0a\x0b\x0e";
/// Bytes of that record: the magic, four numbers, and the name of the interpreter's library.
const RECORD: usize = 88;
/// Bytes of an entry of the table without its name: four numbers, whether it is compressed, and its kind.
const ENTRY: usize = 18;

/// Whether an executable held whole has what ends such an archive.
pub(super) fn is_in(bytes: &[u8]) -> bool {
    memmem::find(bytes, MAGIC).is_some()
}

/// What is said of such an executable whose archive does not fit into it, where it is nothing else.
pub(super) fn damage(bytes: &[u8]) -> Option<ParseError> {
    is_in(bytes).then(|| ParseError("the archive that PyInstaller put into it is damaged: it does not fit".into()))
}

/// Reads the archive of an executable held whole; whether there was one that fits into it.
pub(super) fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<bool, ParseError> {
    let record = memmem::rfind(file.bytes, MAGIC);
    let Some((archive, mut table)) = record.and_then(|at| parts(file.bytes, at)) else { return Ok(false) };
    let mut read =
        Reading { path: file.path, archive, left: Allowance::within(&findings.limits), findings: &mut *findings };
    while !table.is_empty() {
        let Some((entry, rest)) = Entry::read(table) else {
            return Err(ParseError("the table of the archive that PyInstaller put into it is damaged".into()));
        };
        read.entry(&entry);
        table = rest;
    }
    findings.packages.sort_unstable();
    findings.packages.dedup();
    Ok(true)
}

/// The archive that ends with the record at this place, and the table in it.
fn parts(bytes: &[u8], record: usize) -> Option<(&[u8], &[u8])> {
    let numbers = bytes.get(record + MAGIC.len()..)?;
    let (length, table, table_length) = (number(numbers, 0)?, number(numbers, 1)?, number(numbers, 2)?);
    let end = record.checked_add(RECORD)?;
    let archive = bytes.get(end.checked_sub(length)?..end)?;
    Some((archive, archive.get(table..)?.get(..table_length)?))
}

fn number(bytes: &[u8], index: usize) -> Option<usize> {
    Some(u32::from_be_bytes(*bytes.get(4 * index..)?.first_chunk()?) as usize)
}

/// An entry of the table.
struct Entry<'a> {
    name: Cow<'a, str>,
    offset: usize,
    packed: usize,
    size: usize,
    is_packed: bool,
}

impl<'a> Entry<'a> {
    /// The first entry of a table, and the rest of that.
    fn read(table: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (entry, rest) = table.split_at_checked(number(table, 0)?)?;
        let name = entry.get(ENTRY..)?;
        let name = &name[..memchr::memchr(0, name).unwrap_or(name.len())];
        let read = Self {
            name: String::from_utf8_lossy(name),
            offset: number(entry, 1)?,
            packed: number(entry, 2)?,
            size: number(entry, 3)?,
            is_packed: entry[16] != 0,
        };
        Some((read, rest))
    }
}

struct Reading<'r> {
    path: &'r str,
    archive: &'r [u8],
    left: Allowance,
    findings: &'r mut Findings,
}

impl Reading<'_> {
    fn entry(&mut self, entry: &Entry<'_>) {
        let Limits { max_metadata_bytes, max_archive_entry_bytes, .. } = self.findings.limits;
        let within = format!("{}/{}", self.path, entry.name);
        let read = if (python::METADATA.wants)(&within) {
            self.content(entry, max_metadata_bytes).and_then(|content| self.distribution(&within, &content))
        } else if let Some(interpreter) = Interpreter::by_name(&entry.name) {
            self.content(entry, max_archive_entry_bytes).map(|content| self.interpreter(&interpreter, &content))
        } else {
            return;
        };
        if let Err(reason) = read {
            let name: String = entry.name.chars().take(200).collect();
            self.findings.problem(format!("{name}: {reason}"));
        }
    }

    fn distribution(&mut self, path: &str, content: &[u8]) -> Result<(), String> {
        let mut found = Findings::within(&self.findings.limits);
        (python::METADATA.parse)(&SourceFile { path, bytes: content }, &mut found)
            .map_err(|error| error.to_string())?;
        self.take(found);
        Ok(())
    }

    fn interpreter(&mut self, interpreter: &Interpreter, mut content: &[u8]) {
        let mut scan = Scan { body: &mut content, position: 0 };
        if let Ok(Executable::Understood(found)) = interpreter.inspect(self.path, &mut scan) {
            self.take(found);
        }
    }

    /// What was found is a part of the program.
    fn take(&mut self, found: Findings) {
        for package in found.packages {
            let (path, files) = (self.path.to_owned(), vec![self.path.to_owned()]);
            self.findings.add(Package { path, files, linked: true, ..package });
        }
    }

    fn content(&mut self, entry: &Entry<'_>, max: u64) -> Result<Vec<u8>, String> {
        let packed = self.archive.get(entry.offset..).and_then(|rest| rest.get(..entry.packed));
        let packed = packed.ok_or("it lies outside of the archive")?;
        let size = entry.size as u64;
        let read = if entry.is_packed {
            self.left.read(flate2::read::ZlibDecoder::new(packed), size, max)
        } else {
            self.left.read(packed, size, max)
        };
        read.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// An archive as PyInstaller 6 writes it; contents with their kinds and names.
    pub(in crate::cataloger) fn archive(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
        let (mut archive, mut table) = (Vec::new(), Vec::new());
        let be = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
        for (kind, name, content) in entries {
            let packed = zlib(content);
            // Names end with a zero, and entries at multiples of 16.
            let length = (ENTRY + name.len() + 1).next_multiple_of(16);
            let start = table.len();
            table.extend([length, archive.len(), packed.len(), content.len()].map(be).concat());
            table.extend([1, *kind]);
            table.extend(name.as_bytes());
            table.resize(start + length, 0);
            archive.extend(packed);
        }
        let at = archive.len();
        archive.extend(&table);
        let length = archive.len() + RECORD;
        archive.extend(MAGIC);
        archive.extend([length, at, table.len(), 311].map(be).concat());
        archive.extend(b"libpython3.11.so.1.0");
        archive.resize(length, 0);
        archive
    }

    const CLICK: &[u8] = b"Metadata-Version: 2.1\nName: Click\nVersion: 8.1.7\nLicense: BSD-3-Clause\n\nText\n";

    fn program() -> Vec<u8> {
        let archive = archive(&[
            (b's', "tool", b"code"),
            (b'b', "libpython3.11.so.1.0", b"\x7fELF...\x003.11.7\x00"),
            (b'x', "click-8.1.7.dist-info/METADATA", CLICK),
            (b'x', "click-8.1.7.dist-info/RECORD", b"click/__init__.py,,\n"),
        ]);
        [b"\x7fELF and more".to_vec(), archive, b"sections".to_vec()].concat()
    }

    fn read(bytes: &[u8], limits: &Limits) -> (Findings, Result<bool, ParseError>) {
        let mut findings = Findings::within(limits);
        let parsed = parse(&SourceFile { path: "usr/bin/tool", bytes }, &mut findings);
        (findings, parsed)
    }

    #[test]
    fn the_interpreter_and_packages_with_metadata_are_told() {
        let (found, parsed) = read(&program(), &Limits::default());
        assert_eq!(parsed, Ok(true));
        assert_eq!(found.problems, Vec::<String>::new());
        let shown =
            found.packages.iter().map(|p| format!("{} {} {} {:?} {}", p.name, p.version, p.path, p.files, p.linked));
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        assert_eq!(
            shown,
            ["click 8.1.7 usr/bin/tool [\"usr/bin/tool\"] true", "python 3.11.7 usr/bin/tool [\"usr/bin/tool\"] true"]
        );
        assert!(found.packages.iter().all(|package| package.evidence() == super::super::Evidence::Executable));
    }

    #[test]
    fn no_archive_is_none_and_a_damaged_one_is_said() {
        let limits = Limits::default();
        assert_eq!(read(b"\x7fELF", &limits).1, Ok(false));
        assert_eq!(read(&[&MAGIC[..], &[0xff; 80]].concat(), &limits).1, Ok(false));
        let mut damaged = program();
        // The length of the first entry of the table, which the record of the archive tells.
        let record = memmem::rfind(&damaged, MAGIC).unwrap();
        let (length, table) = (number(&damaged[record + 8..], 0).unwrap(), number(&damaged[record + 8..], 1).unwrap());
        let first = record + RECORD - length + table;
        damaged[first..first + 4].fill(0);
        assert!(read(&damaged, &limits).1.unwrap_err().0.contains("is damaged"));
    }

    #[test]
    fn what_is_unpacked_is_bounded() {
        let bomb = archive(&[(b'x', "a-1.dist-info/METADATA", &vec![b' '; 100_000])]);
        for (limits, says) in [
            (Limits { max_metadata_bytes: 50_000, ..Limits::default() }, "more than the limit of 50000"),
            (
                Limits { max_archive_bytes: 50_000, ..Limits::default() },
                "more than 50000 bytes would have to be unpacked",
            ),
        ] {
            let (found, parsed) = read(&bomb, &limits);
            assert_eq!(parsed, Ok(true));
            assert!(found.problems[0].contains(says), "{:?}", found.problems);
        }
        let mut lying = bomb;
        // The size that the only entry claims, in front of whether it is compressed and its kind.
        let at = memmem::find(&lying, &[1, b'x', b'a', b'-']).unwrap() - 4;
        lying[at..at + 4].copy_from_slice(&99_999u32.to_be_bytes());
        let (found, _) = read(&lying, &Limits::default());
        assert!(found.problems[0].contains("is not the 99999 bytes long it claims"), "{:?}", found.problems);
    }

    proptest! {
        #[test]
        fn no_damage_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = program();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = read(&bytes, &Limits::default());
            bytes.truncate(cut.index(bytes.len()));
            let _ = read(&bytes, &Limits::default());
        }
    }
}
