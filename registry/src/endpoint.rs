//! One host that may have an image: a mirror, or the registry itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};
use stella_domain::Digest;

use crate::config::{Registry, split_mirror};
use crate::credentials::Keyring;
use crate::document::{read_at_most, status_of};
use crate::error::RequestError;
use crate::reference::{DOCKER_HUB, DOCKER_HUB_API, Reference};
use crate::retry;
use crate::session::Session;
use crate::transport::{Question, Sending, Transport};

/// The header with the digest of a manifest.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A host, the repository there, and how we stand with it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    base: Url,
    transport: Arc<Transport>,
    session: Session,
    mirror: bool,
    absent: AtomicBool,
}

/// A document to be held whole.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) path: String,
    pub(crate) accept: Option<&'a str>,
    /// What it must be; a tag's manifest may be anything.
    pub(crate) digest: Option<Digest>,
    /// Its size in bytes; zero when not told.
    pub(crate) size: u64,
}

/// The hosts for an image in the order they are asked: mirrors, then the registry.
pub(crate) fn endpoints(
    transport: &Arc<Transport>,
    registry: Option<&Registry>,
    reference: &Reference,
    keyring: &Keyring,
) -> Result<Vec<Endpoint>, RequestError> {
    let mirrors = registry.map_or(&[][..], |registry| &registry.mirrors);
    let mut found = Vec::new();
    for mirror in mirrors {
        let (host, path) = split_mirror(mirror);
        let repository = reference.repository();
        let repository = path.map_or_else(|| repository.to_owned(), |path| format!("{path}/{repository}"));
        found.push(Endpoint::new(transport, host, repository, keyring, true)?);
    }
    found.push(Endpoint::new(transport, reference.registry(), reference.repository().to_owned(), keyring, false)?);
    Ok(found)
}

/// The registry itself, to write to; mirrors are for reading.
pub(crate) fn for_push(
    transport: &Arc<Transport>,
    reference: &Reference,
    keyring: &Keyring,
) -> Result<Endpoint, RequestError> {
    let endpoint = Endpoint::new(transport, reference.registry(), reference.repository().to_owned(), keyring, false)?;
    Ok(Endpoint { session: endpoint.session.pushing(), ..endpoint })
}

impl Endpoint {
    fn new(
        transport: &Arc<Transport>,
        host: &str,
        repository: String,
        keyring: &Keyring,
        mirror: bool,
    ) -> Result<Self, RequestError> {
        let plain = transport.is_insecure(host);
        let scheme = if plain { "http" } else { "https" };
        let address = if host == DOCKER_HUB { DOCKER_HUB_API } else { host };
        let base = Url::parse(&format!("{scheme}://{address}/v2/{repository}/"))
            .map_err(|error| RequestError::Connection { reason: error.to_string() })?;
        let session = Session::new(host.to_owned(), repository, plain, keyring.clone());
        let absent = AtomicBool::new(false);
        Ok(Self { host: host.to_owned(), base, transport: Arc::clone(transport), session, mirror, absent })
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// How long to wait after failure number `failed`, if asking again is worth it.
    pub(crate) fn delay(&self, failed: u32, error: &RequestError) -> Option<Duration> {
        retry::delay(&self.transport.limits, self.mirror, failed, error)
    }

    /// Whether it was found not to be there.
    pub(crate) fn is_absent(&self) -> bool {
        self.absent.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, error: &RequestError) {
        if error.is_absence() {
            self.absent.store(true, Ordering::Relaxed);
        }
    }

    /// A document, whole and verified.
    pub(crate) async fn document(&self, wanted: &Wanted<'_>) -> Result<Vec<u8>, RequestError> {
        let mut failed = 0;
        loop {
            let error = match self.document_once(wanted).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            failed += 1;
            let Some(delay) = self.delay(failed, &error) else { return Err(error) };
            tracing::debug!(host = self.host, path = wanted.path, failed, %error, "asking again");
            tokio::time::sleep(delay).await;
        }
    }

    async fn document_once(&self, wanted: &Wanted<'_>) -> Result<Vec<u8>, RequestError> {
        let limits = &self.transport.limits;
        let response = self.get(&wanted.path, wanted.accept, None).await?;
        if response.status().as_u16() != 200 {
            return Err(status_of(response).await);
        }
        let told = told_digest(&response);
        let is_page =
            response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let max = if wanted.size == 0 { limits.document_bytes } else { limits.document_bytes.min(wanted.size) };
        let bytes = read_at_most(response, max, limits).await?;
        let found = Digest::of(&bytes);
        if let Some(expected) = wanted.digest.or(told.filter(|_| !is_page))
            && expected != found
        {
            return Err(RequestError::Digest { expected, found });
        }
        Ok(bytes)
    }

    /// The digest of a document, asked for once: what the host says of it, which registries do not count as a pull, else that
    /// of the document itself.
    pub(crate) async fn digest(&self, wanted: &Wanted<'_>) -> Result<Digest, RequestError> {
        let response = self.ask(true, &wanted.path, wanted.accept, None).await?;
        match told_digest(&response).filter(|_| response.status().as_u16() == 200) {
            Some(digest) => Ok(digest),
            None => self.document_once(wanted).await.map(|bytes| Digest::of(&bytes)),
        }
    }

    /// What lies at `path` below the repository.
    pub(crate) fn url(&self, path: &str) -> Result<Url, RequestError> {
        self.base.join(path).map_err(|error| RequestError::Connection { reason: error.to_string() })
    }

    /// Sends a document, letting ourselves in where needed. Credentials go to the registry's own address alone.
    pub(crate) async fn put(&self, sending: &Sending<'_>) -> Result<Response, RequestError> {
        let own = sending.url.origin() == self.base.origin();
        loop {
            let (header, turn) = self.session.current().await;
            let response = self.transport.put(sending, header.as_ref().filter(|_| own)).await?;
            let status = response.status().as_u16();
            match status {
                401 | 403 if own && (status == 401 || header.is_some()) => {
                    self.session.refused(&self.transport, turn, status, response.headers()).await?;
                }
                401 | 403 => return Err(status_of(response).await),
                _ => {
                    self.session.accepted(turn).await;
                    return Ok(response);
                }
            }
        }
    }

    /// Asks for what lies at `path` below the repository, letting ourselves in where needed.
    pub(crate) async fn get(
        &self,
        path: &str,
        accept: Option<&str>,
        from: Option<u64>,
    ) -> Result<Response, RequestError> {
        self.ask(false, path, accept, from).await
    }

    async fn ask(
        &self,
        head: bool,
        path: &str,
        accept: Option<&str>,
        from: Option<u64>,
    ) -> Result<Response, RequestError> {
        let url = self.url(path)?;
        loop {
            let (header, turn) = self.session.current().await;
            let question = Question { head, url: &url, accept, from, authorization: header.as_ref() };
            let answer = self.transport.get(question).await?;
            let status = answer.response.status().as_u16();
            match status {
                401 | 403 if answer.own && (status == 401 || header.is_some()) => {
                    self.session.refused(&self.transport, turn, status, answer.response.headers()).await?;
                }
                401 | 403 => return Err(status_of(answer.response).await),
                _ => {
                    self.session.accepted(turn).await;
                    return Ok(answer.response);
                }
            }
        }
    }
}

/// What the headers of an answer say of the digest of a manifest.
fn told_digest(response: &Response) -> Option<Digest> {
    response.headers().get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}
