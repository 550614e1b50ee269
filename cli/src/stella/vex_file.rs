//! The statements of `--vex`, and what they say of findings.

use std::path::{Path, PathBuf};

use stella_advisory::vex::{MAX_DOCUMENT, Shelf, VexError, read};
use stella_api::finding::Finding;
use stella_api::vex::FindingVex;
use stella_domain::Digest;

use super::policy_file::repository;

/// Why a VEX document cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VexFileError {
    /// It cannot be read.
    #[error("cannot read VEX document '{path}'")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no VEX document.
    #[error("'{path}' is no VEX document that can be used: {reason}")]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: VexError,
    },
}

/// Reads the documents at `paths`, in their order.
///
/// # Errors
/// When one cannot be read; none is used in part.
pub fn shelf(paths: &[PathBuf]) -> Result<Shelf, VexFileError> {
    let mut shelf = Shelf::default();
    for path in paths {
        let bytes = bytes(path).map_err(|source| VexFileError::Read { path: path.clone(), source })?;
        let document = read(&bytes).map_err(|reason| VexFileError::Document { path: path.clone(), reason })?;
        shelf.put(&Digest::of(&bytes), document);
    }
    Ok(shelf)
}

/// At most one byte more than a document may have.
fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_DOCUMENT as u64 + 1), &mut bytes)?;
    Ok(bytes)
}

/// Writes into each finding what the statements say of it.
pub fn say(shelf: &Shelf, findings: &mut [Finding], image: &str, digest: Digest) {
    for finding in findings {
        finding.vex = FindingVex::of(shelf, finding, &[digest], Some(repository(image)));
    }
}
