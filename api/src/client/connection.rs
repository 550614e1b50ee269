//! The connection beneath: TLS and its authorities.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, redirect};

use super::ClientError;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Less than the server waits for the next request on a connection, so that none is sent into one that is being closed.
const IDLE: Duration = Duration::from_secs(60);

/// Connections to one server, kept open between questions. Follows no redirect, so that the token goes nowhere else.
#[derive(Debug)]
pub(super) struct Connection {
    /// Authorities in place of the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// Whether the server is asked without TLS.
    pub(super) is_plain: bool,
    pub(super) user_agent: &'static str,
    /// The client with the content of the file it was made with.
    pub(super) made: Mutex<Option<(Vec<u8>, reqwest::Client)>>,
}

impl Connection {
    /// The client; made anew when the authorities changed.
    pub(super) fn client(&self) -> Result<reqwest::Client, ClientError> {
        let authorities = match &self.ca_file {
            Some(path) => std::fs::read(path).map_err(|source| ClientError::File { path: path.clone(), source })?,
            None => Vec::new(),
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_with, client)) = made.as_ref()
            && *made_with == authorities
        {
            return Ok(client.clone());
        }
        let client = self.make(&authorities).map_err(ClientError::Setup)?;
        *made = Some((authorities, client.clone()));
        Ok(client)
    }

    /// The next question opens a connection of its own. What is under way goes on.
    pub(super) fn forget(&self) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn make(&self, authorities: &[u8]) -> Result<reqwest::Client, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .tcp_keepalive(KEEPALIVE)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none());
        if !self.user_agent.is_empty() {
            builder = builder.user_agent(self.user_agent);
        }
        if self.ca_file.is_some() {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(authorities)?);
        } else if self.is_plain {
            // Small containers have no trusted certificates, and loading them is work that plain HTTP does not need.
            builder = builder.tls_certs_only(Vec::<Certificate>::new());
        }
        builder.build()
    }
}
