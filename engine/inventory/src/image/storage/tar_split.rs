//! The bytes a layer was unpacked from, put together again: what `tar-split` wrote down of its headers and padding,
//! and the files where they lie unpacked.
//!
//! One JSON object a line, in the order of the archive: `{"type":2,"payload":"..."}` is bytes in base64,
//! `{"type":1,"name":"etc/passwd","size":123}` stands for the content of that file. Nothing here is believed: who reads the
//! layer checks its digest.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use serde::Deserialize;

/// Bytes of a line: a segment holds headers between two files, some kB.
const MAX_LINE: u64 = 8 << 20;
const FILE: u8 = 1;
const SEGMENT: u8 = 2;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    name: Option<String>,
    /// A name that is not UTF-8, in base64.
    #[serde(default)]
    name_raw: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    payload: Option<String>,
}

/// An archive, read from its first to its last byte.
pub(super) struct TarSplit {
    lines: BufReader<MultiGzDecoder<File>>,
    root: OwnedFd,
    line: Vec<u8>,
    part: Part,
}

enum Part {
    Bytes { bytes: Vec<u8>, at: usize },
    File { file: io::Take<File>, name: String },
}

impl TarSplit {
    /// Of the list at `list` and the folder `root` with the files.
    pub(super) fn open(list: &Path, root: &Path) -> io::Result<Self> {
        let lines = BufReader::new(MultiGzDecoder::new(File::open(list)?));
        let root = openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { lines, root, line: Vec::new(), part: Part::Bytes { bytes: Vec::new(), at: 0 } })
    }

    /// The next line becomes the part at hand; whether there was one.
    fn next(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(false);
        }
        let line: Line = serde_json::from_slice(&self.line).map_err(|error| bad(format!("a line of it: {error}")))?;
        self.part = match (line.kind, line.size) {
            (SEGMENT, _) => Part::Bytes { bytes: decoded(line.payload.as_deref().unwrap_or_default())?, at: 0 },
            (FILE, Some(size)) if size > 0 => {
                let name = match (line.name_raw, line.name) {
                    (Some(raw), _) => decoded(&raw)?,
                    (None, name) => name.unwrap_or_default().into_bytes(),
                };
                let shown = String::from_utf8_lossy(&name).chars().take(256).collect();
                Part::File { file: self.file(&name, &shown, size)?.take(size), name: shown }
            }
            (FILE, _) => Part::Bytes { bytes: Vec::new(), at: 0 },
            (other, _) => return Err(bad(format!("a line of the unknown type {other}"))),
        };
        Ok(true)
    }

    /// The unpacked file. Links on the way lead wherever they do within the folder, as they did when it was unpacked.
    fn file(&self, name: &[u8], shown: &String, size: u64) -> io::Result<File> {
        let failed = |reason: String| bad(format!("the file '{shown}': {reason}"));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let file = openat2(&self.root, OsStr::from_bytes(name), flags, Mode::empty(), within)
            .map_err(|error| failed(error.to_string()))?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed("it is no file any more".into()));
        }
        if u64::try_from(stat.st_size) != Ok(size) {
            return Err(failed(format!("it has {} bytes and had {size}", stat.st_size)));
        }
        Ok(File::from(file))
    }
}

impl Read for TarSplit {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            let count = match &mut self.part {
                Part::Bytes { bytes, at } => (&bytes[*at..]).read(out).inspect(|count| *at += count)?,
                Part::File { file, name } => match file.read(out)? {
                    0 if file.limit() > 0 => return Err(bad(format!("the file '{name}': it became shorter"))),
                    count => count,
                },
            };
            if count > 0 {
                return Ok(count);
            }
            if !self.next()? {
                break;
            }
        }
        Ok(0)
    }
}

fn decoded(text: &str) -> io::Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|error| bad(format!("a line of it: {error}")))
}

fn bad(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("tar-split: {reason}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(lines: &str, folder: &Path) -> io::Result<Vec<u8>> {
        let list = folder.join("list.gz");
        let mut packed = flate2::write::GzEncoder::new(File::create(&list)?, flate2::Compression::fast());
        packed.write_all(lines.as_bytes())?;
        packed.finish()?;
        let mut bytes = Vec::new();
        TarSplit::open(&list, &folder.join("diff"))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("diff/etc")).unwrap();
        std::fs::write(folder.path().join("diff/etc/a"), "content").unwrap();
        std::fs::write(folder.path().join("secret"), "content").unwrap();
        std::os::unix::fs::symlink("../../secret", folder.path().join("diff/etc/out")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("diff/link")).unwrap();
        folder
    }

    #[test]
    fn segments_and_files_follow_each_other() {
        let folder = folder();
        let lines = "{\"type\":2,\"payload\":\"aGVhZA==\",\"position\":0}\n{\"type\":1,\"name\":\"./etc/\",\"payload\":null}\n\
            {\"type\":1,\"name\":\"link/a\",\"size\":7,\"payload\":\"x\"}\n{\"type\":2,\"payload\":\"dGFpbA==\"}\n";
        assert_eq!(read(lines, folder.path()).unwrap(), b"headcontenttail");
    }

    #[test]
    fn what_lies_outside_has_changed_or_is_no_line_is_refused() {
        let folder = folder();
        for (line, says) in [
            (r#"{"type":1,"name":"../secret","size":7}"#, "the file '../secret'"),
            (r#"{"type":1,"name":"etc/out","size":7}"#, "the file 'etc/out'"),
            (r#"{"type":1,"name":"etc/a","size":8}"#, "it has 7 bytes and had 8"),
            (r#"{"type":1,"name":"etc","size":8}"#, "it is no file any more"),
            (r#"{"type":1,"size":8}"#, "the file ''"),
            (r#"{"type":3}"#, "unknown type 3"),
            (r#"{"type":2,"payload":"=!"}"#, "a line of it"),
            ("[", "a line of it"),
        ] {
            let error = read(line, folder.path()).unwrap_err().to_string();
            assert!(error.starts_with("tar-split: ") && error.contains(says), "{line}: {error}");
        }
        let long = format!(r#"{{"type":2,"payload":"{}"}}"#, "A".repeat(9 << 20));
        assert!(read(&long, folder.path()).is_err());
    }
}
