//! Why a question to the server has no answer.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;

use super::secret::TokenError;
use super::sse::SseError;
use crate::problem::Problem;

/// Why the server gave no answer that can be used. Causes are in `source()` and are not told twice; no token is in any of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is of no use.
    #[error("--server '{0}' is no http or https address")]
    Server(String),
    /// The file with the token.
    #[error(transparent)]
    TokenFile(#[from] TokenError),
    /// A file with authorities, or that was to be sent.
    #[error("cannot read '{path}'")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The token has characters that no header may have.
    #[error("{0} is not one line of visible characters")]
    Token(String),
    /// The server gives no token in place of a service account's.
    #[error("no token in place of the service account's")]
    NoToken(#[source] Box<ClientError>),
    /// HTTP cannot be set up, for example because the authorities are no certificates, or the system has none.
    #[error("cannot set up http")]
    Setup(#[source] reqwest::Error),
    /// No connection, or it broke, or there was no answer in time.
    #[error("{call}: cannot reach {server}")]
    Unreachable {
        /// Method and path.
        call: String,
        /// The server.
        server: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// A stream on which nothing came, neither an event nor a heartbeat.
    #[error("{call}: nothing was heard for {} s", idle.as_secs_f64())]
    Silent {
        /// Method and path.
        call: String,
        /// For how long.
        idle: Duration,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The answer is not what this release understands.
    #[error("{call} gave an answer that cannot be read: {reason}")]
    Answer {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is longer than any that is expected.
    #[error("{call} gave an answer of more than {limit} bytes")]
    TooLarge {
        /// Method and path.
        call: String,
        /// What was taken at most.
        limit: usize,
    },
    /// What came is no stream of events.
    #[error("{call} gave a stream that cannot be read")]
    Events {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        source: SseError,
    },
    /// A name that would lead to another path.
    #[error("'{0}' leads elsewhere: a name in a path may be neither '.' nor '..'")]
    Name(String),
    /// The server refers to somewhere else.
    #[error("the server refers to '{0}', which is another server")]
    Foreign(String),
}

impl ClientError {
    /// What the server refused with, where it did. That no token was given is no answer to the question.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The HTTP status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoToken(cause) => cause.retry_after(),
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the same question may well be answered in a moment: nobody is there, or somebody in between says so.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => true,
            Self::NoToken(cause) => cause.is_transient(),
            Self::Refused(refusal) => {
                [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT]
                    .contains(&refusal.status)
            }
            _ => false,
        }
    }
}

/// What the server said no with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Method and path.
    pub call: String,
    /// The HTTP status.
    pub status: StatusCode,
    /// The problem document (RFC 9457), where the answer is one; proxies answer with pages.
    pub problem: Option<Problem>,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The type of the problem, an address.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.problem.as_ref().map(|problem| problem.kind.as_str())
    }

    /// What is wrong here.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.problem.as_ref().map(|problem| problem.detail.as_str())
    }

    /// The `traceparent` by which the server's log has the request.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.problem.as_ref()?.trace_id.as_deref()
    }
}

/// One line. The trace is told of what is the server's fault, since its log says more.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(problem) = &self.problem else { return write!(f, "{}: {}", self.call, self.status) };
        write!(f, "{}: {} {}", self.call, self.status.as_u16(), problem.title)?;
        if !problem.detail.is_empty() && problem.detail != problem.title {
            write!(f, ": {}", problem.detail)?;
        }
        for error in &problem.errors {
            write!(f, "; {}: {}", error.path, error.msg)?;
        }
        match self.trace() {
            Some(trace) if self.status.is_server_error() => write!(f, " (trace {trace})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
        Refusal { call: "POST /x".to_owned(), status, problem: serde_json::from_slice(body).ok(), retry_after: None }
    }

    #[test]
    fn a_problem_names_its_fields() {
        let body = br#"{"type":"https://stella-ops.org/probs/validation","title":"Validation failed","status":400,
            "detail":"one field","errors":[{"path":"$.layers[0]","msg":"not a digest"}]}"#;
        let refused = refusal(StatusCode::BAD_REQUEST, body);
        assert_eq!(refused.to_string(), "POST /x: 400 Validation failed: one field; $.layers[0]: not a digest");
        assert_eq!(refused.kind(), Some("https://stella-ops.org/probs/validation"));
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"<html>").to_string(), "POST /x: 502 Bad Gateway");
    }

    #[test]
    fn the_trace_is_told_of_a_fault_of_the_server() {
        let body = br#"{"type":"about:blank","title":"Failed","status":500,"detail":"","traceId":"00-1-2-01"}"#;
        assert_eq!(
            refusal(StatusCode::INTERNAL_SERVER_ERROR, body).to_string(),
            "POST /x: 500 Failed (trace 00-1-2-01)"
        );
        let mine = refusal(StatusCode::BAD_REQUEST, body);
        assert_eq!((mine.to_string().as_str(), mine.trace()), ("POST /x: 400 Failed", Some("00-1-2-01")));
    }
}
