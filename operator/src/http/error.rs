//! Refusals and failures as problem documents (RFC 9457).

use std::any::Any;
use std::error::Error;
use std::path::Path;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use stella_api::problem::{FieldError, Problem};
use stella_authority::Refusal;
use stella_store::{Lack, StoreError, lack};

use crate::judging::SurveyError;

/// A refusal or failure. Where it stands and its trace are filled in on the way out.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    code: Option<&'static str>,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    challenges: Vec<String>,
    lack: Option<Lack>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            code: None,
            errors: Vec::new(),
            retry_after: None,
            challenges: Vec::new(),
            lack: None,
        }
    }

    /// 400: something of the request is wrong.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation", detail)
    }

    /// 400: the field at `path` (JSONPath) is wrong.
    pub fn field(path: impl Into<String>, msg: impl Into<String>) -> Self {
        let (path, msg) = (path.into(), msg.into());
        let mut error = Self::invalid(format!("{path}: {msg}"));
        error.errors.push(FieldError { path, msg });
        error
    }

    /// 400: these fields are wrong.
    pub fn fields(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::invalid(detail) }
    }

    /// 401: nobody knows who is asking.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: whoever is asking may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 409: it is not in a state for that.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 412: it is not what the caller took it for.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "conflict", detail)
    }

    /// 415: nobody can read that.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
    }

    /// 413: more than is taken.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", detail)
    }

    /// 429: too much was asked; it may go better in `seconds`.
    pub fn too_many(kind: &'static str, detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, kind, detail).retry_after(seconds)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(5)
    }

    /// 500: our fault. `detail` goes to the log, not to the caller.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed; its trace id is in the log")
    }

    /// 503 when the database or its disk lacks something at the moment, else 500.
    pub fn failed(error: impl Error + 'static) -> Self {
        let Some(lack) = lack(&error) else { return Self::internal(error) };
        tracing::error!(%error, %lack, "nothing can be kept or found now");
        Self { lack: Some(lack), ..Self::unavailable(lack.to_string()) }
    }

    /// With the folder that the database and what is uploaded are in, when what is missing is missing there.
    #[must_use]
    pub(super) fn at(mut self, folder: &Path) -> Self {
        if self.lack.is_some_and(|lack| !matches!(lack, Lack::Answer | Lack::Blobs)) {
            self.detail = format!("{}: {}", folder.display(), self.detail);
        }
        self
    }

    /// It may go better in `seconds`.
    #[must_use]
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// With another status that means the same kind of problem.
    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// With the area's stable code.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The problem document, of the request for `path` with this trace.
    pub(super) fn problem(&self, path: &str, trace: &str) -> Problem {
        Problem {
            kind: format!("https://stella-ops.org/probs/{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            instance: Some(path.to_owned()),
            trace_id: Some(trace.to_owned()),
            code: self.code.map(str::to_owned),
            errors: self.errors.clone(),
        }
    }

    /// What a bare answer of the framework means.
    pub(super) fn of_bare(status: StatusCode, text: String) -> Self {
        let kind = match status {
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::PAYLOAD_TOO_LARGE => "payload-too-large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_server_error() => "internal",
            _ => "validation",
        };
        let detail = if text.is_empty() { status.canonical_reason().unwrap_or("error").to_owned() } else { text };
        Self::new(status, kind, detail)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        for challenge in self.challenges.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()) {
            response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::UNAUTHORIZED && self.challenges.is_empty() {
            let challenge = HeaderValue::from_static("Bearer realm=\"stella\", error=\"invalid_token\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (detail, challenges) = (refusal.to_string(), refusal.challenges());
        let error = match refusal.status() {
            401 => Self::unauthorized(detail),
            403 => Self::forbidden(detail),
            _ => {
                tracing::error!(%detail, "nobody can be let in");
                Self::unavailable("tokens cannot be checked now; the reason is in the log")
            }
        };
        Self { challenges, ..error }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::failed(error)
    }
}

impl From<SurveyError> for ApiError {
    fn from(error: SurveyError) -> Self {
        match error {
            SurveyError::Store(error) => error.into(),
            SurveyError::Broken(_) => Self::unavailable("the server is about to end"),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::of_bare(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

pub(super) async fn no_route() -> ApiError {
    ApiError::not_found("there is nothing at this path")
}

pub(super) async fn no_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "validation", "this path does not take this method")
}

pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::internal(format!("a handler panicked: {}", text.unwrap_or("no message"))).into_response()
}
