//! Distribution into a folder: `{root}/{tenant}/{date}-{nnnn}/`, visible as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::artifact::ArtifactError;
use crate::name::ArtifactName;
use crate::run_id::RunId;

/// Why a run cannot be put into its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesystemError {
    /// The file system refused.
    #[error("export path '{path}': {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// Something on the way is a link or a file, and could lead out of the tenant's folder.
    #[error("export path '{0}' is no folder of its own")]
    NotAFolder(PathBuf),
    /// A row or the writer of an artifact failed.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The run was distributed before.
    #[error("export path '{0}' exists already")]
    Exists(PathBuf),
}

/// The folder of a run in the making. Its files are complete once [`RunFolder::put`] returns; a restart opens the same folder
/// again and finds them in [`RunFolder::finished`].
#[derive(Debug)]
pub struct RunFolder {
    tenant: PathBuf,
    draft: PathBuf,
    target: PathBuf,
}

impl RunFolder {
    /// Opens the draft of `run` below `root`, which exists; the tenant's own folder is made where it is missing.
    ///
    /// # Errors
    /// When the run is there already, or a folder on the way is a link.
    pub fn open(root: &Path, run: &RunId) -> Result<Self, FilesystemError> {
        let tenant = root.join(run.tenant().as_str());
        let target = tenant.join(run.folder_name());
        let draft = tenant.join(draft_name(run));
        own_folder(&tenant)?;
        if fs::symlink_metadata(&target).is_ok() {
            return Err(FilesystemError::Exists(target));
        }
        own_folder(&draft)?;
        sync_folder(&tenant)?;
        Ok(Self { tenant, draft, target })
    }

    /// Where the run will be.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The artifacts that are complete, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn finished(&self) -> Result<Vec<ArtifactName>, FilesystemError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.draft).map_err(at(&self.draft))? {
            let name = entry.map_err(at(&self.draft))?.file_name();
            // Files in the making begin with a dot, which no artifact's name does.
            names.extend(name.to_str().and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// Writes one file: `write` fills it under another name, then it is synced and renamed. A file of that name is replaced.
    ///
    /// # Errors
    /// The error of `write`, or what the file system refuses; nothing stands under `name` then.
    pub fn put<T, E: From<FilesystemError>>(
        &self,
        name: &ArtifactName,
        write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = self.draft.join(format!(".{name}.new"));
        let mut file = new_file(&path)?;
        let mut out = io::BufWriter::with_capacity(256 * 1024, &mut file);
        let written = write(&mut out)?;
        out.flush().map_err(at(&path))?;
        drop(out);
        file.sync_all().map_err(at(&path))?;
        fs::rename(&path, self.draft.join(name.as_str())).map_err(at(&path))?;
        sync_folder(&self.draft)?;
        Ok(written)
    }

    /// Makes the run visible and returns its folder.
    ///
    /// # Errors
    /// When the file system refuses; the draft then stays.
    pub fn commit(self) -> Result<PathBuf, FilesystemError> {
        remove_unfinished(&self.draft)?;
        sync_folder(&self.draft)?;
        if fs::symlink_metadata(&self.target).is_ok() {
            return Err(FilesystemError::Exists(self.target));
        }
        fs::rename(&self.draft, &self.target).map_err(at(&self.target))?;
        sync_folder(&self.tenant)?;
        Ok(self.target)
    }
}

/// The runs below `root` that have a draft, sorted. Folders that no run is called by are passed over, as are links.
///
/// # Errors
/// When a folder cannot be read.
pub fn drafts(root: &Path) -> Result<Vec<RunId>, FilesystemError> {
    let mut found = Vec::new();
    let tenants = folders(root)?.into_iter().filter(|name| name.parse::<stella_domain::Tenant>().is_ok());
    for tenant in tenants {
        for draft in folders(&root.join(&tenant))? {
            let name = draft.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
            let Some((date, number)) = name.and_then(|name| name.rsplit_once('-')) else { continue };
            found.extend(format!("export-run::{tenant}::{date}::{number}").parse::<RunId>().ok());
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the draft of `run` below `root` with everything in it, which a process that ended has left there. What is finished stays.
///
/// # Errors
/// When the file system refuses, or a folder on the way is a link.
pub fn remove_draft(root: &Path, run: &RunId) -> Result<(), FilesystemError> {
    let tenant = root.join(run.tenant().as_str());
    let draft = tenant.join(draft_name(run));
    for path in [&tenant, &draft] {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(FilesystemError::NotAFolder(path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(path)(error)),
        }
    }
    fs::remove_dir_all(&draft).map_err(at(&draft))?;
    sync_folder(&tenant)
}

fn draft_name(run: &RunId) -> String {
    format!(".{}.partial", run.folder_name())
}

/// The names of the folders in a folder.
fn folders(path: &Path) -> Result<Vec<String>, FilesystemError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(at(path))? {
        let entry = entry.map_err(at(path))?;
        if entry.file_type().map_err(at(path))?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

fn at(path: &Path) -> impl Fn(io::Error) -> FilesystemError + '_ {
    move |error| FilesystemError::Io { path: path.to_owned(), error }
}

/// Makes `path` a folder, or sees that it is one and no link to somewhere else.
fn own_folder(path: &Path) -> Result<(), FilesystemError> {
    match fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path).map_err(at(path))?;
            if metadata.is_dir() { Ok(()) } else { Err(FilesystemError::NotAFolder(path.to_owned())) }
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// A new file; what a killed process left under the name goes first, so that no link of that name is followed.
fn new_file(path: &Path) -> Result<File, FilesystemError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(path)(error)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path).map_err(at(path))
}

fn remove_unfinished(folder: &Path) -> Result<(), FilesystemError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            fs::remove_file(entry.path()).map_err(at(&entry.path()))?;
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> Result<(), FilesystemError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use stella_domain::{Tenant, Timestamp};

    use super::*;
    use crate::artifact::{Target, write_ndjson};
    use crate::manifest::{CHECKSUMS_NAME, MANIFEST_NAME, Manifest};

    fn run() -> RunId {
        RunId::new(Tenant::default(), Timestamp::from_millis(0), 1)
    }

    fn put(folder: &RunFolder, name: &str, bytes: &[u8]) {
        let write = |out: &mut dyn Write| out.write_all(bytes).map_err(|error| at(Path::new(name))(error));
        folder.put::<(), FilesystemError>(&name.parse().unwrap(), write).unwrap();
    }

    #[test]
    fn a_run_appears_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(root.path(), &run()).unwrap();
        put(&folder, "a.ndjson", b"1\n");
        assert!(!folder.target().exists());
        let target = folder.commit().unwrap();
        assert_eq!(target, root.path().join("tenant-default/1970-01-01-0001"));
        assert_eq!(fs::read(target.join("a.ndjson")).unwrap(), b"1\n");
        assert!(matches!(RunFolder::open(root.path(), &run()), Err(FilesystemError::Exists(_))));
    }

