//! A certificate and its key in files, as cert-manager or a person keeps them.

use std::path::{Path, PathBuf};

use super::{Served, SourceError};

/// The two files. They are read by the clock: the kubelet swaps a symbolic link above them, which no watch on the files
/// themselves would see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePair {
    /// The chain, PEM, leaf first.
    pub chain: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

impl FilePair {
    /// What the files hold now.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn read(&self) -> Result<Served, SourceError> {
        Ok(Served { chain: read(&self.chain).await?, key: read(&self.key).await? })
    }
}

async fn read(path: &Path) -> Result<String, SourceError> {
    let read = tokio::fs::read_to_string(path).await;
    read.map_err(|source| SourceError::File { path: path.to_owned(), source })
}
