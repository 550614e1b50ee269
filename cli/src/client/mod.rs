//! Talking to the server (http.md).

mod call;
mod pages;
mod refusal;
pub mod scans;
mod token;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use stella_domain::Tenant;

use crate::terminal;

pub use call::{Body, Call};
pub use token::{Token, TokenError};

/// Where the server is by default.
pub const DEFAULT_SERVER: &str = "http://localhost:8080";

const CONNECT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why the server gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is of no use.
    #[error("--server '{0}' is no http or https address")]
    Server(String),
    /// HTTP cannot be set up, for example because the system has no trusted certificates.
    #[error("cannot set up http")]
    Setup(#[source] reqwest::Error),
    /// No connection, or it broke.
    #[error("cannot reach {server}")]
    Unreachable {
        /// The server.
        server: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The server said no.
    #[error("{call}: {problem}")]
    Refused {
        /// Method and path.
        call: String,
        /// The status.
        status: StatusCode,
        /// What it said.
        problem: String,
    },
    /// The answer is not what this release understands.
    #[error("{call} gave an answer that cannot be read: {reason}")]
    Answer {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server points at another one, which must not see the token.
    #[error("the server refers to '{0}', which is another server")]
    Foreign(String),
    /// A file that was to be sent.
    #[error("cannot read '{path}'")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ClientError {
    /// Whether the same question may well be answered in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => {
                matches!(
                    *status,
                    StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
                )
            }
            _ => false,
        }
    }
}

/// Whom to ask and as whom.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Address of the server, with an optional path before the API's.
    pub server: String,
    /// Bearer token.
    pub token: Option<Token>,
    /// Tenant; without it the token's own.
    pub tenant: Option<Tenant>,
    /// Whether a 429 is waited out once.
    pub wait_quota: bool,
}

/// A connection to one server. Follows no redirect, so that the token goes nowhere else.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    settings: Settings,
}

impl Client {
    /// Prepares for the server of `settings`; nothing is sent yet.
    ///
    /// # Errors
    /// When the address is none, or TLS cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        stella_service::crypto::install();
        let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let parsed = Url::parse(&settings.server).ok().filter(usable);
        let server = parsed.ok_or_else(|| ClientError::Server(settings.server.clone()))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("stella-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_keepalive(KEEPALIVE)
            .redirect(redirect::Policy::none());
        if server.scheme() == "http" {
            // Small containers have no trusted certificates, and loading them is work that plain HTTP does not need.
            builder = builder.tls_certs_only(Vec::<reqwest::Certificate>::new());
        }
        let http = builder.build().map_err(ClientError::Setup)?;
        Ok(Self { http, server, settings })
    }

    /// The tenant that was asked for.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Tenant> {
        self.settings.tenant.as_ref()
    }

    /// Sends `call` and takes any 2xx answer. Where the settings say so, a 429 is waited out once.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn send(&self, call: &Call) -> Result<Response, ClientError> {
        let mut answer = self.attempt(call).await?;
        if let Some(wait) = retry_after(&answer).filter(|_| self.settings.wait_quota) {
            terminal::note(format!("the server asks to come back in {} s; waiting", wait.as_secs()));
            tokio::time::sleep(wait).await;
            answer = self.attempt(call).await?;
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = self.body(answer).await?;
        Err(ClientError::Refused { call: call.name(), status, problem: refusal::describe(status, &body) })
    }

    /// Sends `call` and reads the answer as JSON.
    ///
    /// # Errors
    /// As [`Self::send`], and when the answer is something else.
    pub async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let answer = self.send(call).await?;
        self.read_json(call, answer).await
    }

    /// Reads an answer to `call` as JSON.
    ///
    /// # Errors
    /// When it breaks off or is something else.
    pub async fn read_json<T: DeserializeOwned>(&self, call: &Call, answer: Response) -> Result<T, ClientError> {
        let body = self.body(answer).await?;
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::Answer { call: call.name(), reason: error.to_string() })
    }

    /// Sends `call` and reads the answer whole.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn bytes(&self, call: &Call) -> Result<Bytes, ClientError> {
        let answer = self.send(call).await?;
        self.body(answer).await
    }

    async fn body(&self, answer: Response) -> Result<Bytes, ClientError> {
        answer.bytes().await.map_err(|source| self.unreachable(source))
    }

    /// Sends `call` once and takes any answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn attempt(&self, call: &Call) -> Result<Response, ClientError> {
        let mut request = self.http.request(call.method.clone(), self.address(&call.target)?).query(&call.query);
        if let Some(token) = self.settings.token.as_ref().filter(|token| !token.is_empty()) {
            request = request.bearer_auth(token.reveal());
        }
        if let Some(tenant) = &self.settings.tenant {
            request = request.header("X-Stella-Tenant", tenant.as_str());
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(deadline) = call.deadline {
            request = request.timeout(deadline);
        }
        // The body is dropped as soon as it is sent; the line about it stays until the server has answered.
        let (request, _progress) = call.body.put_into(request).await?;
        tracing::debug!(call = call.name(), "asking");
        request.send().await.map_err(|source| self.unreachable(source))
    }

    /// A path of the API below the server's address, or an absolute address on the same server.
    fn address(&self, target: &str) -> Result<Url, ClientError> {
        let foreign = || ClientError::Foreign(target.to_owned());
        if target.starts_with('/') && !target.starts_with("//") {
            let base = self.server.as_str().trim_end_matches('/');
            return Url::parse(&format!("{base}{target}")).map_err(|_| foreign());
        }
        let url = self.server.join(target).map_err(|_| foreign())?;
        if url.origin() == self.server.origin() { Ok(url) } else { Err(foreign()) }
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        // The address may hold a password, and is told in the message already.
        ClientError::Unreachable { server: self.server.origin().ascii_serialization(), source: source.without_url() }
    }
}

/// How long a 429 asks to wait: `Retry-After` in whole seconds.
fn retry_after(answer: &Response) -> Option<Duration> {
    if answer.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Result<Client, ClientError> {
        Client::new(Settings { server: server.to_owned(), ..Settings::default() })
    }

    #[test]
    fn paths_go_below_the_server_and_nothing_goes_elsewhere() {
        let client = client("http://stella.local:8080/behind/").unwrap();
        let address = |target: &str| client.address(target).map(String::from).map_err(|error| error.to_string());
        assert_eq!(address("/scan").unwrap(), "http://stella.local:8080/behind/scan");
        assert_eq!(address("http://stella.local:8080/x?a=b").unwrap(), "http://stella.local:8080/x?a=b");
        for elsewhere in
            ["http://evil.local/x", "//evil.local/x", "https://stella.local:8080/x", "http://stella.local/x"]
        {
            assert!(address(elsewhere).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn an_address_without_scheme_is_refused() {
        assert!(client("localhost:8080").unwrap_err().to_string().contains("'localhost:8080'"));
        assert!(client("ftp://localhost").is_err());
    }
}
