//! Canonical JSON, DSSE envelopes, signing keys, signed reports, and what people and other tools read of them.
//!
//! ```text
//!   Report ──canonical (RFC 8785)──> bytes ──SigningKey──> Envelope (DSSE)
//!                                              │                 │
//!     │                   key file, mode 0600 ─┘                 └── verify with VerifyingKey ──> the same bytes
//!     ├──statement──> in-toto, for cosign and registries
//!     └──page──> HTML or Markdown, for people
//! ```
//!
//! All of it is pure but [`key_file`], the thin edge that reads and creates key files. There is no clock and no randomness: who
//! makes a key hands in the seed. The crate knows nothing of policies; verdicts enter a report as JSON.
#![forbid(unsafe_code)]

pub mod canonical;
pub mod dsse;
pub mod finding;
pub mod key;
pub mod key_file;
pub mod page;
pub mod report;
pub mod statement;

pub use canonical::CanonicalError;
pub use dsse::{Algorithm, DsseError, Envelope, Signature};
pub use finding::ReportFinding;
pub use key::{DEFAULT_KEY_ID, KeyError, SigningKey, VerifyingKey};
pub use report::{Evidence, Report, ReportBody, ReportError};
