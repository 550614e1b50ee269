//! Interpreters that were copied into an image: `node`, `python3.N` and `libpython3.N.so` name their own version.
//!
//! Node keeps the address of its sources in its read-only data, Python the bare text of its version, of which the name
//! of the file tells the beginning. Of a file that is only called `python3`, the tag of the files it compiles tells it: other
//! libraries in it have bare versions that begin with a 3, too.

use std::io;

use memchr::memmem;

use super::compiled::Scan;
use super::{Executable, Findings};
use crate::{Package, PackageKind};

/// In front of the version in the address of Node's sources.
const NODE: &str = "/download/release/v";
/// In front of the minor version in the name of the files that Python compiles (PEP 3147): `cpython-311`.
const TAG: &str = "cpython-3";
/// Letters behind the minor version of Python that tell how it was built (PEP 3149, and `t` of PEP 703).
const ABI_FLAGS: [char; 4] = ['d', 'm', 't', 'u'];
/// Longest version that is believed, and so how far one part of the file overlaps the next.
const LONGEST: usize = 64;
/// Bytes looked at together.
const PART: usize = 64 * 1024;

/// An interpreter by the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interpreter {
    name: &'static str,
    /// What stands in front of the version.
    before: &'static str,
    /// How the version begins.
    start: String,
    /// What stands behind the version.
    after: u8,
}

impl Interpreter {
    /// The interpreter that a file of this path should be.
    pub(super) fn by_name(path: &str) -> Option<Self> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        if is_node(name) {
            return Some(Self::node());
        }
        let python = |start: String| Self { name: "python", before: "", start, after: 0 };
        if matches!(name, "python" | "python3") {
            return Some(python(String::new()));
        }
        minor_of_python(name).map(|minor| python(format!("3.{minor}.")))
    }

    /// Node, under whatever name.
    pub(super) fn node() -> Self {
        Self { name: "node", before: NODE, start: String::new(), after: b'/' }
    }

    /// The interpreter as the whole file tells it, where its name does not tell enough.
    pub(super) fn told_by(self, bytes: &[u8]) -> Option<Self> {
        if !self.is_open() {
            return None;
        }
        let minor = memmem::find_iter(bytes, TAG).find_map(|at| {
            let rest = &bytes[at + TAG.len()..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            std::str::from_utf8(&rest[..digits]).ok().filter(|minor| is_minor(minor))
        })?;
        Some(Self { start: format!("3.{minor}."), ..self })
    }

    /// Whether neither what stands in front of the version nor its beginning is known.
    fn is_open(&self) -> bool {
        self.before.is_empty() && self.start.is_empty()
    }

    /// Reads the rest of the file until the version is met.
    pub(super) fn inspect(&self, path: &str, scan: &mut Scan<'_>) -> io::Result<Executable> {
        if self.is_open() {
            return Ok(Executable::Whole);
        }
        let mark = format!("{}{}", self.before, self.start);
        let finder = memmem::Finder::new(&mark);
        // A byte in front, so that what stands before the first match is known too.
        let mut part: Vec<u8> = vec![0];
        loop {
            let chunk = scan.body.fill_buf()?;
            let is_end = chunk.is_empty();
            let count = chunk.len().min(PART);
            part.extend(&chunk[..count]);
            scan.body.consume(count);
            scan.position += count as u64;
            for at in finder.find_iter(&part).filter(|at| *at > 0) {
                if let Some(version) = self.version(&part, at + self.before.len()) {
                    let package = Package::new(PackageKind::Generic, self.name, version, path);
                    let mut findings = Findings::default();
                    findings.add(Package { files: vec![path.to_owned()], ..package });
                    return Ok(Executable::Understood(findings));
                }
            }
            if is_end {
                return Ok(Executable::Foreign);
            }
            part.drain(..part.len().saturating_sub(mark.len() + LONGEST + 1));
        }
    }

    /// The version at this place, if it is one and ends as it should.
    fn version<'p>(&self, part: &'p [u8], at: usize) -> Option<&'p str> {
        let inner = self.before.is_empty() && part[..at].last().is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'.'));
        let rest = part.get(at..)?;
        let end = memchr::memchr(self.after, &rest[..rest.len().min(LONGEST)])?;
        let version = std::str::from_utf8(&rest[..end]).ok()?;
        let last = version.rsplit('.').next()?;
        let is_version = version.split('.').count() == 3
            && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'))
            && last.starts_with(|character: char| character.is_ascii_digit());
        (is_version && !inner).then_some(version)
    }
}

/// `node`, `nodejs`, and both with a version: `node18`, `node-v18.19.0-linux-x64`.
fn is_node(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("nodejs").or_else(|| name.strip_prefix("node")) else { return false };
    let version = rest.trim_start_matches(['-', '_', 'v']);
    rest.is_empty() || version.starts_with(|character: char| character.is_ascii_digit())
}

