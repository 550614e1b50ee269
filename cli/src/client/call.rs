//! One question to the server, made so that it can be asked again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use tokio_util::io::ReaderStream;

use super::ClientError;
use crate::terminal::Progress;

/// Bytes of a file that are read and sent at once.
const PIECE: usize = 64 * 1024;
/// How long an ordinary answer may take.
const ORDINARY: Duration = Duration::from_secs(60);

/// A request, complete but for the server.
#[derive(Debug, Clone)]
pub struct Call {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
    pub(super) deadline: Option<Duration>,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Bytes of a media type.
    Bytes(&'static str, Bytes),
    /// A file of a media type, read while it is sent.
    File(&'static str, PathBuf),
}

impl Call {
    /// Asks for `target`: a path of the API, or an address the server gave.
    #[must_use]
    pub fn get(target: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            target: target.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            deadline: Some(ORDINARY),
        }
    }

    /// Sends `body` to `target`, for as long as that takes.
    #[must_use]
    pub fn post(target: impl Into<String>, body: Body) -> Self {
        Self { method: Method::POST, body, deadline: None, ..Self::get(target) }
    }

    /// Sends `value` as JSON to `target`.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn post_json<T: Serialize>(target: impl Into<String>, value: &T) -> Result<Self, ClientError> {
        let mut call = Self::post(target, Body::Empty);
        let bytes = serde_json::to_vec(value)
            .map_err(|error| ClientError::Answer { call: call.name(), reason: error.to_string() })?;
        call.body = Body::Bytes("application/json", bytes.into());
        Ok(call)
    }

    /// Sends `value` as JSON to `target`, to change what is there.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn patch_json<T: Serialize>(target: impl Into<String>, value: &T) -> Result<Self, ClientError> {
        Ok(Self { method: Method::PATCH, ..Self::post_json(target, value)? })
    }

    /// Adds a parameter; may be repeated.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Method and path, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

impl Body {
    /// Puts it into a request. What comes with it shows how far it is sent, and afterwards that the answer is waited for: it is
    /// to be held until there is one.
    pub(super) async fn put_into(
        &self,
        request: RequestBuilder,
    ) -> Result<(RequestBuilder, Option<Arc<Progress>>), ClientError> {
        match self {
            Self::Empty => Ok((request, None)),
            Self::Bytes(media_type, bytes) => Ok((request.header(CONTENT_TYPE, *media_type).body(bytes.clone()), None)),
            Self::File(media_type, path) => {
                let failed = |source| ClientError::File { path: path.display().to_string(), source };
                let file = tokio::fs::File::open(path).await.map_err(failed)?;
                let length = file.metadata().await.map_err(failed)?.len();
                let progress = Arc::new(Progress::bytes(&format!("sending {}", path.display()), length));
                // A connection may keep the body for longer than anybody waits for the answer.
                let sent = Arc::downgrade(&progress);
                let told = ReaderStream::with_capacity(file, PIECE).inspect_ok(move |bytes| {
                    if let Some(sent) = sent.upgrade() {
                        sent.add(bytes.len() as u64);
                    }
                });
                let body = reqwest::Body::wrap_stream(told);
                let request = request.header(CONTENT_TYPE, *media_type).header(CONTENT_LENGTH, length).body(body);
                Ok((request, Some(progress)))
            }
        }
    }
}
