//! Package databases that a container changed, found by a look at the upper layer of its overlay.
//!
//! Package managers write a new file beside the old one and rename it, so that an opening for writing never names the database
//! itself. What is in the upper layer was written by whatever way.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use stella_domain::Timestamp;

use crate::procfs::ProcFs;

/// Every database, with its package manager; paths from the root.
const DATABASES: [(&str, &str); 9] = [
    ("dpkg", "var/lib/dpkg/status"),
    ("apk", "lib/apk/db/installed"),
    ("apk", "usr/lib/apk/db/installed"),
    ("rpm", "var/lib/rpm/rpmdb.sqlite"),
    ("rpm", "var/lib/rpm/Packages.db"),
    ("rpm", "var/lib/rpm/Packages"),
    ("rpm", "usr/lib/sysimage/rpm/rpmdb.sqlite"),
    ("rpm", "usr/lib/sysimage/rpm/Packages.db"),
    ("rpm", "usr/lib/sysimage/rpm/Packages"),
];

/// A database that is not as the image has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedDatabase {
    /// `dpkg`, `apk` or `rpm`.
    pub manager: &'static str,
    /// Absolute path in the container.
    pub path: String,
    /// Its inode in the upper layer; 0 when it is removed.
    pub inode: u64,
    /// Whether it is there no more, or is no file any more.
    pub removed: bool,
}

/// How a database is in the upper layer, where it is not as the image has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has this inode.
    Written(u64),
    /// Something that is no file stands in its place.
    Removed,
    /// A folder above it is one no more.
    FolderRemoved,
}

/// The databases that were changed since `since` in the container of which `pid` is a process; with a removed folder one of a manager's
/// databases alone. None where the root is no overlay or its upper layer cannot be reached.
#[must_use]
pub fn changed(proc: &ProcFs, pid: u32, since: Timestamp) -> Vec<ChangedDatabase> {
    let Some(path) = proc.upper_layer(pid) else { return Vec::new() };
    // The path is that of whoever mounted it: of the host.
    let upper = proc.through_root(1, &path);
    let folder_at = |path: &Path| openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let folder = match folder_at(&upper) {
        // An agent that may not look at the first process is no pod with the rights of the chart: it may run on the host itself.
        Err(Errno::ACCESS) => folder_at(Path::new(&path)),
        found => found,
    };
    let folder = match folder {
        Ok(folder) => folder,
        Err(error) => {
            tracing::debug!(%error, pid, upper = %upper.display(), "an upper layer cannot be reached");
            return Vec::new();
        }
    };
    let open = |path: &str| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What is in it is the container's: a link must not lead out of it.
        openat2(&folder, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS).map(File::from)
    };
    let mut without_folder = BTreeSet::new();
    DATABASES
        .iter()
        .filter_map(|&(manager, path)| {
            let state = state(open(path), since)?;
            // It took all names with it that a database may have, and those that the image never had, too.
            if state == State::FolderRemoved && !without_folder.insert(manager) {
                return None;
            }
            let (inode, removed) = match state {
                State::Written(inode) => (inode, false),
                State::Removed | State::FolderRemoved => (0, true),
            };
            Some(ChangedDatabase { manager, path: format!("/{path}"), inode, removed })
        })
        .collect()
}

/// `None` of what is as the image has it.
fn state(opened: Result<File, Errno>, since: Timestamp) -> Option<State> {
    let file = match opened {
        Ok(file) => file,
        // A folder above it was removed: a whiteout stands in its place.
        Err(Errno::NOTDIR) => return Some(State::FolderRemoved),
        Err(_) => return None,
    };
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() {
        return Some(State::Removed);
    }
    // Opening for writing, or a new owner, brings a file into the upper layer as it is.
    let is_written = metadata.mtime() >= since.as_millis() / 1000;
    is_written.then(|| State::Written(metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// A proc filesystem in which process 7 has an overlay for its root, whose upper layer is `upper` beneath the root of process 1.
    fn node(folder: &Path) -> ProcFs {
        let line = "21 1 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/upper\\040layer,workdir=/w\n";
        fs::create_dir_all(folder.join("7")).unwrap();
        fs::write(folder.join("7/mountinfo"), line).unwrap();
        fs::create_dir_all(folder.join("1/root/upper layer")).unwrap();
        ProcFs::new(folder)
    }

    fn write(folder: &Path, path: &str, age: Duration) {
        let path = folder.join("1/root/upper layer").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    fn found(proc: &ProcFs) -> Vec<(&'static str, String, bool)> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let since = Timestamp::from_millis(i64::try_from(now).unwrap() - 60_000);
        changed(proc, 7, since).into_iter().map(|found| (found.manager, found.path, found.removed)).collect()
    }

    #[test]
    fn what_was_written_since_the_start_is_changed_and_what_was_only_brought_up_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let proc = node(folder.path());
        assert!(found(&proc).is_empty(), "an empty upper layer");
        write(folder.path(), "var/lib/dpkg/status", Duration::ZERO);
        write(folder.path(), "var/lib/dpkg/status-old", Duration::ZERO);
        write(folder.path(), "var/lib/rpm/rpmdb.sqlite", Duration::from_secs(86_400));
        assert_eq!(found(&proc), [("dpkg", "/var/lib/dpkg/status".to_owned(), false)]);
    }

    #[test]
    fn what_is_no_file_any_more_is_removed_and_a_link_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let proc = node(folder.path());
        // In place of a folder, as a whiteout stands there.
        write(folder.path(), "usr/lib/apk", Duration::ZERO);
        let upper = folder.path().join("1/root/upper layer");
        fs::create_dir_all(upper.join("var/lib/dpkg")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", upper.join("var/lib/dpkg/status")).unwrap();
        std::os::unix::fs::symlink("/usr/lib", upper.join("lib")).unwrap();
        let removed = |manager, path: &str| (manager, path.to_owned(), true);
        assert_eq!(
            found(&proc),
            [removed("dpkg", "/var/lib/dpkg/status"), removed("apk", "/usr/lib/apk/db/installed")]
        );
    }

    #[test]
    fn a_removed_folder_is_told_once_however_many_databases_it_may_have_had() {
        let folder = tempfile::tempdir().unwrap();
        let proc = node(folder.path());
        let removed = |path: &str| ("rpm", path.to_owned(), true);
        for path in ["var/lib/rpm", "usr/lib/sysimage/rpm"] {
            write(folder.path(), path, Duration::ZERO);
            assert_eq!(found(&proc), [removed("/var/lib/rpm/rpmdb.sqlite")]);
        }
        // Of two databases that were removed from a folder which is there both are told.
        let rpm = folder.path().join("1/root/upper layer/var/lib/rpm");
        fs::remove_file(&rpm).unwrap();
        fs::create_dir_all(rpm.join("Packages")).unwrap();
        fs::create_dir(rpm.join("rpmdb.sqlite")).unwrap();
        let both = ["/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/rpmdb.sqlite"];
        assert_eq!(found(&proc), both.map(removed));
    }

    #[test]
    fn a_root_that_is_no_overlay_or_cannot_be_reached_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let proc = node(folder.path());
        write(folder.path(), "var/lib/dpkg/status", Duration::ZERO);
        fs::remove_dir_all(folder.path().join("1")).unwrap();
        assert!(found(&proc).is_empty());
        fs::write(folder.path().join("7/mountinfo"), "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n").unwrap();
        assert!(found(&proc).is_empty());
    }
}
