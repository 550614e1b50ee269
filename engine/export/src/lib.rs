//! Export runs: sorted artifacts, their manifest, and the folder they are put into.
//!
//! ```text
//!   rows ──ArtifactWriter──> bytes + Artifact ──Manifest──> manifest.json, its signed digest, SHA256SUMS
//!                              │
//!                              └── RunFolder: temporary names, fsync, one rename makes the whole run visible
//! ```
//!
//! A million rows need no more memory than one, and the same rows give the same bytes. Only [`filesystem`] touches the disk; no
//! part has a clock. Rows are sorted by whoever reads them from the store.
#![forbid(unsafe_code)]

pub mod artifact;
pub mod filesystem;
pub mod manifest;
pub mod name;
pub mod run_id;

pub use artifact::{Artifact, ArtifactError, ArtifactFormat, ArtifactWriter, Target, write_json, write_ndjson};
pub use filesystem::{FilesystemError, RunFolder, drafts, remove_draft};
pub use manifest::{MANIFEST_NAME, Manifest};
pub use name::{ArtifactName, NameError};
pub use run_id::{RunId, RunIdError};
