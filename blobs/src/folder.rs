//! Blobs as files: `ROOT/ab/abcd...`, by the hex digits of their digest, and beside them `ROOT/owner`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use stella_domain::Digest;
use stella_store::{BlobError, Doing, Place};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::{LONGEST_MARK, MOST, OWNER};

/// A folder with blobs. Several processes may use one.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// That folder; it need not be there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(&hex[..2]).join(hex)
    }
}

impl Place for Folder {
    fn name(&self) -> String {
        self.root.display().to_string()
    }

    fn put<'a>(&'a self, digest: &'a Digest, bytes: Vec<u8>) -> Doing<'a, ()> {
        let (root, path) = (self.root.clone(), self.file(digest));
        Box::pin(on_a_thread(path.clone(), move || write(&root, &path, &bytes)))
    }

    fn get<'a>(&'a self, digest: &'a Digest) -> Doing<'a, Option<Vec<u8>>> {
        let path = self.file(digest);
        Box::pin(on_a_thread(path.clone(), move || read(&path, MOST)))
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Doing<'a, ()> {
        let path = self.file(digest);
        Box::pin(on_a_thread(path.clone(), move || match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }))
    }

    fn owner(&self) -> Doing<'_, Option<Vec<u8>>> {
        let path = self.root.join(OWNER);
        Box::pin(on_a_thread(path.clone(), move || read(&path, LONGEST_MARK)))
    }

    fn mark(&self, mark: Vec<u8>, anew: bool) -> Doing<'_, ()> {
        let (root, path) = (self.root.clone(), self.root.join(OWNER));
        Box::pin(on_a_thread(path.clone(), move || write_mark(&root, &path, &mark, anew)))
    }
}

async fn on_a_thread<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let done = spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|source| BlobError::File { path, source })
}

/// The file appears whole or not at all, and is on disk then, as is its name. Who finds it there has to see to its name, too:
/// whoever wrote it may not have come that far. A file with other bytes is damaged, and is replaced.
fn write(root: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(root);
    if !has(path, bytes) {
        fs::create_dir_all(folder)?;
        partial(root, bytes)?.persist(path).map_err(|error| error.error)?;
    }
    File::open(folder)?.sync_all()?;
    File::open(root)?.sync_all()
}

/// A file without a name yet, whose bytes are on disk.
fn partial(root: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut partial = NamedTempFile::new_in(root)?;
    partial.write_all(bytes)?;
    partial.as_file().sync_all()?;
    Ok(partial)
}

/// The mark appears whole, and never in place of another unless `anew`. A file system that cannot give a name only where it is free
/// gives it in any case.
fn write_mark(root: &Path, path: &Path, mark: &[u8], anew: bool) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let mark = partial(root, mark)?;
    let placed = if anew {
        mark.persist(path)
    } else {
        match mark.persist_noclobber(path) {
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return File::open(root)?.sync_all(),
            Err(error) => error.file.persist(path),
            placed => placed,
        }
    };
    placed.map_err(|error| error.error)?;
    File::open(root)?.sync_all()
}

/// Whether the file has these bytes.
fn has(path: &Path, bytes: &[u8]) -> bool {
    let same_size = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == bytes.len() as u64);
    same_size && fs::read(path).is_ok_and(|present| present == bytes)
}

/// The bytes of a file, of which there may be so many; `None` when there is none.
fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(file) if file.len() > most => return Err(io::Error::other(format!("it is larger than {most} bytes"))),
        Ok(_) => {}
    }
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
