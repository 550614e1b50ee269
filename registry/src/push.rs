//! Writing to one repository: blobs, and manifests that the registry confirms by their digest.

use std::sync::Arc;

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use stella_domain::Digest;

use crate::credentials::Keyring;
use crate::document::status_of;
use crate::endpoint::{Endpoint, Wanted, for_push};
use crate::error::RequestError;
use crate::reference::Reference;
use crate::transport::{Sending, Transport};

/// Bytes of a manifest that registries have to take.
pub(crate) const LONGEST_MANIFEST: usize = 4 << 20;
/// The header by which a registry says that it keeps the list of referrers itself.
const SUBJECT: &str = "oci-subject";
const CONTENT_DIGEST: &str = "docker-content-digest";
const BYTES: &str = "application/octet-stream";

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The registry did not take it, or does not have what it belongs to.
    #[error("{what} in {repository}: {error}")]
    Failed {
        /// Registry and repository.
        repository: String,
        /// What was to be read or written.
        what: String,
        /// What went wrong.
        error: RequestError,
    },
    /// It is longer than registries have to take.
    #[error("{what} in {repository}: {size} bytes, more than the limit of {max}")]
    TooLarge {
        /// Registry and repository.
        repository: String,
        /// What it is.
        what: String,
        /// Its size.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// What stands there cannot be added to.
    #[error("{what} in {repository} cannot be added to: {reason}")]
    Unusable {
        /// Registry and repository.
        repository: String,
        /// What it is.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// Others write the same list, and theirs stood there each time.
    #[error("{what} in {repository}: others changed it at the same time, again and again")]
    Contended {
        /// Registry and repository.
        repository: String,
        /// What it is.
        what: String,
    },
}

/// One repository to write to.
#[derive(Debug)]
pub(crate) struct Pusher {
    endpoint: Endpoint,
    repository: String,
}

impl Pusher {
    pub(crate) fn new(transport: &Arc<Transport>, reference: &Reference, keyring: &Keyring) -> Result<Self, PushError> {
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        match for_push(transport, reference, keyring) {
            Ok(endpoint) => Ok(Self { endpoint, repository }),
            Err(error) => Err(PushError::Failed { repository, what: "the repository".to_owned(), error }),
        }
    }

    pub(crate) fn failed(&self, what: impl Into<String>, error: RequestError) -> PushError {
        PushError::Failed { repository: self.repository.clone(), what: what.into(), error }
    }

    pub(crate) fn unusable(&self, what: impl Into<String>, reason: impl ToString) -> PushError {
        PushError::Unusable { repository: self.repository.clone(), what: what.into(), reason: reason.to_string() }
    }

    pub(crate) fn contended(&self, what: impl Into<String>) -> PushError {
        PushError::Contended { repository: self.repository.clone(), what: what.into() }
    }

    /// The manifest of a tag or digest; none when there is none.
    pub(crate) async fn manifest(&self, name: &str, accept: &str) -> Result<Option<Vec<u8>>, PushError> {
        let wanted =
            Wanted { path: format!("manifests/{name}"), accept: Some(accept), digest: name.parse().ok(), size: 0 };
        match self.endpoint.document(&wanted).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(RequestError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(self.failed(format!("the manifest {name}"), error)),
        }
    }

    /// Writes a blob, unless the registry has it.
    pub(crate) async fn blob(&self, bytes: &[u8]) -> Result<Digest, PushError> {
        let digest = Digest::of(bytes);
        let what = || format!("the blob {digest}");
        let max = usize::try_from(self.endpoint.transport().limits.document_bytes).unwrap_or(usize::MAX);
        if bytes.len() > max {
            return Err(PushError::TooLarge {
                repository: self.repository.clone(),
                what: what(),
                size: bytes.len(),
                max,
            });
        }
        let mut failed = 0;
        loop {
            let error = match self.blob_once(digest, bytes).await {
                Ok(()) => return Ok(digest),
                Err(error) => error,
            };
            failed += 1;
            let Some(delay) = self.endpoint.delay(failed, &error) else { return Err(self.failed(what(), error)) };
            tokio::time::sleep(delay).await;
        }
    }

    async fn blob_once(&self, digest: Digest, bytes: &[u8]) -> Result<(), RequestError> {
        let url = self.endpoint.url(&format!("blobs/{digest}"))?;
        let head = Sending { method: Method::HEAD, url: &url, kind: BYTES, body: Vec::new() };
        if self.endpoint.put(&head).await?.status().as_u16() == 200 {
            return Ok(());
        }
        let url = self.endpoint.url("blobs/uploads/")?;
        let begin = Sending { method: Method::POST, url: &url, kind: BYTES, body: Vec::new() };
        let begun = self.endpoint.put(&begin).await?;
        if begun.status().as_u16() != 202 {
            return Err(status_of(begun).await);
        }
        let mut place = self.endpoint.transport().target(&url, &begun)?;
        place.query_pairs_mut().append_pair("digest", &digest.to_string());
        let whole = Sending { method: Method::PUT, url: &place, kind: BYTES, body: bytes.to_vec() };
        let done = self.endpoint.put(&whole).await?;
        confirmed(done, digest).await.map(drop)
    }

    /// Writes a manifest by its digest or as a tag. Whether the registry keeps the list of referrers for it.
    pub(crate) async fn put_manifest(&self, name: &str, kind: &str, bytes: &[u8]) -> Result<bool, PushError> {
        let what = || format!("the manifest {name}");
        if bytes.len() > LONGEST_MANIFEST {
            let (repository, max) = (self.repository.clone(), LONGEST_MANIFEST);
            return Err(PushError::TooLarge { repository, what: what(), size: bytes.len(), max });
        }
        let mut failed = 0;
        loop {
            let error = match self.put_manifest_once(name, kind, bytes).await {
                Ok(headers) => return Ok(headers.contains_key(SUBJECT)),
                Err(error) => error,
            };
            failed += 1;
            let Some(delay) = self.endpoint.delay(failed, &error) else { return Err(self.failed(what(), error)) };
            tokio::time::sleep(delay).await;
        }
    }

    async fn put_manifest_once(&self, name: &str, kind: &str, bytes: &[u8]) -> Result<HeaderMap, RequestError> {
        let url = self.endpoint.url(&format!("manifests/{name}"))?;
        let sending = Sending { method: Method::PUT, url: &url, kind, body: bytes.to_vec() };
        confirmed(self.endpoint.put(&sending).await?, Digest::of(bytes)).await
    }
}

/// The answer to something that was written. A digest in it has to be the one of what was sent.
async fn confirmed(response: Response, expected: Digest) -> Result<HeaderMap, RequestError> {
    if response.status().as_u16() != 201 {
        return Err(status_of(response).await);
    }
    let headers = response.headers().clone();
    let told = headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse::<Digest>().ok());
    match told {
        Some(found) if found != expected => Err(RequestError::Digest { expected, found }),
        _ => Ok(headers),
    }
}