    #[test]
    fn a_restart_finds_what_was_finished() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(root.path(), &run()).unwrap();
        put(&folder, "a.ndjson", b"1\n");
        let broken = folder.put(&"b.ndjson".parse().unwrap(), |out| {
            out.write_all(b"half").unwrap();
            Err::<(), _>(FilesystemError::Exists(PathBuf::new()))
        });
        assert!(broken.is_err());
        let again = RunFolder::open(root.path(), &run()).unwrap();
        assert_eq!(again.finished().unwrap(), ["a.ndjson".parse().unwrap()]);
        let target = again.commit().unwrap();
        assert_eq!(fs::read_dir(target).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_place_of_the_tenants_folder_is_refused() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("tenant-default")).unwrap();
        assert!(matches!(RunFolder::open(root.path(), &run()), Err(FilesystemError::NotAFolder(_))));
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_draft_that_was_left_behind_is_found_and_goes_and_nothing_else_does() {
        let root = tempfile::tempdir().unwrap();
        let runs = [1, 2, 3].map(|number| RunId::new(Tenant::default(), Timestamp::from_millis(0), number));
        for run in &runs {
            put(&RunFolder::open(root.path(), run).unwrap(), "a.ndjson", b"1\n");
        }
        RunFolder::open(root.path(), &runs[0]).unwrap().commit().unwrap();
        let tenant = root.path().join("tenant-default");
        fs::write(tenant.join(".1970-01-01-0009.partial"), "no folder").unwrap();
        for name in [".notes.partial", ".1970-01-01-9.partial", "1970-01-01-0008.partial", ".1970-01-01-0007"] {
            fs::create_dir(tenant.join(name)).unwrap();
        }
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(elsewhere.path().join(".1970-01-01-0001.partial")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("tenant-linked")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), tenant.join(".1970-01-01-0006.partial")).unwrap();
        assert_eq!(drafts(root.path()).unwrap(), runs[1..]);

        let before = fs::read_dir(&tenant).unwrap().count();
        // One whose file was being written.
        fs::write(tenant.join(".1970-01-01-0002.partial/.b.ndjson.new"), "half").unwrap();
        remove_draft(root.path(), &runs[1]).unwrap();
        remove_draft(root.path(), &runs[1]).unwrap();
        remove_draft(root.path(), &runs[0]).unwrap();
        assert_eq!(drafts(root.path()).unwrap(), runs[2..]);
        assert_eq!(fs::read_dir(&tenant).unwrap().count(), before - 1);
        assert!(tenant.join("1970-01-01-0001/a.ndjson").is_file(), "what is finished stays");
        for link in ["export-run::tenant-linked::1970-01-01::0001", "export-run::tenant-default::1970-01-01::0006"] {
            let refused = remove_draft(root.path(), &link.parse().unwrap());
            assert!(matches!(refused, Err(FilesystemError::NotAFolder(_))), "{link}: {refused:?}");
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }

    #[test]
    fn sha256sum_agrees() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(root.path(), &run()).unwrap();
        let artifact = write_ndjson("a.ndjson".parse().unwrap(), Target::Vex, [1], io::sink()).unwrap();
        put(&folder, "a.ndjson", b"1\n");
        let manifest = Manifest::new(run(), vec![artifact]);
        put(&folder, MANIFEST_NAME, &manifest.to_bytes().unwrap());
        put(&folder, CHECKSUMS_NAME, manifest.checksums().unwrap().as_bytes());
        let target = folder.commit().unwrap();
        let check =
            std::process::Command::new("sha256sum").args(["-c", CHECKSUMS_NAME]).current_dir(target).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }

    #[test]
    fn an_abandoned_run_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(root.path(), &run()).unwrap();
        put(&folder, "a.ndjson", b"1\n");
        drop(folder);
        remove_draft(root.path(), &run()).unwrap();
        assert_eq!(fs::read_dir(root.path().join("tenant-default")).unwrap().count(), 0);
    }
}
