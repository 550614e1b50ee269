//! Executables in ELF that tell what they were built from: Go's build information, `cargo auditable`'s list, the archive that
//! PyInstaller adds. Interpreters, which their name gives away, only tell what they are.
//!
//! Go's lies in a writable segment and is read as the file passes by. The list of Rust lies anywhere, but the name of
//! its section stands behind all segments, and so does PyInstaller's archive: an executable that has either is held whole, on a
//! second look. A single executable of Node is a copy of `node` that something was put into, under any name: its headers
//! show the first.

use std::io;

use memchr::memmem;

use super::elf::{self, Elf};
use super::interpreter::Interpreter;
use super::{Executable, ExecutableCataloger, Findings, ParseError, SourceFile, golang, pyinstaller, rust};
use crate::archive::ByteSource;
use crate::limits::Limits;

/// Executables of Go and Rust, and interpreters.
pub(super) const COMPILED: ExecutableCataloger = ExecutableCataloger { name: "executable", inspect, parse_whole };

/// Bytes in which the ELF header and the program headers are looked for.
const ELF_START: usize = 4096;
/// Bytes that an executable has at least that could be a copy of `node`: those that take an application have more than 80 MB.
const LEAST_NODE: u64 = 32 << 20;

fn inspect(path: &str, body: &mut dyn ByteSource, size: u64, _: &Limits) -> io::Result<Executable> {
    if size < ELF_START as u64 {
        return Ok(Executable::Foreign);
    }
    let start = body.fill_buf()?;
    if !start.starts_with(&elf::MAGIC[..start.len().min(4)]) {
        return Ok(Executable::Foreign);
    }
    let mut head = vec![0; ELF_START];
    body.read_exact(&mut head)?;
    let parsed = Elf::parse(&head);
    let mut scan = Scan { body, position: ELF_START as u64 };
    if parsed.is_none() && size >= LEAST_NODE && Elf::is_rebuilt(&head) {
        return Interpreter::by_name(path).unwrap_or_else(Interpreter::node).inspect(path, &mut scan);
    }
    let Some(elf) = parsed else { return Ok(Executable::Foreign) };
    if let Some(interpreter) = Interpreter::by_name(path) {
        return Ok(match interpreter.inspect(path, &mut scan)? {
            // Anybody may call a program of his own like that; it has passed by now.
            Executable::Foreign => Executable::Whole,
            known => known,
        });
    }
    match golang::inspect(path, &elf, &mut scan, size)? {
        Executable::Foreign => {}
        known => return Ok(known),
    }
    let end = elf.segments.iter().map(|segment| segment.offset.saturating_add(segment.size)).max().unwrap_or(0);
    scan.skip_to(end.min(size))?;
    let section = format!("{}\0", rust::SECTION);
    let is_telling = scan.contains(&[section.as_bytes(), pyinstaller::MAGIC])?;
    Ok(if is_telling { Executable::Whole } else { Executable::Foreign })
}

fn parse_whole(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    if rust::parse_executable(file, findings)? || pyinstaller::parse(file, findings)? {
        return Ok(());
    }
    let Some(interpreter) = Interpreter::by_name(file.path) else { return parse_rest(file, findings) };
    if let Some(interpreter) = interpreter.told_by(file.bytes) {
        let mut scan = Scan { body: &mut { file.bytes }, position: 0 };
        if let Ok(Executable::Understood(found)) = interpreter.inspect(file.path, &mut scan) {
            *findings = found;
            return Ok(());
        }
    }
    let Some(elf) = Elf::parse(file.bytes) else { return Ok(()) };
    let mut scan = Scan { body: &mut { file.bytes }, position: 0 };
    match golang::inspect(file.path, &elf, &mut scan, file.bytes.len() as u64) {
        Ok(Executable::Understood(found)) => *findings = found,
        Ok(Executable::Whole) => parse_rest(file, findings)?,
        _ => {}
    }
    Ok(())
}

/// Only Go's old build information is left, unless an archive is damaged.
fn parse_rest(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    golang::parse_executable(file, findings).map_err(|error| pyinstaller::damage(file.bytes).unwrap_or(error))
}

/// An executable as it passes by.
pub(super) struct Scan<'b> {
    pub(super) body: &'b mut dyn ByteSource,
    pub(super) position: u64,
}

