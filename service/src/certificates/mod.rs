//! Certificates a process makes for itself: an authority, a serving certificate under it, and their rotation.
//!
//! A rotation of the authority overlaps: clients are told of the next authority before anything is served under it,
//! and of the previous one until nothing can be served under it any more.
//!
//! ```text
//!   made ── announce ──> next beside current ── overlap ──> switch ──> previous beside current ── overlap ──> forget
//! ```
//!
//! Nothing here reads a clock or touches a disk: [`plan`] says what is due at an instant, [`apply`] does it.

mod facts;
mod make;
mod rotation;

use std::time::Duration;

use stella_domain::Timestamp;

pub use facts::CertificateFacts;
pub use rotation::{Step, apply, plan};

/// Why a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Making a key or a certificate failed.
    #[error("making the {what} failed: {source}")]
    Make {
        /// What was being made.
        what: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// A stored certificate or key cannot be read.
    #[error("the {what} cannot be read: {reason}")]
    Read {
        /// What was being read.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

/// A certificate with its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate; for a serving pair the chain, leaf first.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Everything a process that serves TLS under its own authority has to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// Signs serving certificates.
    pub authority: Pair,
    /// What is served.
    pub serving: Pair,
    /// The authority to come; clients trust it already.
    pub next: Option<Pair>,
    /// The certificate of the authority before; clients trust it still.
    pub previous: Option<String>,
}

/// How long things hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of an authority.
    pub authority: Duration,
    /// Of a serving certificate; never past its authority's end.
    pub serving: Duration,
    /// How long two authorities are trusted side by side, before and after a switch.
    pub overlap: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Lifetimes {
    /// A year, 60 days, a day.
    fn default() -> Self {
        Self { authority: DAY * 365, serving: DAY * 60, overlap: DAY }
    }
}

impl Keyring {
    /// A fresh authority and a serving certificate for `names` (DNS names or IP addresses).
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub fn make(names: &[String], lifetimes: &Lifetimes, now: Timestamp) -> Result<Self, CertificateError> {
        let authority = make::authority(lifetimes, now)?;
        let serving = make::serving(&authority, names, lifetimes, now)?;
        Ok(Self { authority, serving, next: None, previous: None })
    }

    /// The certificates clients are to trust, PEM: the current authority's, then the next or the previous one's.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|pair| pair.certificate.as_str());
        let all = [Some(self.authority.certificate.as_str()), next, self.previous.as_deref()];
        all.into_iter().flatten().map(|pem| format!("{}\n", pem.trim_end())).collect()
    }
}
