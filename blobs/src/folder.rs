//! Blobs as files: `ROOT/ab/abcd...`, by the hex digits of their digest.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use stella_domain::Digest;
use stella_store::{BlobError, Doing, Place};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::MOST;

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
        Box::pin(on_a_thread(path.clone(), move || read(&path)))
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Doing<'a, ()> {
        let path = self.file(digest);
        Box::pin(on_a_thread(path.clone(), move || match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }))
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
        let mut partial = NamedTempFile::new_in(root)?;
        partial.write_all(bytes)?;
        partial.as_file().sync_all()?;
        partial.persist(path).map_err(|error| error.error)?;
    }
    File::open(folder)?.sync_all()?;
    File::open(root)?.sync_all()
}

/// Whether the file has these bytes.
fn has(path: &Path, bytes: &[u8]) -> bool {
    let same_size = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == bytes.len() as u64);
    same_size && fs::read(path).is_ok_and(|present| present == bytes)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(file) if file.len() > MOST => return Err(io::Error::other(format!("it is larger than {MOST} bytes"))),
        Ok(_) => {}
    }
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
