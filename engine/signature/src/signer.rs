//! Whose signatures are believed.

use std::collections::BTreeSet;

use regex::RegexBuilder;
use stella_domain::{Digest, Hasher, Timestamp};

use crate::certificate;
use crate::entry::{Entry, Logged};
use crate::key::{PublicKey, PublicKeyError};
use crate::signed::Signed;
use crate::trust_root::TrustRoot;
use crate::{stamp, transparency};

/// Bytes of a pattern.
const LONGEST_PATTERN: usize = 1024;
/// Bytes that a compiled pattern may take.
const LARGEST_PATTERN: usize = 1 << 20;

/// Why somebody cannot be believed at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The key cannot be read.
    #[error("key: {0}")]
    Key(#[from] PublicKeyError),
    /// A pattern is too long.
    #[error("{field}: a pattern has at most {LONGEST_PATTERN} bytes")]
    TooLong {
        /// Which.
        field: &'static str,
    },
    /// A pattern is none.
    #[error("{field}: {reason}")]
    Pattern {
        /// Which.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The key did not make it.
    #[error("it is not by the key")]
    Key,
    /// An identity is asked for, and there is no certificate.
    #[error("it has no certificate")]
    NoCertificate,
    /// The certificate is of no use.
    #[error("its certificate: {0}")]
    Certificate(String),
    /// Somebody else made it.
    #[error("it is by '{subject}', vouched for by '{issuer}'")]
    Identity {
        /// Whom the certificate names.
        subject: String,
        /// Who vouches.
        issuer: String,
    },
    /// It is not by the key of its certificate.
    #[error("it is not by the key of its certificate")]
    Signature,
    /// No log tells of it, so nobody knows when it was made.
    #[error("it has no entry of a transparency log")]
    NoEntry,
    /// The entry is of no use.
    #[error("its entry of the transparency log: {0}")]
    Entry(String),
    /// Nobody who is believed says when it was made.
    #[error("its time stamp: {0}")]
    Timestamp(String),
    /// No log of certificates promised to list the certificate.
    #[error("its signed certificate timestamps: {0}")]
    CertificateTimestamp(String),
    /// There is no trust root.
    #[error("the operator has no trust root (--trusted-root)")]
    NoTrustRoot,
}

/// A text that has to be the same, or to match.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// The same, byte for byte.
    Exact(String),
    /// All of it matches.
    Matches(regex::Regex),
}

impl Pattern {
    /// A regular expression that all of a text has to match; `field` is where it stands.
    ///
    /// # Errors
    /// When it is none, or too long or large.
    pub fn matching(field: &'static str, expression: &str) -> Result<Self, SignerError> {
        if expression.len() > LONGEST_PATTERN {
            return Err(SignerError::TooLong { field });
        }
        // By itself first: what closes the group early would be anchored at one end only.
        let compiled = |text: &str| {
            let regex = RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build();
            regex.map_err(|error| SignerError::Pattern { field, reason: error.to_string() })
        };
        compiled(expression)?;
        compiled(&format!("^(?:{expression})$")).map(Self::Matches)
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Matches(regex) => regex.is_match(text),
        }
    }

    fn name_into(&self, hasher: &mut Hasher) {
        let (kind, text) = match self {
            Self::Exact(text) => ("exact", text.as_str()),
            Self::Matches(regex) => ("matches", regex.as_str()),
        };
        hasher.field(kind);
        hasher.field(text);
    }
}

/// Somebody whose signatures are believed.
#[derive(Debug, Clone)]
pub enum Signer {
    /// Who has the private half of this key.
    Key(PublicKey),
    /// Who has such an identity, by the word of the trust root.
    Keyless {
        /// Who vouches for the identity.
        issuer: Pattern,
        /// An e-mail address or a URI.
        subject: Pattern,
    },
}

impl Signer {
    /// The key of a PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn key(pem: &str) -> Result<Self, SignerError> {
        Ok(Self::Key(PublicKey::from_pem(pem)?))
    }

    /// Names whom this believes and by what: the key, or the patterns together with the trust root.
    #[must_use]
    pub fn authority(&self, root: Option<&TrustRoot>) -> Digest {
        let mut hasher = Hasher::new();
        match self {
            Self::Key(key) => {
                hasher.field("key");
                hasher.field(key.der());
            }
            Self::Keyless { issuer, subject } => {
                hasher.field("keyless");
                issuer.name_into(&mut hasher);
                subject.name_into(&mut hasher);
                hasher.field(root.map(|root| root.digest().to_string()).unwrap_or_default());
            }
        }
        hasher.finish()
    }

    /// Whether `signed` is signed by this. Of an identity: its certificate names the identity, a log of `root` has an entry of this
    /// payload, signature and certificate, an authority of `root` issued the certificate, it held at each time that the log or an
    /// authority for time stamps of `root` signed, and there is such a time, and, where `root` names logs of certificates, one of
    /// them promised to list the certificate.
    ///
    /// # Errors
    /// [`Refusal`]: the first of these that does not hold.
    pub fn verify(&self, signed: &Signed, root: Option<&TrustRoot>) -> Result<(), Refusal> {
        match self {
            Self::Key(key) => signed.signature_by(key).map(drop).ok_or(Refusal::Key),
            Self::Keyless { issuer, subject } => {
                let root = root.ok_or(Refusal::NoTrustRoot)?;
                let der = signed.certificate().ok_or(Refusal::NoCertificate)?;
                let identity = certificate::identity(der).map_err(Refusal::Certificate)?;
                if !issuer.fits(&identity.issuer) || !subject.fits(&identity.subject) {
                    let cut = crate::claim::cut;
                    return Err(Refusal::Identity { subject: cut(&identity.subject), issuer: cut(&identity.issuer) });
                }
                let logged = signed.logged(der, &identity.key).ok_or(Refusal::Signature)?;
                let entry = signed.entry().ok_or(Refusal::NoEntry)?;
                let times = times(signed.stamps(), entry, &logged, root)?;
                entry.verify(root, &logged, &times).map_err(Refusal::Entry)?;
                let verify = |at: &Timestamp| certificate::verify(der, root, *at).map_err(Refusal::Certificate);
                // Mostly one key, however many times are known.
                let issuers = times.iter().map(verify).collect::<Result<BTreeSet<_>, _>>()?;
                let listed = |issuer: &Vec<u8>| transparency::verify(der, issuer, root);
                issuers.iter().try_for_each(listed).map_err(Refusal::CertificateTimestamp)
            }
        }
    }
}

/// When the signature was there, by the log and by its time stamps. Stamps that nobody of `root` made are passed over, as long as
/// one time is known; those of others may be in the bundle for others.
fn times(stamps: &[Vec<u8>], entry: &Entry, logged: &Logged<'_>, root: &TrustRoot) -> Result<Vec<Timestamp>, Refusal> {
    let mut times = Vec::from_iter(entry.promised_at());
    let mut reason = "there is none, and its entry of the log has no signed entry timestamp".to_owned();
    for stamp in stamps {
        match stamp::verify(stamp, logged.signature, root) {
            Ok(at) => times.push(at),
            Err(error) => reason = error,
        }
    }
    if times.is_empty() { Err(Refusal::Timestamp(reason)) } else { Ok(times) }
}

#[cfg(test)]
mod tests;
