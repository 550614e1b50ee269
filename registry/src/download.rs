//! A file by its URL: an archive or SBOM that lies on a web server.

use std::path::Path;

use reqwest::{Response, StatusCode, Url};
use tokio::io::AsyncWriteExt as _;

use crate::document::status_of;
use crate::error::RequestError;
use crate::reference::is_host;
use crate::transport::{Transport, authority, is_redirect};

/// Hosts in the list, most.
const MOST_HOSTS: usize = 1_000;

/// Hosts that files may come from: names with an optional port, such as `files.example` or `files.example:8443`. Without a port
/// the scheme's own is meant. Empty allows none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<(String, Option<u16>)>);

/// Why a list of hosts is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowedHostsError {
    /// Not a host.
    #[error("'{0}' is not a host with an optional port")]
    Host(String),
    /// Too many.
    #[error("more than {MOST_HOSTS} hosts")]
    TooMany,
}

impl AllowedHosts {
    /// A list of hosts; an empty entry is none.
    ///
    /// # Errors
    /// [`AllowedHostsError`] naming the entry.
    pub fn new(hosts: &[String]) -> Result<Self, AllowedHostsError> {
        let named: Vec<&str> = hosts.iter().map(|host| host.trim()).filter(|host| !host.is_empty()).collect();
        if named.len() > MOST_HOSTS {
            return Err(AllowedHostsError::TooMany);
        }
        let read = |text: &str| allowed(text).ok_or_else(|| AllowedHostsError::Host(text.to_owned()));
        named.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn allow(&self, url: &Url) -> bool {
        self.0.iter().any(|(host, port)| {
            let port = port.map_or(url.port().is_none(), |port| url.port_or_known_default() == Some(port));
            url.host_str() == Some(host) && port
        })
    }
}

/// A host as URLs have it, and the port that is asked for.
fn allowed(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.to_ascii_lowercase();
    if !is_host(&text) {
        return None;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (text.as_str(), None),
    };
    Some((Url::parse(&format!("https://{host}/")).ok()?.host_str()?.to_owned(), port))
}

/// Why a file could not be fetched. Nothing here carries the query of a URL, which may hold a signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// Not a URL to fetch from.
    #[error("not a URL of the form https://host/path without credentials: {0}")]
    Url(&'static str),
    /// Its host may not be asked.
    #[error("images by URL are taken from allowed hosts only, and {host} is not one of them")]
    Host {
        /// The host.
        host: String,
    },
    /// The server did not give it.
    #[error("{host}: {error}")]
    Request {
        /// The host.
        host: String,
        /// What went wrong.
        error: RequestError,
    },
    /// It took too long.
    #[error("{host}: not finished after {seconds} s")]
    TooSlow {
        /// The host.
        host: String,
        /// The limit.
        seconds: u64,
    },
}

/// Checks that `text` is a URL that may be fetched, without asking its host.
///
/// # Errors
/// [`DownloadError::Url`] or [`DownloadError::Host`].
pub(crate) fn check(transport: &Transport, text: &str, hosts: &AllowedHosts) -> Result<Url, DownloadError> {
    let url = Url::parse(text).map_err(|_| DownloadError::Url("it cannot be read"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(DownloadError::Url("it brings credentials"));
    }
    if !hosts.allow(&url) {
        return Err(DownloadError::Host { host: authority(&url) });
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if transport.is_insecure(&authority(&url)) => Ok(url),
        "http" => Err(DownloadError::Url("plain HTTP is for hosts that are set as insecure")),
        _ => Err(DownloadError::Url("its scheme is another")),
    }
}

/// Fetches the file at `url` into `path`, at most `most` bytes of it, and gives its size. Every host on the way has to be allowed.
pub(crate) async fn download(
    transport: &Transport,
    url: Url,
    hosts: &AllowedHosts,
    path: &Path,
    most: u64,
) -> Result<u64, DownloadError> {
    let (host, limits) = (authority(&url), &transport.limits);
    match tokio::time::timeout(limits.image, fetch(transport, url, hosts, path, most)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(DownloadError::TooSlow { host, seconds: limits.image.as_secs() }),
    }
}

async fn fetch(
    transport: &Transport,
    mut url: Url,
    hosts: &AllowedHosts,
    path: &Path,
    most: u64,
) -> Result<u64, DownloadError> {
    for _ in 0..=transport.limits.redirects {
        let failed = |error| DownloadError::Request { host: authority(&url), error };
        let response = transport.ask(&url).await.map_err(failed)?;
        if is_redirect(response.status()) {
            let next = transport.target(&url, &response).map_err(failed)?;
            url = check(transport, next.as_str(), hosts)?;
            continue;
        }
        return keep(transport, response, path, most).await.map_err(failed);
    }
    Err(DownloadError::Request { host: authority(&url), error: RequestError::Redirect { reason: "too many of them" } })
}

async fn keep(transport: &Transport, mut response: Response, path: &Path, most: u64) -> Result<u64, RequestError> {
    if response.status() != StatusCode::OK {
        return Err(status_of(response).await);
    }
    let promised = response.content_length();
    if promised.is_some_and(|length| length > most) {
        return Err(RequestError::TooLong { max: most });
    }
    let mut file = tokio::fs::File::create(path).await.map_err(RequestError::Folder)?;
    let (idle, mut size) = (transport.limits.idle, 0);
    loop {
        let chunk = tokio::time::timeout(idle, response.chunk()).await;
        let chunk = chunk.map_err(|_| RequestError::Timeout { seconds: idle.as_secs() })?;
        let Some(chunk) = chunk.map_err(|_| RequestError::Cut)? else { break };
        size += chunk.len() as u64;
        if size > most {
            return Err(RequestError::TooLong { max: most });
        }
        file.write_all(&chunk).await.map_err(RequestError::Folder)?;
    }
    file.flush().await.map_err(RequestError::Folder)?;
    Ok(size)
}