/// The 11 of `python3.11`, `python3.11d`, `python3.11.4` and `libpython3.11.so.1.0`.
fn minor_of_python(name: &str) -> Option<&str> {
    let library = name.strip_prefix("lib");
    let rest = library.unwrap_or(name).strip_prefix("python3.")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (minor, behind) = rest.split_at(digits);
    let behind = behind.trim_start_matches(ABI_FLAGS);
    let is_patch = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = match library {
        Some(_) => behind.starts_with(".so"),
        None => behind.is_empty() || behind.strip_prefix('.').is_some_and(is_patch),
    };
    (is_whole && is_minor(minor)).then_some(minor)
}

fn is_minor(text: &str) -> bool {
    !text.is_empty() && text.len() < 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(path: &str, bytes: &[u8]) -> Option<String> {
        let interpreter = Interpreter::by_name(path)?;
        let mut body = bytes;
        match interpreter.inspect(path, &mut Scan { body: &mut body, position: 0 }).unwrap() {
            Executable::Understood(found) => Some(format!("{}@{}", found.packages[0].name, found.packages[0].version)),
            _ => None,
        }
    }

    #[test]
    fn names_of_files() {
        for (path, name) in [
            ("usr/local/bin/node", Some("node")),
            ("usr/bin/python3.11", Some("python")),
            ("usr/lib/libpython3.12.so.1.0", Some("python")),
            ("usr/lib/libpython3.7m.so.1.0", Some("python")),
            ("usr/bin/python3.13t", Some("python")),
            ("usr/bin/python3.11.4", Some("python")),
            ("usr/bin/python3", Some("python")),
            ("usr/bin/python", Some("python")),
            ("usr/bin/node18", Some("node")),
            ("usr/bin/nodejs20", Some("node")),
            ("opt/node-v18.19.0-linux-x64", Some("node")),
            ("usr/bin/python3-config", None),
            ("usr/bin/python3.11-config", None),
            ("usr/bin/python3.11.py", None),
            ("usr/lib/libpython3.11.a", None),
            ("usr/lib/libpython3.so", None),
            ("usr/bin/nodemon", None),
            ("usr/bin/node_exporter", None),
            ("usr/bin/node-gyp", None),
        ] {
            assert_eq!(Interpreter::by_name(path).map(|interpreter| interpreter.name), name, "{path}");
        }
    }

    #[test]
    fn versions_stand_in_the_file() {
        let node = b"x/download/release/vNext/ https://h/download/release/v20.1.0/node-v20.1.0.tar.gz";
        assert_eq!(found("bin/node", node).as_deref(), Some("node@20.1.0"));
        let python = b"13.11.9\x003.11.x\x00/opt/3.11.4/lib\x00prefix/3.11.4\x00";
        assert_eq!(found("bin/python3.11", python).as_deref(), Some("python@3.11.4"));
        assert_eq!(found("bin/python3.12", python), None);
        assert_eq!(found("bin/python3.13", b"\x003.13.0rc1\x00").as_deref(), Some("python@3.13.0rc1"));
    }

    #[test]
    fn a_file_without_a_version_in_its_name_is_held_whole_and_tells_it_by_its_tag() {
        let bytes = b"\x003.45.1\x003.0.13\x00cpython-3%d\x00cpython-312\x00/3.12.9/x\x003.12.4\x00";
        let mut body = &bytes[..];
        let open = Interpreter::by_name("usr/bin/python3").unwrap();
        let seen = open.inspect("usr/bin/python3", &mut Scan { body: &mut body, position: 0 }).unwrap();
        assert!(matches!(seen, Executable::Whole));
        let told = open.told_by(bytes).unwrap();
        let mut body = &bytes[..];
        match told.inspect("usr/bin/python3", &mut Scan { body: &mut body, position: 0 }).unwrap() {
            Executable::Understood(found) => assert_eq!(found.packages[0].version, "3.12.4"),
            other => panic!("{other:?}"),
        }
        assert_eq!(Interpreter::by_name("usr/bin/python3").unwrap().told_by(b"\x003.45.1\x00"), None, "no Python");
        assert_eq!(Interpreter::by_name("usr/bin/python3.12").unwrap().told_by(bytes), None, "its name tells");
    }

    proptest! {
        #[test]
        fn versions_are_found_wherever_they_lie(before in 0usize..200_000) {
            let bytes = [vec![b'.'; before], b"\x003.11.4\x00".to_vec(), vec![1; 100]].concat();
            prop_assert_eq!(found("python3.11", &bytes), Some("python@3.11.4".to_owned()));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = found("python3.1", &[b"3.1.".as_slice(), &bytes].concat());
            let _ = found("node", &[NODE.as_bytes(), &bytes].concat());
        }
    }
}
