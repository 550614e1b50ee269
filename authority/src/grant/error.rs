//! Errors of the token endpoint (RFC 6749, section 5.2).

use crate::vault::VaultError;

/// The `error` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A field is missing, twice there, or odd.
    InvalidRequest,
    /// The client is not who it says.
    InvalidClient,
    /// The password, refresh token or assertion does not hold.
    InvalidGrant,
    /// The grant type is not served.
    UnsupportedGrantType,
    /// A scope is unknown or not allowed.
    InvalidScope,
    /// The proof does not hold (RFC 9449, section 5).
    InvalidDpopProof,
    /// Not now.
    TemporarilyUnavailable,
}

impl Code {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }
}

/// Why no token was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct GrantError {
    /// What kind of error.
    pub code: Code,
    /// For people.
    pub description: String,
    /// Seconds after which it may go better.
    pub retry_after: Option<i64>,
}

impl GrantError {
    pub(crate) fn new(code: Code, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), retry_after: None }
    }

    /// The one answer to a wrong name and a wrong secret.
    pub(super) fn wrong_client() -> Self {
        Self::new(Code::InvalidClient, "the client or its secret is wrong")
    }

    /// The one answer to a wrong name and a wrong password.
    pub(super) fn wrong_user() -> Self {
        Self::new(Code::InvalidGrant, "the user or the password is wrong")
    }

    pub(super) fn locked(self, seconds: i64) -> Self {
        let description = "there were too many failures; try again later".to_owned();
        Self { description, retry_after: Some(seconds), ..self }
    }

    /// Ours is the fault: `detail` is for the log.
    pub(crate) fn unavailable(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "no token can be given");
        Self {
            code: Code::TemporarilyUnavailable,
            description: "no token can be given now".to_owned(),
            retry_after: Some(5),
        }
    }
}

impl From<VaultError> for GrantError {
    fn from(error: VaultError) -> Self {
        Self::unavailable(error)
    }
}
