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
        let draft = tenant.join(format!(".{}.partial", run.folder_name()));
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

    /// Removes the draft with everything in it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn abandon(self) -> Result<(), FilesystemError> {
        fs::remove_dir_all(&self.draft).map_err(at(&self.draft))
    }
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
        folder.abandon().unwrap();
        assert_eq!(fs::read_dir(root.path().join("tenant-default")).unwrap().count(), 0);
    }
}
