//! Inventories of images that were read before: of a file for as long as it stays untouched, of a content store for as long as
//! its name leads to the same manifest, whose digest was checked.
//!
//! ```text
//!   CACHE/inventories/KEY.inv      KEY: file (device, inode, size, mtime, ctime) or digest, analyzers, this program, options
//!   sha256 of the rest, 32 bytes | JSON of the inventory
//! ```
//!
//! The time of the last change of an inode (ctime) cannot be set by anybody, so a byte that was written makes another key. Times
//! are coarse, however: what was changed just before it was read is not kept, since a write right after might not show. A write
//! through a shared mapping that was set up before may show late; `--no-cache` reads every byte whatever the file looks like.

use std::fs::{self, File, Metadata};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Hasher};
use stella_inventory::image::ReadOptions;
use stella_inventory::{ANALYZER_VERSION, Inventory};

use super::subject::Subject;

const SUFFIX: &str = "inv";
/// Files that are kept, those that were used last.
const MOST: usize = 64;
/// Bytes that they may have together, and a single one.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// What was changed less long ago than this may be changed again without a trace: file systems exist that count in two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// A folder of inventories.
#[derive(Debug)]
pub struct InventoryCache {
    folder: PathBuf,
}

/// A file as it was when reading began.
#[derive(Debug)]
pub struct Seen {
    identity: Identity,
    at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity([i64; 7]);

#[derive(Serialize, Deserialize)]
struct Kept {
    digest: Digest,
    name: Option<String>,
    inventory: Inventory,
}

impl Identity {
    /// `None` for what is no regular file.
    fn of(metadata: &Metadata) -> Option<Self> {
        let unsigned = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
        metadata.is_file().then(|| {
            Self([
                unsigned(metadata.dev()),
                unsigned(metadata.ino()),
                unsigned(metadata.size()),
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ])
        })
    }

    /// Whether a change after `now` shows for certain.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let latest = self.0[3].max(self.0[5]);
        i64::try_from(now).is_ok_and(|now| latest.saturating_add(SETTLED.as_secs() as i64) <= now)
    }

    /// Names what an inventory was made of and by what.
    fn key(&self) -> String {
        key("file", |hasher| self.feed(hasher))
    }

    fn feed(&self, hasher: &mut Hasher) {
        self.0.iter().for_each(|number| hasher.field(number.to_be_bytes()));
    }
}

/// Names an inventory by what it was made of, which `feed` tells, and by what it was made with.
fn key(kind: &str, feed: impl FnOnce(&mut Hasher)) -> String {
    let mut hasher = Hasher::new();
    hasher.field(kind);
    feed(&mut hasher);
    hasher.field(ANALYZER_VERSION.to_be_bytes());
    hasher.field(env!("CARGO_PKG_VERSION"));
    // Whoever builds this program anew has other analyzers, whatever its version says.
    if let Some(program) = std::env::current_exe().and_then(fs::metadata).ok().as_ref().and_then(Identity::of) {
        program.feed(&mut hasher);
    }
    hasher.field(format!("{:?}", ReadOptions::default()));
    hasher.finish().hex()[..32].to_owned()
}

impl InventoryCache {
    /// The one below `cache`.
    #[must_use]
    pub fn below(cache: &Path) -> Self {
        Self { folder: cache.join("inventories") }
    }

    /// Looks at the file: its inventory where it is kept, and what [`Self::keep`] needs where it is not. `None` for what is no
    /// regular file.
    #[must_use]
    pub fn look(&self, path: &Path) -> Option<(Seen, Option<Subject>)> {
        let seen = Seen { at: SystemTime::now(), identity: Identity::of(&fs::metadata(path).ok()?)? };
        let kept = self.read(&self.place(&seen.identity.key()));
        Some((seen, kept))
    }

    /// The inventory of the image whose manifest has this digest, where it is kept.
    #[must_use]
    pub fn look_for(&self, manifest: Digest) -> Option<Subject> {
        self.read(&self.place(&key_of(manifest))).filter(|kept| kept.digest == manifest)
    }

    /// Keeps the inventory of an image by the digest of its manifest: only of one whose layers were all checked.
    pub fn keep_image(&self, subject: &Subject) {
        self.keep_at(&key_of(subject.digest), subject);
    }

    /// Keeps what was read of a file. A file that was changed meanwhile or just before is not kept, and a folder that cannot be
    /// written keeps nothing: reading again is all that comes of it.
    pub fn keep(&self, path: &Path, seen: &Seen, subject: &Subject) {
        let now = fs::metadata(path).ok().as_ref().and_then(Identity::of);
        if now.as_ref() != Some(&seen.identity) || !seen.identity.is_settled(seen.at) {
            return;
        }
        self.keep_at(&seen.identity.key(), subject);
    }

    fn keep_at(&self, key: &str, subject: &Subject) {
        let kept = KeptRef { digest: &subject.digest, name: subject.name.as_deref(), inventory: &subject.inventory };
        if let Err(error) = serde_json::to_vec(&kept)
            .map_err(std::io::Error::other)
            .and_then(|body| if body.len() as u64 > MOST_BYTES { Ok(()) } else { self.write(&self.place(key), &body) })
        {
            tracing::debug!(%error, folder = %self.folder.display(), "an inventory is not kept");
        }
    }

    fn place(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.{SUFFIX}"))
    }

