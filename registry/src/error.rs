//! What can go wrong in a pull. Nothing here carries a credential, a token, a query of a URL, or a registry's prose.

use std::fmt;

use stella_domain::Digest;
use stella_inventory::image::ManifestError;

use crate::credentials::CredentialsError;
use crate::reference::ReferenceError;

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// Not a name of an image.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No host gave it.
    #[error("{what} of {reference}: {}", attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Failed {
        /// The image.
        reference: String,
        /// What was asked for: the manifest, the configuration or a layer, with its digest.
        what: String,
        /// Each host that was asked, in order.
        attempts: Vec<Attempt>,
    },
    /// A manifest or configuration is of no use.
    #[error("{reference}: {source}")]
    Manifest {
        /// The image.
        reference: String,
        /// What is wrong.
        source: ManifestError,
    },
    /// Indexes within indexes.
    #[error("{reference}: indexes are nested deeper than {max}")]
    Nesting {
        /// The image.
        reference: String,
        /// The limit.
        max: usize,
    },
    /// The layers are larger than allowed.
    #[error("{what} of {reference}: {size} bytes, more than the limit of {max}")]
    TooLarge {
        /// The image.
        reference: String,
        /// One layer, or all.
        what: String,
        /// The size the manifest names.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// It took too long.
    #[error("{reference}: not finished after {seconds} s")]
    TooSlow {
        /// The image.
        reference: String,
        /// The limit.
        seconds: u64,
    },
    /// The work folder cannot be written.
    #[error("cannot keep a layer while it is read: {0}")]
    Folder(#[source] std::io::Error),
}

impl PullError {
    /// Whether it may be better later: the last host that was asked did not answer, or promised to.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Failed { attempts, .. } if attempts.last().is_some_and(|last| last.error.is_passing()))
    }
}

/// What one host made of a request.
#[derive(Debug)]
pub struct Attempt {
    /// The host: a mirror, or the registry itself.
    pub host: String,
    /// What went wrong there.
    pub error: RequestError,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, self.error)
    }
}

/// What went wrong with one host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It cannot be reached, or the connection broke.
    #[error("no answer: {reason}")]
    Connection {
        /// The cause, without a URL.
        reason: String,
    },
    /// It did not answer in time.
    #[error("no answer within {seconds} s")]
    Timeout {
        /// How long it was waited for.
        seconds: u64,
    },
    /// It answered with an error.
    #[error("HTTP {status}{}", code.as_ref().map_or(String::new(), |code| format!(" ({code})")))]
    Status {
        /// The status.
        status: u16,
        /// The code of the distribution specification, such as `MANIFEST_UNKNOWN`.
        code: Option<String>,
        /// Seconds it asks to wait.
        retry_after: Option<u64>,
    },
    /// Nothing that we have lets us in.
    #[error("not let in (HTTP {status}), {tried}")]
    Unauthorized {
        /// The status.
        status: u16,
        /// Who it was tried as.
        tried: &'static str,
    },
    /// Credentials cannot be had.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// It asks for credentials in a way that is not safe or not known.
    #[error("the way to authenticate is of no use: {reason}")]
    Challenge {
        /// What is wrong.
        reason: &'static str,
    },
    /// The token service gives nothing of use.
    #[error("token service {host}: {reason}")]
    Token {
        /// Its host.
        host: String,
        /// What is wrong.
        reason: String,
        /// Whether it may be better later.
        passing: bool,
    },
    /// It leads elsewhere without end, or where we do not go.
    #[error("redirect refused: {reason}")]
    Redirect {
        /// What is wrong.
        reason: &'static str,
    },
    /// The bytes are not what their digest says.
    #[error("the bytes have the digest {found} in place of {expected}")]
    Digest {
        /// The digest that names them.
        expected: Digest,
        /// Their own.
        found: Digest,
    },
    /// More bytes than were announced, or than are allowed.
    #[error("more than {max} bytes")]
    TooLong {
        /// The bytes that were to come at most.
        max: u64,
    },
    /// Fewer bytes than were announced.
    #[error("{found} bytes in place of {expected}")]
    TooShort {
        /// The bytes that were to come.
        expected: u64,
        /// Those that came.
        found: u64,
    },
    /// The answer broke off.
    #[error("the answer broke off")]
    Cut,
    /// It answered a request for a range with another.
    #[error("another range than asked for")]
    Range,
    /// The work folder cannot be written; no other host would help.
    #[error("cannot keep a layer while it is read: {0}")]
    Folder(#[source] std::io::Error),
    /// TLS or the client cannot be set up.
    #[error("cannot set up TLS: {reason}")]
    Tls {
        /// What is missing.
        reason: String,
    },
}

impl RequestError {
    /// Whether it may be better when asked again.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } | Self::Cut | Self::Range | Self::TooShort { .. } => true,
            Self::Status { status, .. } => is_passing_status(*status),
            Self::Token { passing, .. } => *passing,
            _ => false,
        }
    }

    /// Whether the host is not there at all, so that the next question can be spared.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Timeout { .. } | Self::Tls { .. })
    }
}

/// Statuses that promise to be others later.
pub(crate) const fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// What reqwest says, without the URL: queries of redirects carry signatures.
impl From<reqwest::Error> for RequestError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !reason.ends_with(&cause_text) {
                reason = format!("{reason}: {cause_text}");
            }
            source = cause.source();
        }
        Self::Connection { reason: reason.chars().take(300).collect() }
    }
}
