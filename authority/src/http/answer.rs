//! Answers, and refusals as problem documents (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::asking;
use crate::caller::Refusal;
use crate::people::PeopleError;

/// Marks an answer that is as it should be.
#[derive(Debug, Clone, Copy)]
pub struct Final;

/// A refusal as a problem document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Last part of the type.
    pub kind: &'static str,
    /// What is wrong.
    pub detail: String,
    /// The field that is wrong, as JSONPath.
    pub field: Option<&'static str>,
    /// Values of `WWW-Authenticate`.
    pub challenges: Vec<String>,
}

impl Problem {
    /// 400, of the field at `path`.
    #[must_use]
    pub fn field(path: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status: 400, kind: "validation", detail, field: Some(path), challenges: Vec::new() }
    }

    pub(super) fn of(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), field: None, challenges: Vec::new() }
    }

    /// The answer to the request of `parts`.
    #[must_use]
    pub fn answer(&self, parts: &axum::http::request::Parts) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = json!({
            "type": format!("https://stella-ops.org/probs/{}", self.kind),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": self.status,
            "detail": self.detail,
            "instance": parts.uri.path(),
        });
        if let Some(trace) = asking(parts).trace() {
            body["traceId"] = trace.into();
        }
        if let Some(path) = self.field {
            body["errors"] = json!([{"path": path, "msg": self.detail}]);
        }
        let mut response = no_store((status, Json(body)).into_response());
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        for challenge in &self.challenges {
            if let Ok(value) = HeaderValue::from_str(challenge) {
                response.headers_mut().append(header::WWW_AUTHENTICATE, value);
            }
        }
        if self.status == 503 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Unavailable(reason) = &refusal {
            tracing::error!(%reason, "tokens cannot be checked");
            return Self::of(503, "unavailable", "tokens cannot be checked now; the reason is in the log");
        }
        Self { challenges: refusal.challenges(), ..Self::of(refusal.status(), refusal.kind(), refusal.to_string()) }
    }
}

impl From<PeopleError> for Problem {
    fn from(error: PeopleError) -> Self {
        let detail = error.to_string();
        match error {
            PeopleError::Name("client") => Self::field("$.id", detail),
            PeopleError::Name(_) => Self::field("$.name", detail),
            PeopleError::Weak(_) => Self::field("$.password", detail),
            PeopleError::Days => Self::field("$.expiresDays", detail),
            PeopleError::Empty("tenants") => Self::field("$.tenants", detail),
            PeopleError::Empty(_) => Self::field("$.scopes", detail),
            PeopleError::Taken(_) => Self::of(409, "conflict", detail),
            PeopleError::Unknown(_) => Self::of(404, "not-found", detail),
            PeopleError::Unavailable(_) => {
                tracing::error!(detail, "the authority cannot do what was asked");
                Self::of(503, "unavailable", "not now; the reason is in the log")
            }
        }
    }
}

/// `value`, which may hold secrets and is kept by nobody on the way.
pub(super) fn secret(status: StatusCode, value: &impl Serialize) -> Response {
    no_store((status, Json(serde_json::to_value(value).unwrap_or(Value::Null))).into_response())
}

pub(super) fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response.extensions_mut().insert(Final);
    response
}
