//! The operator's API as this process asks it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use stella_api::runtime::RuntimePolicyRequest;
use stella_api::token::{ExchangedToken, GivenToken, TOKEN_FORM, TOKEN_PATH, exchange_form};
use stella_api::trace::{TRACEPARENT, traceparent};
use tokio::sync::Mutex;

const CONNECT: Duration = Duration::from_secs(10);
/// In which a token has to be given.
const TOKEN: Duration = Duration::from_secs(10);
/// Header with which a stream resumes (HTML Living Standard, section 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// JSON values, one a line.
const NDJSON: &str = "application/x-ndjson";

/// Why the operator could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is no URL for HTTP.
    #[error("--server '{0}' is not an http or https url")]
    Url(String),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection failed.
    #[error("asking the operator failed: {0}")]
    Transport(#[from] reqwest::Error),
    /// The operator gives no token in place of the one in the file.
    #[error("no token in place of the service account's: the operator answered {status}: {detail}")]
    Token {
        /// HTTP status.
        status: StatusCode,
        /// Beginning of the body.
        detail: String,
    },
    /// The operator refused.
    #[error("the operator answered {status}: {detail}")]
    Status {
        /// HTTP status.
        status: StatusCode,
        /// Beginning of the body.
        detail: String,
    },
}

impl ClientError {
    /// Whether the same question may be answered later: the operator is away or busy, or does not know this process's token (yet).
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                let waits = [
                    StatusCode::UNAUTHORIZED,
                    StatusCode::FORBIDDEN,
                    StatusCode::REQUEST_TIMEOUT,
                    StatusCode::TOO_MANY_REQUESTS,
                ];
                !status.is_client_error() || waits.contains(status)
            }
            Self::Url(_) => false,
            Self::File { .. } | Self::Transport(_) | Self::Token { .. } => true,
        }
    }

    /// Whether another question would be answered no better: nobody answers, or whoever does is too busy for all.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Status { status, .. } => [
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ]
            .contains(status),
            Self::Url(_) | Self::File { .. } | Self::Transport(_) | Self::Token { .. } => true,
        }
    }
}

/// Where the operator is, and how this process proves who it is. Files are read anew for each connection: the kubelet
/// renews tokens in place.
#[derive(Debug, Clone)]
pub struct Server {
    base: Url,
    token: Option<String>,
    token_file: Option<PathBuf>,
    /// In place of the token in the file.
    exchanged: Option<Arc<Mutex<ExchangedToken>>>,
    ca_file: Option<PathBuf>,
}

