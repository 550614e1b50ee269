//! Identity of a loaded file: hash and build id, read through the root of a process that can see it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Instant;

use object::read::{Object, ReadCache};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use stella_api::runtime::LoadedLibrary;
use stella_domain::{Digest, Hasher};

use crate::metrics::Metrics;
use crate::observation::{FileOrigin, SeenFile};
use crate::procfs::ProcFs;

/// Files larger than this are neither hashed nor parsed.
const MOST_BYTES: u64 = 64 << 20;
/// Results kept.
const MOST_CACHED: usize = 16_384;

/// A file's content, as far as its metadata tells without reading it. The device is left out: a layer that several
/// containers share shows another one in each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Version {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Facts {
    sha256: Option<Digest>,
    build_id: Option<String>,
}

/// Reads and remembers what identifies files.
pub struct LibraryReader {
    proc: ProcFs,
    known: HashMap<Version, Facts>,
    budget: Budget,
    metrics: Arc<Metrics>,
}

impl LibraryReader {
    /// Hashes at most `bytes_per_second`, averaged over half a minute.
    #[must_use]
    pub fn new(proc: ProcFs, bytes_per_second: u64, metrics: Arc<Metrics>) -> Self {
        Self { proc, known: HashMap::new(), budget: Budget::new(bytes_per_second), metrics }
    }

    /// Describes a file as one of `pids` sees it; what cannot be read is left out. Files that were opened only are many and
    /// small, and known by their paths: they are not read.
    pub fn describe(&mut self, seen: SeenFile, pids: &[u32]) -> LoadedLibrary {
        let bare = LoadedLibrary {
            path: seen.path,
            inode: seen.inode,
            sha256: None,
            build_id: None,
            package: None,
            opened: seen.opened,
            from_image: seen.origin == FileOrigin::Image,
        };
        if seen.opened {
            return bare;
        }
        let nameless = matches!(seen.origin, FileOrigin::Memory | FileOrigin::Deleted);
        let opened = pids
            .iter()
            .find_map(|pid| if nameless { self.open_program(*pid, seen.inode) } else { self.open(*pid, &bare.path) });
        let Some((file, version)) = opened else {
            self.unhashed("unreadable");
            return bare;
        };
        let Facts { sha256, build_id } = self.facts(file, version);
        LoadedLibrary { inode: version.inode, sha256, build_id, ..bare }
    }

    /// Opens a regular file beneath a process's root. A link in the container cannot lead out of it.
    fn open(&self, pid: u32, path: &str) -> Option<(File, Version)> {
        let root = self.proc.through_root(pid, "");
        let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let beneath = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let file = File::from(openat2(root, path.trim_start_matches('/'), flags, Mode::empty(), beneath).ok()?);
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let version = Version::of(&metadata);
        Some((file, version))
    }

    /// Opens what a process executes, when it still is that file: it may have no name any more by which to find it.
    fn open_program(&self, pid: u32, inode: u64) -> Option<(File, Version)> {
        let file = File::open(self.proc.program(pid)).ok()?;
        let metadata = file.metadata().ok().filter(|metadata| metadata.is_file() && metadata.ino() == inode)?;
        Some((file, Version::of(&metadata)))
    }

    fn facts(&mut self, mut file: File, version: Version) -> Facts {
        if let Some(facts) = self.known.get(&version) {
            return facts.clone();
        }
        if version.size > MOST_BYTES {
            self.unhashed("too-large");
            return Facts::default();
        }
        if !self.budget.take(version.size) {
            self.unhashed("rate");
            return Facts::default();
        }
        let sha256 = hash(&mut file, version.size);
        if sha256.is_none() {
            self.unhashed("unreadable");
        }
        let facts = Facts { sha256, build_id: build_id(file) };
        if self.known.len() >= MOST_CACHED {
            self.metrics.evictions.with_label_values(&["libraries"]).inc_by(self.known.len() as u64);
            self.known.clear();
        }
        self.known.insert(version, facts.clone());
        facts
    }

    fn unhashed(&self, reason: &str) {
        self.metrics.unhashed.with_label_values(&[reason]).inc();
    }
}

/// The hash of a file of `size` bytes; none when it grows or shrinks meanwhile.
fn hash(file: &mut File, size: u64) -> Option<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    while read <= size {
        match file.read(&mut buffer).ok()? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                read += count as u64;
            }
        }
    }
    (read == size).then(|| hasher.finish())
}

fn build_id(file: File) -> Option<String> {
    let cache = ReadCache::new(file);
    let object = object::File::parse(&cache).ok()?;
    object.build_id().ok()?.filter(|id| id.len() <= 64).map(hex::encode)
}

/// A bucket of bytes that refills with time. It may go into debt once, so that a large file can pass.
#[derive(Debug)]
struct Budget {
    per_second: u64,
    left: i64,
    filled: Instant,
}

impl Budget {
    const SECONDS: u64 = 30;

    fn new(per_second: u64) -> Self {
        let left = i64::try_from(per_second * Self::SECONDS).unwrap_or(i64::MAX);
        Self { per_second, left, filled: Instant::now() }
    }

    fn take(&mut self, bytes: u64) -> bool {
        let now = Instant::now();
        let gained = now.duration_since(self.filled).as_millis() * u128::from(self.per_second) / 1000;
        let most = i64::try_from(self.per_second * Self::SECONDS).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(i64::try_from(gained).unwrap_or(i64::MAX)).min(most);
        self.filled = now;
        if self.left <= 0 {
            return false;
        }
        self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes_per_second: u64) -> LibraryReader {
        LibraryReader::new(ProcFs::new("/proc"), bytes_per_second, Arc::new(Metrics::new()))
    }

    fn seen(path: &str) -> SeenFile {
        SeenFile { path: path.to_owned(), inode: 0, device: 0, opened: false, origin: FileOrigin::Image }
    }

    fn own_program() -> String {
        std::env::current_exe().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn reads_hash_inode_and_build_id() {
        let path = std::fs::canonicalize("/bin/sh").unwrap();
        let found = reader(1 << 30).describe(seen(path.to_str().unwrap()), &[std::process::id()]);
        assert_eq!(found.sha256, Some(Digest::of(std::fs::read(&path).unwrap())));
        assert_eq!(found.inode, std::fs::metadata(&path).unwrap().ino());
        assert!(found.build_id.is_some_and(|id| id.len() == 40), "distributions build with --build-id=sha1");
    }

    #[test]
    fn hashes_once_and_leaves_hashes_out_when_the_budget_is_spent() {
        let mut reader = reader(1);
        let first = reader.describe(seen(&own_program()), &[std::process::id()]);
        assert!(first.sha256.is_some(), "the bucket may go into debt once");
        let again = reader.describe(seen(&own_program()), &[std::process::id()]);
        assert_eq!(again.sha256, first.sha256, "remembered");
        let other = std::fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(reader.describe(seen(other.to_str().unwrap()), &[std::process::id()]).sha256, None);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("liblink.so");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        assert_eq!(reader(1 << 30).describe(seen(link.to_str().unwrap()), &[std::process::id()]).sha256, None);
    }
}
