//! Requests to the server: address, token and authorities, each read anew because each may change meanwhile.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, RequestBuilder, Url};

use crate::cli;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

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
    /// The certificates, or the address.
    #[error("{0}")]
    Http(String),
}

/// The server, as far as it was named.
pub struct Server {
    base: Url,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
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
            ca_file: flags.ca_file.clone(),
            client: Mutex::new(None),
        })
    }

    /// A request with the token of this moment. `path` has no leading slash.
    ///
    /// # Errors
    /// When a file cannot be read, or the authorities are no certificates.
    pub fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ServerError> {
        let url = self.base.join(path).map_err(|error| ServerError::Http(error.to_string()))?;
        Ok(self.client()?.request(method, url).headers(self.authorization()?))
    }

    fn authorization(&self) -> Result<HeaderMap, ServerError> {
        let mut headers = HeaderMap::new();
        if let Some(path) = &self.token_file {
            let token = String::from_utf8(read(path)?).map_err(|_| ServerError::Token(path.clone()))?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| ServerError::Token(path.clone()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
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
