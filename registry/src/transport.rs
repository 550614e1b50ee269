//! One HTTP exchange: which client, how long, and where redirects may lead.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, RANGE,
};
use reqwest::{Certificate, ClientBuilder, Method, Response, StatusCode, Url};

use crate::config::{ConfigError, Registries, read_bounded};
use crate::error::RequestError;
use crate::limits::Limits;
use crate::reference::{DOCKER_HUB, DOCKER_HUB_API};

/// Bytes of a file of certificates.
const LONGEST_CA: u64 = 4 << 20;
const USER_AGENT: &str = concat!("stella/", env!("CARGO_PKG_VERSION"));

/// The clients: one for plain HTTP, one with the system's authorities, one for each host with its own.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) limits: Limits,
    plain: reqwest::Client,
    /// Made when it is needed: an image without any certificates has none to make it of.
    system: OnceLock<Result<reqwest::Client, String>>,
    own: BTreeMap<String, reqwest::Client>,
    insecure: Vec<String>,
}

/// What is asked for, with GET or HEAD.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// Whether the headers of the answer are enough.
    pub(crate) head: bool,
    pub(crate) url: &'a Url,
    pub(crate) accept: Option<&'a str>,
    /// The first byte that is wanted.
    pub(crate) from: Option<u64>,
    pub(crate) authorization: Option<&'a HeaderValue>,
}

/// What is sent, to one URL and no other.
#[derive(Debug, Clone)]
pub(crate) struct Sending<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    /// Kind of the body.
    pub(crate) kind: &'a str,
    pub(crate) body: Vec<u8>,
}

/// An answer, and whether it came from the host that was asked.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) own: bool,
}

impl Transport {
    pub(crate) fn new(registries: &Registries, limits: Limits) -> Result<Self, ConfigError> {
        let hosts = registries.by_host()?;
        let failed = |error: reqwest::Error| ConfigError::Client { reason: error.to_string() };
        let mut own = BTreeMap::new();
        for (host, registry) in &hosts {
            if let Some(path) = &registry.ca_file {
                own.insert((*host).to_owned(), with_authorities(path, &limits)?);
            }
        }
        let insecure = hosts.iter().filter(|(_, registry)| registry.insecure).map(|(host, _)| (*host).to_owned());
        Ok(Self {
            limits,
            plain: builder(&limits).tls_certs_only([]).build().map_err(failed)?,
            system: OnceLock::new(),
            own,
            insecure: insecure.collect(),
        })
    }

    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        self.insecure.iter().any(|insecure| insecure == host)
    }

    fn client(&self, url: &Url) -> Result<&reqwest::Client, RequestError> {
        if url.scheme() == "http" {
            return Ok(&self.plain);
        }
        if let Some(client) = self.own.get(&authority(url)) {
            return Ok(client);
        }
        let make = || builder(&self.limits).build().map_err(|error| RequestError::from(error).to_string());
        self.system.get_or_init(make).as_ref().map_err(|reason| RequestError::Tls { reason: reason.clone() })
    }

    /// Asks, and follows redirects. The authorization goes to the host that was asked and to no other.
    pub(crate) async fn get(&self, question: Question<'_>) -> Result<Answer, RequestError> {
        let mut url = question.url.clone();
        for _ in 0..=self.limits.redirects {
            let own = url.origin() == question.url.origin();
            let method = if question.head { Method::HEAD } else { Method::GET };
            let mut request = self.client(&url)?.request(method, url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(accept) = question.accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(from) = question.from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(authorization) = question.authorization.filter(|_| own) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = self.send(request).await?;
            if !is_redirect(response.status()) {
                return Ok(Answer { response, own });
            }
            url = self.target(&url, &response)?;
        }
        Err(RequestError::Redirect { reason: "too many of them" })
    }

    /// Asks one host, anonymously. A redirect is an answer like any other.
    pub(crate) async fn ask(&self, url: &Url) -> Result<Response, RequestError> {
        self.send(self.client(url)?.get(url.clone()).header(ACCEPT_ENCODING, "identity")).await
    }

    /// Posts a form. A redirect is an answer like any other: a form with a secret goes nowhere else.
    pub(crate) async fn post(&self, url: &Url, form: String) -> Result<Response, RequestError> {
        let request = self.client(url)?.post(url.clone()).body(form);
        self.send(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")).await
    }

    /// Sends a document. A redirect is an answer like any other: what is sent goes to the host it is meant for.
    pub(crate) async fn put(
        &self,
        sending: &Sending<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RequestError> {
        let mut request = self.client(sending.url)?.request(sending.method.clone(), sending.url.clone());
        request = request.header(CONTENT_TYPE, sending.kind).header(CONTENT_LENGTH, sending.body.len());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.send(request.body(sending.body.clone())).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, RequestError> {
        let answered = tokio::time::timeout(self.limits.connect + self.limits.answer, request.send()).await;
        Ok(answered.map_err(|_| RequestError::Timeout { seconds: self.limits.answer.as_secs() })??)
    }

    /// Where an answer leads on, with no credentials in it.
    pub(crate) fn target(&self, from: &Url, response: &Response) -> Result<Url, RequestError> {
        let refused = |reason| RequestError::Redirect { reason };
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let url = from.join(location.ok_or(refused("it says not where to"))?).map_err(|_| refused("not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it brings credentials"));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if from.scheme() == "http" || self.is_insecure(&authority(&url)) => Ok(url),
            "http" => Err(refused("it leads from TLS to plain HTTP")),
            _ => Err(refused("it leads to something other than HTTP")),
        }
    }
}

/// Host as settings name it, with the port where it is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().map_or("", |host| if host == DOCKER_HUB_API { DOCKER_HUB } else { host });
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Digests are those of the bytes as sent, so nothing is unpacked on the way.
fn builder(limits: &Limits) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(limits.connect)
        .referer(false)
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
}

fn with_authorities(path: &Path, limits: &Limits) -> Result<reqwest::Client, ConfigError> {
    let wrong = |reason: String| ConfigError::Certificates { path: path.to_owned(), reason };
    let certificates =
        Certificate::from_pem_bundle(&read_bounded(path, LONGEST_CA)?).map_err(|e| wrong(e.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("there is none in it".into()));
    }
    builder(limits).tls_certs_only(certificates).build().map_err(|error| wrong(error.to_string()))
}
