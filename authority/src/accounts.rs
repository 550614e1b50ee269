//! Service accounts of a cluster, which log in with the tokens the kubelet gives them.

use futures::future::BoxFuture;

/// Why a service account's token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The API server does not know it, or it is for another audience.
    #[error("the service account's token is not valid: {0}")]
    Invalid(String),
    /// The API server does not answer.
    #[error("tokens of service accounts cannot be checked now: {0}")]
    Unavailable(String),
}

/// Whoever can tell whose token it is: on a cluster, its TokenReview.
pub trait ServiceAccounts: Send + Sync {
    /// The account of `token`, as `namespace/name`.
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<String, AccountError>>;
}
