//! Canonical JSON, DSSE envelopes, signing keys and signed reports.
//!
//! ```text
//!   Report ──canonical (RFC 8785)──> bytes ──SigningKey──> Envelope (DSSE)
//!                                              │                 │
//!                         key file, mode 0600 ─┘                 └── verify with PublicKey ──> the same bytes
//! ```
//!
//! All of it is pure but [`key_file`], the thin edge that reads and creates key files. There is no clock and no randomness: who
//! makes a key hands in the seed. The crate knows nothing of policies; verdicts enter a report as JSON.
#![forbid(unsafe_code)]

pub mod canonical;
pub mod dsse;
pub mod key;
pub mod key_file;
pub mod report;

pub use canonical::CanonicalError;
pub use dsse::{Algorithm, DsseError, Envelope, Signature};
pub use key::{DEFAULT_KEY_ID, KeyError, PublicKey, SigningKey};
pub use report::{Evidence, Report, ReportBody, ReportError};
