//! Requests to the server: address, token and authorities, each read anew because each may change meanwhile.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode, Url};
use stella_api::token::{ExchangedToken, GivenToken, TOKEN_FORM, TOKEN_PATH, exchange_form};
use stella_api::trace::{TRACEPARENT, traceparent};

use crate::cli;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const TOKEN_WITHIN: Duration = Duration::from_secs(10);

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file named on the command line cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token has characters that no header may have.
    #[error("the token in {0} is not one line of visible characters")]
    Token(PathBuf),
    /// The server gives no token in place of the one in the file.
    #[error("no token in place of the service account's: {0}")]
    Exchange(String),
    /// The certificates, or the address.
    #[error("{0}")]
    Http(String),
}

/// The server, as far as it was named.
pub struct Server {
    base: Url,
    token_file: Option<PathBuf>,
    /// In place of the token in the file.
    exchanged: Option<tokio::sync::Mutex<ExchangedToken>>,
    ca_file: Option<PathBuf>,
    /// What requests are made for; each is one for itself without it.
    trace: Option<String>,
    /// The client with the content of the CA file it was made with.
    client: Mutex<Option<(Vec<u8>, Client)>>,
}

impl Server {
    /// From the command line; `None` when no server is named.
    #[must_use]
    pub fn new(flags: &cli::Server) -> Option<Self> {
        let mut base = flags.server.clone()?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Some(Self {
            base,
            token_file: flags.token_file.clone(),
            exchanged: flags.exchange_token.then(tokio::sync::Mutex::default),
            ca_file: flags.ca_file.clone(),
            trace: None,
            client: Mutex::new(None),
        })
    }

    /// With requests that go on with a trace, by its `traceparent`. What is none is not heeded.
    #[must_use]
    pub fn traced(self, trace: Option<String>) -> Self {
        Self { trace, ..self }
    }

    /// A request with the token of this moment. `path` has no leading slash.
    ///
    /// # Errors
    /// When a file cannot be read, the authorities are no certificates, or no token is to be had.
    pub async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ServerError> {
        let (url, client) = (self.url(path)?, self.client()?);
        let authorization = self.authorization(&client).await?;
        Ok(client.request(method, url).headers(authorization).header(TRACEPARENT, traceparent(self.trace.as_deref())))
    }

    /// Heeds the status of an answer: a token that is not taken is not used again.
    pub async fn noticed(&self, status: StatusCode) {
        if let Some(exchanged) = &self.exchanged
            && status == StatusCode::UNAUTHORIZED
        {
            exchanged.lock().await.forget();
        }
    }

    fn url(&self, path: &str) -> Result<Url, ServerError> {
        self.base.join(path).map_err(|error| ServerError::Http(error.to_string()))
    }

    async fn authorization(&self, client: &Client) -> Result<HeaderMap, ServerError> {
        let mut headers = HeaderMap::new();
        if let Some(path) = &self.token_file {
            let own = String::from_utf8(read(path)?).map_err(|_| ServerError::Token(path.clone()))?;
            let token = self.token(client, own.trim()).await?;
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| ServerError::Token(path.clone()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// The token to ask with by whoever has this one: itself, or what the server gives in its place. Who else asks meanwhile waits
    /// for it.
    async fn token(&self, client: &Client, own: &str) -> Result<String, ServerError> {
        let Some(exchanged) = &self.exchanged else { return Ok(own.to_owned()) };
        let mut exchanged = exchanged.lock().await;
        let now = Instant::now();
        if let Some(token) = exchanged.usable(own, now) {
            return Ok(token.to_owned());
        }
        match self.exchange(client, own).await {
            Ok(given) => Ok(exchanged.keep(own, given, now).to_owned()),
            Err(error) => exchanged.make_do(own, now).map(str::to_owned).ok_or(error),
        }
    }

    async fn exchange(&self, client: &Client, own: &str) -> Result<GivenToken, ServerError> {
        let wrong = |error: reqwest::Error| ServerError::Exchange(with_causes(&error));
        let asked = client.post(self.url(TOKEN_PATH)?).timeout(TOKEN_WITHIN).header(CONTENT_TYPE, TOKEN_FORM);
        let answer = asked.body(exchange_form(own)).send().await.map_err(wrong)?;
        match answer.status() {
            StatusCode::OK => answer.json().await.map_err(wrong),
            // There is no authority; the server looks at the token itself, if at any.
            StatusCode::NOT_FOUND => Ok(GivenToken::own(own)),
            status => {
                let text: String = answer.text().await.unwrap_or_default().chars().take(300).collect();
                Err(ServerError::Exchange(format!("{status}: {text}")))
            }
        }
    }

    /// The client; made anew when the authorities changed.
    fn client(&self) -> Result<Client, ServerError> {
        let authorities = self.ca_file.as_ref().map(read).transpose()?.unwrap_or_default();
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, client)) = kept.as_ref()
            && *made_with == authorities
        {
            return Ok(client.clone());
        }
        let wrong = |error: reqwest::Error| ServerError::Http(format!("the client cannot be set up: {error}"));
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .user_agent(concat!("stella-zastava/", env!("CARGO_PKG_VERSION")));
        if self.ca_file.is_some() {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&authorities).map_err(wrong)?);
        }
        let client = builder.build().map_err(wrong)?;
        *kept = Some((authorities, client.clone()));
        Ok(client)
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, ServerError> {
    std::fs::read(path).map_err(|source| ServerError::File { path: path.clone(), source })
}

/// An error with its causes; reqwest names only the outermost.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
