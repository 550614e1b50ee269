//! The trust root that identities are believed by: a file, read again when it changes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use stella_signature::{TrustRoot, TrustRootError};
use tokio::sync::Notify;

/// Why a file is no trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("cannot read the trust root {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says nothing of use.
    #[error("the trust root {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TrustRootError,
    },
}

/// What looking for signatures needs beside policies.
#[derive(Default)]
pub struct Signatures {
    file: Option<PathBuf>,
    root: RwLock<Option<Arc<TrustRoot>>>,
    wanted: Notify,
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signatures").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Signatures {
    /// With the trust root in `file`.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn open(file: Option<PathBuf>) -> Result<Self, TrustError> {
        let root = file.as_deref().map(read).transpose()?.map(Arc::new);
        Ok(Self { file, root: RwLock::new(root), wanted: Notify::new() })
    }

    /// The trust root as it was last read.
    #[must_use]
    pub fn root(&self) -> Option<Arc<TrustRoot>> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again. Whether it has another trust root by now; one that cannot be read leaves the old one in place, and is
    /// said.
    pub fn refresh(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let new = match read(file) {
            Ok(root) => root,
            Err(error) => {
                tracing::warn!(%error, "the trust root of before stays in use");
                return false;
            }
        };
        let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
        if root.as_ref().is_some_and(|old| old.digest() == new.digest()) {
            return false;
        }
        tracing::info!(file = %file.display(), digest = %new.digest(), "another trust root");
        *root = Some(Arc::new(new));
        true
    }

    /// Says that an image may have to be looked at.
    pub fn want(&self) {
        self.wanted.notify_one();
    }

    /// Waits until one may.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

fn read(path: &Path) -> Result<TrustRoot, TrustError> {
    let bytes = std::fs::read(path).map_err(|source| TrustError::Read { path: path.to_owned(), source })?;
    TrustRoot::parse(&bytes).map_err(|source| TrustError::Parse { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_trust_root_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.json");
        let error = Signatures::open(Some(file.clone())).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the trust root ") && error.contains("root.json"), "{error}");
        std::fs::write(&file, "{}").unwrap();
        let error = Signatures::open(Some(file)).unwrap_err().to_string();
        assert!(error.contains("root.json: it is no trusted_root.json"), "{error}");
        assert!(!Signatures::default().refresh() && Signatures::default().root().is_none());
    }
}
