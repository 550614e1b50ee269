//! The Docker engine, asked over its socket for what `docker save` would write.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use reqwest::{Client, Response};
use serde::Deserialize;
use stella_inventory::Limits;

const USUAL: &str = "unix:///var/run/docker.sock";
const CONNECT: Duration = Duration::from_secs(10);
/// Docker packs an image before its first byte arrives.
const SILENCE: Duration = Duration::from_secs(300);
/// Bytes of an error that are read.
const MAX_ERROR: usize = 4096;

/// Why Docker gives no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    /// `$DOCKER_HOST` is of no use.
    #[error("'{0}' is no address of Docker: expected unix:///path or tcp://host:port (DOCKER_HOST), without TLS")]
    Address(String),
    /// Not the name of an image.
    #[error("it has characters that no image's name has")]
    Name,
    /// Nobody answers.
    #[error("Docker at {address} does not answer")]
    Request {
        /// Where.
        address: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It said no.
    #[error("{status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// More than allowed.
    #[error("the image has more than {0} bytes")]
    TooLarge(u64),
    /// The archive has no place.
    #[error("cannot keep the archive in a temporary file")]
    File(#[source] std::io::Error),
}

/// The archive of the image `name`, in a file without a name.
///
/// Waits on a thread of its own, so that it may be called anywhere.
///
/// # Errors
/// [`DockerError`] when Docker does not give it.
pub(super) fn fetch(name: &str, limits: &Limits) -> Result<File, DockerError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    if !name.bytes().all(is_name) || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(DockerError::Name);
    }
    let address = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()).unwrap_or_else(|| USUAL.into());
    let (client, base) = client(&address)?;
    let url = format!("{base}/images/{name}/get");
    let most = limits.max_total_bytes;
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DockerError::File)?;
        runtime.block_on(async {
            let failed = |source| DockerError::Request { address: address.clone(), source };
            let mut answer = client.get(&url).send().await.map_err(failed)?;
            if !answer.status().is_success() {
                return Err(refused(answer).await);
            }
            let mut file = tempfile::tempfile().map_err(DockerError::File)?;
            let mut size = 0;
            while let Some(piece) = answer.chunk().await.map_err(failed)? {
                size += piece.len() as u64;
                if size > most {
                    return Err(DockerError::TooLarge(most));
                }
                file.write_all(&piece).map_err(DockerError::File)?;
            }
            Ok(file)
        })
    };
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn client(address: &str) -> Result<(Client, String), DockerError> {
    let wrong = || DockerError::Address(address.chars().take(200).collect());
    if std::env::var_os("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty()) {
        return Err(wrong());
    }
    stella_service::crypto::install();
    let builder = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // It is plain HTTP.
        .tls_certs_only(Vec::<reqwest::Certificate>::new());
    let (builder, base) = match address.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => (builder.unix_socket(path), "http://docker".to_owned()),
        Some(("tcp" | "http", host)) if !host.is_empty() => (builder, format!("http://{}", host.trim_end_matches('/'))),
        _ => return Err(wrong()),
    };
    let client = builder.build().map_err(|source| DockerError::Request { address: address.to_owned(), source })?;
    Ok((client, base))
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

async fn refused(mut answer: Response) -> DockerError {
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await
        && bytes.len() < MAX_ERROR
    {
        bytes.extend_from_slice(&piece[..piece.len().min(MAX_ERROR)]);
    }
    let text = String::from_utf8_lossy(&bytes);
    let message = serde_json::from_str::<Message>(&text).map_or_else(|_| text.into_owned(), |said| said.message);
    DockerError::Refused { status, message: message.chars().take(500).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        for name in ["../containers/json?x=", "a b", "a?b", "a%2fb", "a//b", "./a"] {
            assert!(matches!(fetch(name, &Limits::default()), Err(DockerError::Name)), "{name}");
        }
    }
}
