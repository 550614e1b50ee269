//! The index of a folder of feeds: found, or built when it is missing or old.
//!
//! ```text
//!   FEEDS/.stella/index-v4-FINGERPRINT.idx      beside the feeds, where that folder can be written
//!   CACHE/index-v4-FINGERPRINT.idx              --cache-dir, $XDG_CACHE_HOME/stella or ~/.cache/stella
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use stella_advisory::feed::{self, FeedError, Feeds};
use stella_advisory::{Index, IndexError, index};

use crate::terminal::{self, Progress};

const PREFIX: &str = "index-v4-";
/// Indexes of former formats are of no use any more.
const ANY_FORMAT: &str = "index-v";
/// Indexes that other feeds may still use, in a folder that is not beside feeds.
const KEPT_FOR_OTHERS: usize = 3;
/// After this long a half-written index has nobody who writes it any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexFileError {
    /// The feeds cannot be read.
    #[error("cannot use the feeds in '{folder}'")]
    Feeds {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        source: FeedError,
    },
    /// The index cannot be built, written or opened.
    #[error("cannot use the index")]
    Index(#[from] IndexError),
}

/// Where the index of the present feeds belongs.
#[derive(Debug)]
pub struct IndexFile {
    feeds: PathBuf,
    name: String,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    spare: usize,
}

impl IndexFile {
    /// Looks at the files of `feeds`, without reading them. With a `cache` the index belongs there and nowhere else.
    ///
    /// # Errors
    /// When the folder cannot be listed or holds no feed.
    pub fn locate(feeds: &Path, cache: Option<&Path>) -> Result<Self, IndexFileError> {
        let fingerprint =
            feed::fingerprint(feeds).map_err(|source| IndexFileError::Feeds { folder: feeds.to_owned(), source })?;
        let name = format!("{PREFIX}{}.idx", &fingerprint.hex()[..16]);
        let shared = |folder: PathBuf| Place { folder, spare: KEPT_FOR_OTHERS };
        let places = match cache {
            Some(folder) => vec![shared(folder.to_owned())],
            None => {
                let beside = Place { folder: feeds.join(".stella"), spare: 0 };
                std::iter::once(beside).chain(user_cache().map(shared)).collect()
            }
        };
        Ok(Self { feeds: feeds.to_owned(), name, places })
    }

    /// Opens the index; builds it first where there is none, or a damaged one. Where no folder can be written it is
    /// built in memory.
    ///
    /// # Errors
    /// When the feeds cannot be read or the index cannot be written.
    pub fn open(&self) -> Result<Index, IndexFileError> {
        for place in &self.places {
            match Index::open(&place.folder.join(&self.name)) {
                Ok(index) => return Ok(index),
                Err(error) => tracing::debug!(%error, "no index here"),
            }
        }
        self.build()
    }

    fn build(&self) -> Result<Index, IndexFileError> {
        let progress = Progress::show("building the index of the feeds");
        let feeds =
            feed::read(&self.feeds).map_err(|source| IndexFileError::Feeds { folder: self.feeds.clone(), source })?;
        let Some(place) = self.places.iter().find(|place| is_writable(&place.folder)) else {
            drop(progress);
            terminal::note("warning: no folder for the index can be written; it is built anew each time (--cache-dir)");
            return Ok(Index::from_bytes(index::build(&feeds)?)?);
        };
        let path = place.folder.join(&self.name);
        index::write(&feeds, &path)?;
        drop(progress);
        tell_set_aside(&feeds);
        remove_older(&place.folder, &path, place.spare);
        Ok(Index::open(&path)?)
    }
}

fn tell_set_aside(feeds: &Feeds) {
    if let Some(first) = feeds.set_aside.first() {
        let count = feeds.set_aside.len();
        terminal::note(format!("warning: {count} advisories could not be read; {}: {}", first.place, first.reason));
    }
}

/// Where this user's caches are.
pub(super) fn user_cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("stella"))
}

/// Tries it: permission bits do not tell of read-only mounts.
fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let tried = fs::create_dir_all(folder).and_then(|()| fs::write(&probe, b"")).and_then(|()| fs::remove_file(&probe));
    tried.is_ok()
}

/// Removes indexes of former feeds but the newest `spare`, and half-written ones that were given up. What cannot be
/// removed stays: it harms nobody.
fn remove_older(folder: &Path, current: &Path, spare: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut older: Vec<(SystemTime, PathBuf)> = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path != current && is_ours(path)) {
        let Ok(changed) = path.metadata().and_then(|meta| meta.modified()) else { continue };
        if path.extension().is_some_and(|extension| extension == "idx") {
            older.push((changed, path));
        } else if changed.elapsed().is_ok_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(path);
        }
    }
    older.sort();
    older.reverse();
    for (_, path) in older.into_iter().skip(spare) {
        let _ = fs::remove_file(path);
    }
}

fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(ANY_FORMAT.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_indexes_go_and_foreign_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["index-v2-a.idx", "index-v4-a.idx", "index-v4-b.idx", "index-v4-c.partial-1", "notes.idx"] {
            fs::write(at(name), b"").unwrap();
        }
        remove_older(folder.path(), &at("index-v4-b.idx"), 0);
        let left = |name: &str| at(name).exists();
        assert!(!left("index-v2-a.idx"), "of a former format");
        assert!(!left("index-v4-a.idx") && left("index-v4-b.idx") && left("notes.idx"));
        assert!(left("index-v4-c.partial-1"), "somebody may be writing it");
    }

    #[test]
    fn a_shared_folder_keeps_some_for_others() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..6 {
            fs::write(folder.path().join(format!("index-v4-{number}.idx")), b"").unwrap();
        }
        remove_older(folder.path(), &folder.path().join("index-v4-5.idx"), KEPT_FOR_OTHERS);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT_FOR_OTHERS + 1);
    }
}
