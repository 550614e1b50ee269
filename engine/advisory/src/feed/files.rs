//! The documents of a feed's file: the file itself, unpacked if it is packed, or the entries of an archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use zip::ZipArchive;

use super::{FeedError, MAX_DOCUMENTS};

/// Entries that are parsed before they are taken: what waits in memory is what they say, not their bytes.
const BATCH: usize = 4096;

/// Parses each document of a file, on all cores, and takes the results in the order of the file.
pub(super) fn each_document<T: Send>(
    path: &Path,
    limit: u64,
    parse: impl Fn(&[u8]) -> Result<T, String> + Sync,
    mut take: impl FnMut(String, Result<T, String>),
) -> Result<(), FeedError> {
    let io = |source| FeedError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let parse = |content: Result<Vec<u8>, String>| parse(&content?);
    let is = |extension: &str| path.extension().is_some_and(|e| e == extension);
    if !is("zip") {
        let content = if is("gz") {
            read_limited(flate2::read::MultiGzDecoder::new(file), limit)
        } else {
            read_limited(file, limit)
        };
        take(path.display().to_string(), parse(content));
        return Ok(());
    }
    let broken = |reason: String| FeedError::Archive { path: path.to_owned(), reason };
    let length = file.metadata().map_err(io)?.len();
    let archive = ZipArchive::new(Cursor { file: Arc::new(file), length, at: 0 }).map_err(|e| broken(e.to_string()))?;
    if archive.len() > MAX_DOCUMENTS {
        return Err(broken(format!("{} entries, at most {MAX_DOCUMENTS} are read", archive.len())));
    }
    for from in (0..archive.len()).step_by(BATCH) {
        let entries = (from..archive.len().min(from + BATCH)).into_par_iter();
        let parsed: Vec<Option<(String, Result<T, String>)>> = entries
            .map_init(
                || archive.clone(),
                |archive, at| {
                    let entry = match archive.by_index(at) {
                        Ok(entry) => entry,
                        Err(error) => return Some((format!("{}#{at}", path.display()), Err(error.to_string()))),
                    };
                    let place = format!("{}#{}", path.display(), entry.name());
                    entry.name().ends_with(".json").then(|| (place, parse(read_limited(entry, limit))))
                },
            )
            .collect();
        parsed.into_iter().flatten().for_each(|(place, parsed)| take(place, parsed));
    }
    Ok(())
}

fn read_limited(source: impl Read, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(format!("larger than {limit} bytes"));
    }
    Ok(bytes)
}

/// A place in a file that several readers share.
#[derive(Clone)]
struct Cursor {
    file: Arc<File>,
    length: u64,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
