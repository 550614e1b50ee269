//! The HTTP API as agent, webhook and command lines ask it.
//!
//! ```text
//!   scans, nodes, runtime, admission, ...    one method an operation, typed by the types of this crate
//!        │ call
//!        ▼
//!   Client ── credential (whose token) ── connection (TLS, no redirects) ──► server
//!        ▲
//!        └── answer (bounded), Refusal (problem document), EventStream
//! ```
//!
//! A question is asked once, but for a 429 where [`Settings::on_quota`] says so; what is tried again, and when, is decided by
//! whoever asks. The process has to have a crypto provider installed for rustls, as for anything else that speaks TLS.

mod admin;
mod admission;
mod answer;
mod call;
mod connection;
mod credential;
mod error;
mod events;
mod findings;
mod nodes;
mod operation;
mod policy;
mod probes;
mod reports;
mod runtime;
mod scans;
mod secret;
mod sse;

use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use stella_domain::Tenant;
use tokio::sync::Mutex;

use crate::token::ExchangedToken;
use crate::trace::{TRACEPARENT, traceparent};
use answer::retry_after;
use call::Call;
use connection::Connection;

pub use call::{BeginProgress, Body, Progress};
pub use credential::Credential;
pub use error::{ClientError, Refusal};
pub use events::{EventStream, LARGEST_EVENT};
pub use findings::FindingQuery;
pub use probes::Ready;
pub use reqwest::{StatusCode, Url};
pub use scans::{ScanSubject, Scanned};
pub use secret::{Token, TokenError};
pub use sse::{SseError, SseEvent};

/// Names the tenant of a request (http.md, "Tenant").
const TENANT: &str = "X-Stella-Tenant";

/// Whom to ask and as whom.
#[derive(Clone, Default)]
pub struct Settings {
    /// Address of the server, with an optional path before the API's.
    pub server: String,
    /// Where the token comes from.
    pub credential: Credential,
    /// PEM file with the authorities to trust in place of the system's; read anew for each question.
    pub ca_file: Option<PathBuf>,
    /// Tenant; without it the token's own.
    pub tenant: Option<Tenant>,
    /// Name and version of the program; nothing is said where it is empty.
    pub user_agent: &'static str,
    /// The `traceparent` that requests go on with (W3C Trace Context); each begins a trace of its own without it.
    pub trace: Option<String>,
    /// Told of the wait that a 429 asks for, which is then waited out once. A 429 is refused like anything else without it.
    pub on_quota: Option<fn(Duration)>,
    /// Told of files that are sent.
    pub progress: Option<BeginProgress>,
}

/// A server to ask. Nothing is sent anywhere else: redirects are not followed, and addresses the server gives have to be its own.
pub struct Client {
    server: Url,
    connection: Connection,
    /// In place of the token of a service account.
    exchanged: Mutex<ExchangedToken>,
    settings: Settings,
}

impl Client {
    /// Prepares for the server of `settings`; nothing is sent or read yet.
    ///
    /// # Errors
    /// When the address is none of HTTP.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let parsed = Url::parse(&settings.server).ok().filter(usable);
        let mut server = parsed.ok_or_else(|| ClientError::Server(without_password(&settings.server)))?;
        server.set_query(None);
        server.set_fragment(None);
        let connection = Connection {
            ca_file: settings.ca_file.clone(),
            is_plain: server.scheme() == "http",
            user_agent: settings.user_agent,
            made: StdMutex::new(None),
        };
        Ok(Self { server, connection, exchanged: Mutex::default(), settings })
    }

    /// Sends `call` and takes any 2xx answer.
    async fn send(&self, call: &Call) -> Result<Response, ClientError> {
        let mut answer = self.attempt(call).await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS
            && let Some((told, wait)) = self.settings.on_quota.zip(retry_after(answer.headers()))
        {
            told(wait);
            tokio::time::sleep(wait).await;
            answer = self.attempt(call).await?;
        }
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(call, answer).await) }
    }

    /// Sends `call` once and takes any answer. A token that is not taken is not used again.
    async fn attempt(&self, call: &Call) -> Result<Response, ClientError> {
        let http = self.connection.client()?;
        let authorization = self.authorization(&http).await?;
        let answer = self.transmit(&http, call, authorization).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.exchanged.lock().await.forget();
        }
        Ok(answer)
    }

    async fn transmit(
        &self,
        http: &reqwest::Client,
        call: &Call,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, ClientError> {
        let mut request = http
            .request(call.method.clone(), self.address(&call.target)?)
            .query(&call.query)
            .header(TRACEPARENT, traceparent(self.settings.trace.as_deref()));
        if let Some(authorization) = authorization {
            // Takes the place of what the address says, where it has a name and a password.
            request = request.headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]));
        }
        if let Some(tenant) = &self.settings.tenant {
            request = request.header(TENANT, tenant.as_str());
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(deadline) = call.deadline {
            request = request.timeout(deadline);
        }
        // The body is dropped as soon as it is sent; what tells of it stays until the server has answered.
        let (request, _progress) = call.body.put_into(request, self.settings.progress).await?;
        tracing::debug!(call = call.name(), "asking");
        let answer = request.send().await.map_err(|source| self.unreachable(call.name(), source))?;
        if answer.status().is_server_error() {
            // Behind the same address may be another replica that is well; an open connection leads to this one.
            self.connection.forget();
        }
        Ok(answer)
    }

    /// A path of the API below the server's address, or an absolute address on the same server.
    fn address(&self, target: &str) -> Result<Url, ClientError> {
        let foreign = || ClientError::Foreign(target.to_owned());
        if target.starts_with('/') && !target.starts_with("//") {
            let path = target.split('?').next().unwrap_or_default();
            if path.split('/').any(|part| matches!(part, "." | "..")) {
                return Err(ClientError::Name(target.to_owned()));
            }
            let base = self.server.as_str().trim_end_matches('/');
            return Url::parse(&format!("{base}{target}")).map_err(|_| foreign());
        }
        let url = self.server.join(target).map_err(|_| foreign())?;
        if url.origin() == self.server.origin() { Ok(url) } else { Err(foreign()) }
    }

    /// The server, without name and password.
    fn origin(&self) -> String {
        self.server.origin().ascii_serialization()
    }

    fn unreachable(&self, call: String, source: reqwest::Error) -> ClientError {
        unreachable(self.origin(), call, source)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("server", &without_password(&self.server))
            .field("credential", &self.credential)
            .field("ca_file", &self.ca_file)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn unreachable(server: String, call: String, source: reqwest::Error) -> ClientError {
    // The address may hold a password, and is told in the message already.
    ClientError::Unreachable { call, server, source: source.without_url() }
}

/// An address as it may be told.
fn without_password(address: &str) -> String {
    address.rsplit_once('@').map_or(address, |(_, host)| host).to_owned()
}

#[cfg(test)]
mod tests;
