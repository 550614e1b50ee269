//! `backup` and `restore`: the database and the keys, as a folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use stella_blobs::Folder;
use stella_domain::Digest;
use stella_store::{
    BlobError, Blobs, Installation, Store, StoreError, blobs_of_copy, check_copy, installation_of_copy, without_blobs,
};

/// The database's file, in the data folder and in a backup.
const DATABASE: &str = "stella.db";
/// The folder of a backup with the blobs that its database refers to.
const BLOBS: &str = "blobs";
/// The folders whose files are copied: keys, and what the authority is opened with. Its audit log goes on where it is.
const KEYS: [&str; 3] = ["keys", "authority", "authority/keys"];

/// Why a backup was not made or not put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// There is nothing to back up, or to restore.
    #[error("{0}: there is no database")]
    Nothing(PathBuf),
    /// What is there is never overwritten.
    #[error("{0} is there already; it is not overwritten")]
    Exists(PathBuf),
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes the database, the keys of the data folder, and what lies in `blobs` and the database refers to, into the new folder `to`,
/// while the operator may go on. The folder gets its name when everything in it is on disk.
///
/// Gives the blobs that are lost or damaged. They are not in the backup, nor are the layers that lie in them: where it is put back,
/// those are read or sent again.
///
/// # Errors
/// When there is no database, `to` exists, or something cannot be written; then nothing is left under `to`.
pub async fn back_up(data: &Path, to: &Path, blobs: Option<&Blobs>) -> Result<Vec<BlobError>, BackupError> {
    if !data.join(DATABASE).is_file() {
        return Err(BackupError::Nothing(data.join(DATABASE)));
    }
    absent(to)?;
    let partial = beside(to);
    absent(&partial)?;
    let made = write(data, &partial, blobs).await.and_then(|lost| rename(&partial, to).map(|()| lost));
    if made.is_err() {
        // What is half written is of no use; the first error is the one to tell.
        let _ = fs::remove_dir_all(&partial);
    }
    made
}

async fn write(data: &Path, partial: &Path, blobs: Option<&Blobs>) -> Result<Vec<BlobError>, BackupError> {
    fs::create_dir_all(partial).map_err(|e| failed(partial, e))?;
    private(partial, 0o700)?;
    let copy = partial.join(DATABASE);
    Store::open(data).await?.back_up(&copy).await?;
    private(&copy, 0o600)?;
    // What the copy refers to stays for a day at least, whatever is forgotten meanwhile.
    let (mut lost, mut names) = (Vec::new(), Vec::new());
    for digest in blobs_of_copy(&copy).await? {
        match carry(&[digest], blobs, Some(&kept(partial))).await {
            Err(BackupError::Blob(error @ (BlobError::Absent { .. } | BlobError::Damaged { .. }))) => {
                lost.push(error);
                names.push(digest);
            }
            carried => carried?,
        }
    }
    if !names.is_empty() {
        without_blobs(&copy, &names).await?;
    }
    copy_keys(data, partial)?;
    Ok(lost)
}

/// Blobs of a backup.
fn kept(backup: &Path) -> Blobs {
    Blobs::new(Folder::new(backup.join(BLOBS)))
}

/// Copies blobs, each of which is checked on its way.
async fn carry(digests: &[Digest], from: Option<&Blobs>, to: Option<&Blobs>) -> Result<(), BackupError> {
    for digest in digests {
        let (Some(from), Some(to)) = (from, to) else { return Err(BlobError::NoPlace(*digest).into()) };
        to.put(from.get(digest).await?).await?;
    }
    Ok(())
}

/// Puts a backup into the data folder, which must hold no database, and its blobs into `blobs`, which are the place of the
/// installation that the backup is of, or nobody's, or are taken over from `owner`.
///
/// # Errors
/// When there is a database already, the backup is not sound, the place is another installation's, or something cannot be written;
/// then the data folder holds no database.
pub async fn restore(
    from: &Path,
    data: &Path,
    blobs: Option<&Blobs>,
    owner: Option<Installation>,
) -> Result<(), BackupError> {
    let (source, target) = (from.join(DATABASE), data.join(DATABASE));
    if !source.is_file() {
        return Err(BackupError::Nothing(source));
    }
    absent(&target)?;
    // Left over from another database, they would be read as part of this one.
    for rest in ["stella.db-wal", "stella.db-shm"] {
        absent(&data.join(rest))?;
    }
    fs::create_dir_all(data).map_err(|e| failed(data, e))?;
    let partial = beside(&target);
    let put = async {
        copy(&source, &partial)?;
        check_copy(&partial).await?;
        if let (Some(blobs), Some(installation)) = (blobs, installation_of_copy(&partial).await?) {
            blobs.claim(installation, owner).await?;
        }
        carry(&blobs_of_copy(&partial).await?, Some(&kept(from)), blobs).await?;
        copy_keys(from, data)?;
        rename(&partial, &target)
    };
    if let Err(error) = put.await {
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    drop(Store::open(data).await?);
    Ok(())
}

/// Copies the keys; one that is there already has to be the same.
fn copy_keys(from: &Path, to: &Path) -> Result<(), BackupError> {
    KEYS.iter().try_for_each(|folder| copy_files(&from.join(folder), &to.join(folder)))
}

fn copy_files(source: &Path, target: &Path) -> Result<(), BackupError> {
    if !source.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(target).map_err(|e| failed(target, e))?;
    private(target, 0o700)?;
    for entry in fs::read_dir(source).map_err(|e| failed(source, e))? {
        let path = entry.map_err(|e| failed(source, e))?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else { continue };
        let place = target.join(name);
        if place.exists() {
            let same = fs::read(&path).and_then(|a| fs::read(&place).map(|b| a == b)).map_err(|e| failed(&place, e))?;
            if same {
                continue;
            }
            return Err(BackupError::Exists(place));
        }
        copy(&path, &place)?;
    }
    Ok(())
}

/// Copies a file with its mode; it is on disk then.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::copy(from, to).and_then(|_| File::open(to)?.sync_all()).map_err(|e| failed(to, e))
}

fn rename(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::rename(from, to).map_err(|e| failed(to, e))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed(folder, e))
}

fn private(path: &Path, mode: u32) -> Result<(), BackupError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| failed(path, e))
}

fn absent(path: &Path) -> Result<(), BackupError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(path, error)),
        Ok(_) => Err(BackupError::Exists(path.to_owned())),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn failed(path: &Path, source: io::Error) -> BackupError {
    BackupError::File { path: path.to_owned(), source }
}