    /// What a file of the folder holds; what is damaged is removed.
    fn read(&self, place: &Path) -> Option<Subject> {
        let file = File::open(place).ok()?;
        let mut bytes = Vec::new();
        (&file).take(MOST_BYTES + 33).read_to_end(&mut bytes).ok()?;
        let Some(kept) = sound(&bytes) else {
            let _ = fs::remove_file(place);
            return None;
        };
        // What was used last is kept longest.
        let _ = file.set_modified(SystemTime::now());
        Some(Subject { digest: kept.digest, name: kept.name, inventory: kept.inventory })
    }

    fn write(&self, place: &Path, body: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        self.make_room(body.len() as u64)?;
        let partial = place.with_extension(format!("partial-{}", std::process::id()));
        let written =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial).and_then(|mut file| {
                file.write_all(Digest::of(body).as_bytes())?;
                file.write_all(body)
            });
        written.and_then(|()| fs::rename(&partial, place)).inspect_err(|_| {
            let _ = fs::remove_file(&partial);
        })
    }

    /// Removes what was used least recently until there is room for one of `size` bytes.
    fn make_room(&self, size: u64) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            let used = metadata.modified()?;
            let abandoned = used.elapsed().is_ok_and(|age| age > Duration::from_secs(3600));
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(SUFFIX) => files.push((std::cmp::Reverse(used), path, metadata.len())),
                Some(partial) if partial.starts_with("partial-") && abandoned => drop(fs::remove_file(path)),
                _ => {}
            }
        }
        files.sort();
        let (mut count, mut bytes) = (1, size);
        for (_, path, size) in files {
            (count, bytes) = (count + 1, bytes + size);
            if count > MOST || bytes > MOST_BYTES {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

fn key_of(manifest: Digest) -> String {
    key("manifest", |hasher| hasher.field(manifest.as_bytes()))
}

/// What is written, without a copy of it.
#[derive(Serialize)]
struct KeptRef<'a> {
    digest: &'a Digest,
    name: Option<&'a str>,
    inventory: &'a Inventory,
}

fn sound(bytes: &[u8]) -> Option<Kept> {
    let (sum, body) = bytes.split_at_checked(32)?;
    if Digest::of(body).as_bytes()[..] != *sum {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;
    use stella_inventory::Provenance;

    fn subject(name: &str) -> Subject {
        let inventory = Inventory {
            provenance: Provenance::Layers,
            os: None,
            layers: Vec::new(),
            components: Vec::new(),
            problems: Vec::new(),
        };
        Subject { digest: Digest::of(name), name: Some(name.to_owned()), inventory }
    }

    /// A file that was last changed long ago, as far as the cache can tell.
    fn keep(cache: &InventoryCache, path: &Path, subject: &Subject) {
        let (mut seen, kept) = cache.look(path).unwrap();
        assert!(kept.is_none());
        seen.at += Duration::from_secs(10);
        cache.keep(path, &seen, subject);
    }

    fn kept(cache: &InventoryCache, path: &Path) -> Option<Digest> {
        cache.look(path).unwrap().1.map(|subject| subject.digest)
    }

    #[test]
    fn an_untouched_file_is_known_and_a_touched_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = (InventoryCache::below(folder.path()), folder.path().join("image.tar"));
        fs::write(&path, b"the image").unwrap();
        keep(&cache, &path, &subject("a"));
        assert_eq!(kept(&cache, &path), Some(Digest::of("a")));
        let times = fs::metadata(&path).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"T", 0).unwrap();
        file.set_modified(times.modified().unwrap()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mtime_nsec(), times.mtime_nsec());
        assert_eq!(kept(&cache, &path), None, "size and mtime are as before, and yet a byte differs");
    }

    #[test]
    fn what_was_just_written_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = (InventoryCache::below(folder.path()), folder.path().join("image.tar"));
        fs::write(&path, b"the image").unwrap();
        let (seen, _) = cache.look(&path).unwrap();
        cache.keep(&path, &seen, &subject("a"));
        assert_eq!(kept(&cache, &path), None);
        assert!(cache.look(folder.path()).is_none(), "a folder has no single time");
    }

    #[test]
    fn a_damaged_entry_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = (InventoryCache::below(folder.path()), folder.path().join("image.tar"));
        fs::write(&path, b"the image").unwrap();
        keep(&cache, &path, &subject("a"));
        let entry = fs::read_dir(folder.path().join("inventories")).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&entry).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&entry, bytes).unwrap();
        assert_eq!(kept(&cache, &path), None);
        assert!(!entry.exists());
    }

    #[test]
    fn an_image_is_known_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = InventoryCache::below(folder.path());
        assert!(cache.look_for(Digest::of("a")).is_none());
        cache.keep_image(&subject("a"));
        assert_eq!(cache.look_for(Digest::of("a")).map(|known| known.digest), Some(Digest::of("a")));
        assert!(cache.look_for(Digest::of("b")).is_none());
        // What lies under another image's name is not that image's.
        fs::rename(cache.place(&key_of(Digest::of("a"))), cache.place(&key_of(Digest::of("b")))).unwrap();
        assert!(cache.look_for(Digest::of("b")).is_none());
    }

    #[test]
    fn the_folder_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let cache = InventoryCache::below(folder.path());
        for number in 0..MOST + 5 {
            let path = folder.path().join(number.to_string());
            fs::write(&path, b"an image").unwrap();
            keep(&cache, &path, &subject(&number.to_string()));
        }
        assert_eq!(fs::read_dir(folder.path().join("inventories")).unwrap().count(), MOST);
    }
}
