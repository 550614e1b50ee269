//! One question to the server, made so that it can be asked again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use tokio_util::io::ReaderStream;

use super::ClientError;
use super::operation::Operation;

/// Bytes of a file that are read and sent at once.
const PIECE: usize = 64 * 1024;
/// How long an ordinary answer may take.
const ORDINARY: Duration = Duration::from_secs(60);
/// Bytes of an ordinary answer.
const ORDINARY_BYTES: usize = 64 << 20;

/// Told how far a file is sent. Held until the answer has come or the attempt has failed.
pub trait Progress: fmt::Debug + Send + Sync {
    /// So many bytes more are on their way.
    fn sent(&self, bytes: u64);
}

/// Begins to tell of a file and its length in bytes.
pub type BeginProgress = fn(&Path, u64) -> Arc<dyn Progress>;

/// A request, complete but for the server. Not for `Debug`: it may carry a password.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
    pub(super) deadline: Option<Duration>,
    /// Bytes the answer may have.
    pub(super) limit: usize,
}

/// What a request carries.
#[derive(Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes of a media type.
    Bytes(&'static str, Bytes),
    /// A file of a media type, read while it is sent.
    File(&'static str, PathBuf),
}

impl Call {
    /// An operation, with the parameters of its path. What only reads has to be answered within a minute; anything else takes as
    /// long as it takes.
    pub(super) fn of(operation: Operation, parameters: &[&str]) -> Self {
        Self::at(operation, operation.at(parameters))
    }

    /// An operation at an address that the server gave.
    pub(super) fn at(operation: Operation, target: impl Into<String>) -> Self {
        let method = operation.method();
        let deadline = (method == Method::GET).then_some(ORDINARY);
        Self {
            method,
            target: target.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            deadline,
            limit: ORDINARY_BYTES,
        }
    }

    pub(super) fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    /// With `value` as JSON.
    pub(super) fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| ClientError::Answer { call: self.name(), reason: error.to_string() })?;
        Ok(self.body(Body::json(bytes)))
    }

    /// Adds a parameter; may be repeated.
    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a parameter that has a value.
    pub(super) fn query_given(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer has to be whole within that time.
    pub(super) fn within(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// The answer takes as long as it takes.
    pub(super) fn without_end(self) -> Self {
        Self { deadline: None, ..self }
    }

    /// The answer may have so many bytes.
    pub(super) fn up_to(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Method and path, for messages.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

impl Body {
    /// JSON that is written down already.
    #[must_use]
    pub fn json(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes("application/json", bytes.into())
    }

    /// Puts it into a request. What comes with it is to be held until there is an answer.
    pub(super) async fn put_into(
        &self,
        request: RequestBuilder,
        begin: Option<BeginProgress>,
    ) -> Result<(RequestBuilder, Option<Arc<dyn Progress>>), ClientError> {
        match self {
            Self::Empty => Ok((request, None)),
            Self::Bytes(media_type, bytes) => Ok((request.header(CONTENT_TYPE, *media_type).body(bytes.clone()), None)),
            Self::File(media_type, path) => {
                let failed = |source| ClientError::File { path: path.clone(), source };
                let file = tokio::fs::File::open(path).await.map_err(failed)?;
                let length = file.metadata().await.map_err(failed)?.len();
                let progress = begin.map(|begin| begin(path, length));
                // A connection may keep the body for longer than anybody waits for the answer.
                let sent = progress.as_ref().map(Arc::downgrade);
                let told = ReaderStream::with_capacity(file, PIECE).inspect_ok(move |bytes| {
                    if let Some(progress) = sent.as_ref().and_then(std::sync::Weak::upgrade) {
                        progress.sent(bytes.len() as u64);
                    }
                });
                let body = reqwest::Body::wrap_stream(told);
                let request = request.header(CONTENT_TYPE, *media_type).header(CONTENT_LENGTH, length).body(body);
                Ok((request, progress))
            }
        }
    }
}