impl Scan<'_> {
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        let distance = offset.saturating_sub(self.position);
        self.body.skip(distance)?;
        self.position += distance;
        Ok(())
    }

    /// Whether the rest of the file has one of these texts somewhere.
    fn contains(&mut self, texts: &[&[u8]]) -> io::Result<bool> {
        let finders: Vec<_> = texts.iter().map(|text| memmem::Finder::new(*text)).collect();
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0).max(1);
        let mut seam: Vec<u8> = Vec::new();
        loop {
            let chunk = self.body.fill_buf()?;
            if chunk.is_empty() {
                return Ok(false);
            }
            // What starts at the end of one chunk and ends in the next.
            seam.extend(&chunk[..chunk.len().min(longest - 1)]);
            if finders.iter().any(|finder| finder.find(&seam).is_some() || finder.find(chunk).is_some()) {
                return Ok(true);
            }
            if chunk.len() >= longest {
                seam.clear();
                seam.extend(&chunk[chunk.len() + 1 - longest..]);
            } else {
                let surplus = (seam.len() + 1).saturating_sub(longest);
                seam.drain(..surplus);
            }
            let count = chunk.len();
            self.body.consume(count);
            self.position += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// A 64-bit ELF with one segment, then the section `.dep-v0` and its name.
    fn auditable(json: &str) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(json.as_bytes()).unwrap();
        let section = encoder.finish().unwrap();
        let mut file = vec![0u8; 8192];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16] = 2;
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64] = 1;
        file[68] = 4;
        let (data, names) = (file.len() as u64, b"\0.dep-v0\0.shstrtab\0");
        file.extend(&section);
        let end = file.len() as u64;
        file[96..104].copy_from_slice(&end.to_le_bytes());
        let texts = file.len() as u64;
        file.extend(names);
        let table = file.len() as u64;
        for (name, offset, size) in [(0u32, 0, 0), (1, data, section.len() as u64), (9, texts, names.len() as u64)] {
            let mut header = [0u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[24..32].copy_from_slice(&offset.to_le_bytes());
            header[32..40].copy_from_slice(&size.to_le_bytes());
            file.extend(header);
        }
        file[40..48].copy_from_slice(&table.to_le_bytes());
        file[58] = 64;
        file[60] = 3;
        file[62] = 2;
        file
    }

    const LIST: &str = r#"{"packages":[{"name":"app","version":"0.1.0","source":"local","root":true},
        {"name":"serde","version":"1.0.1","source":"crates.io","dependencies":[0]},
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"}]}"#;

    #[test]
    fn auditable_executables_name_their_crates() {
        let file = auditable(LIST);
        let seen = inspect("app", &mut &file[..], file.len() as u64, &Limits::default()).unwrap();
        assert!(matches!(seen, Executable::Whole));
        let mut found = Findings::default();
        parse_whole(&SourceFile { path: "usr/bin/app", bytes: &file }, &mut found).unwrap();
        let shown: Vec<_> = found.packages.iter().map(|p| format!("{}@{} {:?}", p.name, p.version, p.files)).collect();
        assert_eq!(shown, ["serde@1.0.1 [\"usr/bin/app\"]"]);
    }

    #[test]
    fn the_root_crate_is_the_program_and_the_others_are_linked_into_it() {
        // As `cargo auditable install` leaves it: the root comes from the registry, too.
        let file = auditable(
            r#"{"packages":[{"name":"itoa","version":"1.0.14","source":"crates.io"},
            {"name":"tool","version":"2.0.0","source":"crates.io","dependencies":[0],"root":true}]}"#,
        );
        let mut found = Findings::default();
        parse_whole(&SourceFile { path: "usr/bin/tool", bytes: &file }, &mut found).unwrap();
        let shown: Vec<_> = found.packages.iter().map(|package| (&*package.name, package.linked)).collect();
        assert_eq!(shown, [("itoa", true), ("tool", false)]);
    }

    /// What PyInstaller adds lies in a section behind all segments, as the list of Rust does.
    #[test]
    fn programs_that_pyinstaller_made_are_held_whole_and_tell_what_is_in_them() {
        let mut file = auditable("");
        let name = file.windows(8).rposition(|window| window == b".dep-v0\0").unwrap();
        file[name..name + 7].copy_from_slice(b"pydata\0");
        let metadata = b"Name: click\nVersion: 8.1.7\n";
        file.extend(pyinstaller::tests::archive(&[(b'x', "click-8.1.7.dist-info/METADATA", metadata)]));
        let seen = inspect("app", &mut &file[..], file.len() as u64, &Limits::default()).unwrap();
        assert!(matches!(seen, Executable::Whole), "{seen:?}");
        let mut found = Findings::default();
        parse_whole(&SourceFile { path: "usr/bin/app", bytes: &file }, &mut found).unwrap();
        let shown: Vec<_> = found.packages.iter().map(|p| format!("{}@{} {}", p.name, p.version, p.path)).collect();
        assert_eq!(shown, ["click@8.1.7 usr/bin/app"]);
        // The length of the archive, which the record tells behind its magic.
        let record = memmem::rfind(&file, pyinstaller::MAGIC).unwrap();
        file[record + 8..record + 12].fill(0xff);
        let mut found = Findings::default();
        let error = parse_whole(&SourceFile { path: "usr/bin/app", bytes: &file }, &mut found).unwrap_err();
        assert_eq!(error.0, "the archive that PyInstaller put into it is damaged: it does not fit");
    }

    /// An executable of Node whose program headers were moved to make room for those of an application.
    #[test]
    fn single_executables_of_node_tell_its_version_under_any_name() {
        let mut file = vec![0u8; usize::try_from(LEAST_NODE).unwrap()];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16] = 2;
        file[32..40].copy_from_slice(&(20u64 << 20).to_le_bytes());
        file[54] = 56;
        file[56] = 1;
        let text = b"https://nodejs.org/download/release/v20.20.2/node-v20.20.2.tar.gz\0";
        file[21 << 20..][..text.len()].copy_from_slice(text);
        let told = |file: &[u8]| match inspect("srv/tool", &mut &file[..], file.len() as u64, &Limits::default()) {
            Ok(Executable::Understood(found)) => format!("{}@{}", found.packages[0].name, found.packages[0].version),
            other => format!("{other:?}"),
        };
        assert_eq!(told(&file), "node@20.20.2");
        assert_eq!(told(&file[..22 << 20]), "Ok(Foreign)", "too small for one");
        file[21 << 20] = b'x';
        file[(21 << 20) + 19..][..10].fill(b'x');
        assert_eq!(told(&file), "Ok(Foreign)", "of nobody that is known");
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        assert_eq!(told(&file), "Ok(Foreign)", "its headers are where they always are");
    }

    #[test]
    fn bombs_in_the_section_are_refused() {
        let file = auditable(&" ".repeat(20 << 20));
        let error = parse_whole(&SourceFile { path: "app", bytes: &file }, &mut Findings::default()).unwrap_err();
        assert!(error.0.contains("more than"), "{error}");
        let file = auditable(&"[".repeat(100_000));
        assert!(parse_whole(&SourceFile { path: "app", bytes: &file }, &mut Findings::default()).is_err());
    }

    proptest! {
        #[test]
        fn no_damage_panics(at: prop::sample::Index, value: u8, head: bool) {
            let mut file = auditable(LIST);
            let at = if head { at.index(128) } else { 8192 + at.index(file.len() - 8192) };
            file[at] = value;
            let _ = inspect("app", &mut &file[..], file.len() as u64, &Limits::default());
            let _ = parse_whole(&SourceFile { path: "app", bytes: &file }, &mut Findings::default());
        }

        #[test]
        fn texts_are_found_across_chunks(step in 1usize..40, before in 0usize..100) {
            let bytes = [vec![b'x'; before], b".dep-v0\0".to_vec(), vec![b'y'; 9]].concat();
            let mut reader = Chunks(std::io::BufReader::with_capacity(step, &bytes[..]));
            let mut scan = Scan { body: &mut reader, position: 0 };
            prop_assert!(scan.contains(&[b"none", b".dep-v0\0"]).unwrap());
            let mut reader = Chunks(std::io::BufReader::with_capacity(step, &bytes[..before + 7]));
            let mut scan = Scan { body: &mut reader, position: 0 };
            prop_assert!(!scan.contains(&[b"none", b".dep-v0\0"]).unwrap());
        }
    }

    struct Chunks<'a>(std::io::BufReader<&'a [u8]>);

    impl io::Read for Chunks<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out)
        }
    }

    impl io::BufRead for Chunks<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.0.fill_buf()
        }
        fn consume(&mut self, count: usize) {
            self.0.consume(count);
        }
    }

    impl ByteSource for Chunks<'_> {}
}