impl Server {
    /// The operator at `url`.
    ///
    /// # Errors
    /// Not an HTTP URL.
    pub fn new(url: &str, token_file: Option<PathBuf>, ca_file: Option<PathBuf>) -> Result<Self, ClientError> {
        let base = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let mut base = base.ok_or_else(|| ClientError::Url(url.to_owned()))?;
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Self { base, token: None, token_file, exchanged: None, ca_file })
    }

    /// With a token at hand, where none is in a file.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// The token in the file is a service account's, and the operator is asked for one of its authority in its place.
    #[must_use]
    pub fn exchanging_its_token(self) -> Self {
        Self { exchanged: Some(Arc::default()), ..self }
    }

    /// Opens the stream of verdicts, after `cursor` if there is one. The body ends with an error when nothing comes
    /// for `idle`.
    ///
    /// # Errors
    /// An unreadable file, no connection, or any answer but 200.
    pub async fn verdicts(&self, cursor: Option<&str>, idle: Duration) -> Result<Response, ClientError> {
        let client = self.client().await?.read_timeout(idle).build()?;
        let mut request = client.get(self.url("api/v1/admission/verdicts")).header(ACCEPT, "text/event-stream");
        if let Some(cursor) = cursor {
            request = request.header(LAST_EVENT_ID, cursor);
        }
        self.checked(self.authorized(request).await?.send().await?).await
    }

    /// Asks for the verdicts of images, so that those nobody has scanned are queued for a scan. The answer has to come `within` that
    /// time.
    ///
    /// # Errors
    /// An unreadable file, no connection, no answer in time, or a refusal.
    pub async fn runtime_policy(&self, question: &RuntimePolicyRequest, within: Duration) -> Result<(), ClientError> {
        let client = self.client().await?.timeout(within).build()?;
        let request = client.post(self.url("api/v1/scanner/policy/runtime")).json(question);
        self.checked(self.authorized(request).await?.send().await?).await.map(drop)
    }

    /// Sends records of decisions, one a line, to be kept. The answer has to come `within` that time.
    ///
    /// # Errors
    /// An unreadable file, no connection, no answer in time, or a refusal.
    pub async fn keep_decisions(&self, lines: String, within: Duration) -> Result<(), ClientError> {
        let client = self.client().await?.timeout(within).build()?;
        let request = client.post(self.url("api/v1/admission/decisions")).header(CONTENT_TYPE, NDJSON).body(lines);
        self.checked(self.authorized(request).await?.send().await?).await.map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn client(&self) -> Result<reqwest::ClientBuilder, ClientError> {
        let builder = Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        Ok(match &self.ca_file {
            Some(path) => builder.tls_certs_only(Certificate::from_pem_bundle(read(path).await?.as_bytes())?),
            // Without TLS no certificate of the system is needed, and a minimal image has none.
            None if self.base.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        })
    }

    /// The request with the token of this moment, and a trace that the operator's log and answer name, too.
    async fn authorized(&self, request: RequestBuilder) -> Result<RequestBuilder, ClientError> {
        let request = request.header(TRACEPARENT, traceparent(None));
        let token = match (&self.token_file, &self.token) {
            (Some(path), _) => self.token(read(path).await?.trim()).await?,
            (None, Some(token)) => token.clone(),
            (None, None) => return Ok(request),
        };
        Ok(request.header(AUTHORIZATION, format!("Bearer {}", token.trim())))
    }

    /// The token to ask with by whoever has this one: itself, or what the operator gives in its place. Who else asks meanwhile waits
    /// for it.
    async fn token(&self, own: &str) -> Result<String, ClientError> {
        let Some(exchanged) = &self.exchanged else { return Ok(own.to_owned()) };
        let mut exchanged = exchanged.lock().await;
        let now = Instant::now();
        if let Some(token) = exchanged.usable(own, now) {
            return Ok(token.to_owned());
        }
        match self.exchange(own).await {
            Ok(given) => Ok(exchanged.keep(own, given, now).to_owned()),
            Err(error) => exchanged.make_do(own, now).map(str::to_owned).ok_or(error),
        }
    }

    async fn exchange(&self, own: &str) -> Result<GivenToken, ClientError> {
        let client = self.client().await?.timeout(TOKEN).build()?;
        let asked = client.post(self.url(TOKEN_PATH)).header(CONTENT_TYPE, TOKEN_FORM).body(exchange_form(own));
        let answer = asked.send().await?;
        // There is no authority; the operator looks at the token itself, if at any.
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(GivenToken::own(own));
        }
        match checked(answer).await {
            Ok(answer) => Ok(answer.json().await?),
            Err(ClientError::Status { status, detail }) => Err(ClientError::Token { status, detail }),
            Err(error) => Err(error),
        }
    }

    /// An answer that is none but 200. A token that is not taken is not used again.
    async fn checked(&self, response: Response) -> Result<Response, ClientError> {
        if let Some(exchanged) = &self.exchanged
            && response.status() == StatusCode::UNAUTHORIZED
        {
            exchanged.lock().await.forget();
        }
        checked(response).await
    }
}

async fn read(path: &PathBuf) -> Result<String, ClientError> {
    tokio::fs::read_to_string(path).await.map_err(|source| ClientError::File { path: path.clone(), source })
}

async fn checked(mut response: Response) -> Result<Response, ClientError> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let beginning = response.chunk().await.ok().flatten().unwrap_or_default();
    let detail = String::from_utf8_lossy(&beginning).chars().take(300).collect();
    Err(ClientError::Status { status, detail })
}

#[cfg(test)]
mod tests;
