//! Asking the issuer: discovery (OpenID Connect Discovery 1.0) and its key set, with limits.

use std::time::Duration;

use reqwest::header::CACHE_CONTROL;
use serde_json::Value;
use url::Url;

use crate::jose::Jwks;

/// Bytes an answer may have.
const MAX_BYTES: usize = 512 * 1024;
/// The longest an issuer's keys are used without asking, in seconds.
const LONGEST: i64 = 24 * 3600;
/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the issuer is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No client can be made.
    #[error("no http client: {0}")]
    Client(String),
    /// It does not answer, or not with 200.
    #[error("{url}: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Its documents contradict what they should be.
    #[error("{url}: {reason}")]
    Document {
        /// The document.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// It was asked a moment ago.
    #[error("the issuer was asked a moment ago, and did not answer")]
    Pause,
}

#[derive(Debug)]
pub(super) struct Fetch {
    client: reqwest::Client,
    cache_seconds: i64,
}

impl Fetch {
    pub(super) fn new(cache_seconds: i64) -> Result<Self, FetchError> {
        // An issuer that sends us elsewhere is not the one that was named.
        let builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let client = builder.build().map_err(|error| FetchError::Client(error.to_string()))?;
        Ok(Self { client, cache_seconds })
    }

    /// The keys of `issuer`, and the seconds for which they may be used.
    pub(super) async fn keys(&self, issuer: &str) -> Result<(Jwks, i64), FetchError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let (document, _) = self.json(&url).await?;
        let wrong = |reason| FetchError::Document { url: url.clone(), reason };
        if document.get("issuer").and_then(Value::as_str).map(plain) != Some(plain(issuer)) {
            return Err(wrong("its 'issuer' is another one"));
        }
        let keys = document.get("jwks_uri").and_then(Value::as_str).ok_or_else(|| wrong("it has no 'jwks_uri'"))?;
        let keys_url = Url::parse(keys).map_err(|_| wrong("its 'jwks_uri' is no URL"))?;
        if issuer.starts_with("https:") && keys_url.scheme() != "https" {
            return Err(wrong("its 'jwks_uri' is not https"));
        }
        let (keys, seconds) = self.json(keys_url.as_str()).await?;
        let keys = Jwks::read(&keys);
        Ok((keys.map_err(|_| FetchError::Document { url: keys_url.into(), reason: "it is no key set" })?, seconds))
    }

    async fn json(&self, url: &str) -> Result<(Value, i64), FetchError> {
        let failed = |reason: String| FetchError::Answer { url: url.to_owned(), reason };
        let mut answer = self.client.get(url).send().await.map_err(|error| failed(error.to_string()))?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(failed(format!("it answered {}", answer.status())));
        }
        let control = answer.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let seconds = max_age(control).unwrap_or(self.cache_seconds).clamp(1, LONGEST);
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| failed(error.to_string()))? {
            if body.len() + piece.len() > MAX_BYTES {
                return Err(failed(format!("it answered more than {MAX_BYTES} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        let value = serde_json::from_slice(&body);
        Ok((value.map_err(|_| FetchError::Document { url: url.to_owned(), reason: "it is no JSON" })?, seconds))
    }
}

fn plain(issuer: &str) -> &str {
    issuer.trim_end_matches('/')
}

/// `max-age` of a `Cache-Control`.
fn max_age(control: &str) -> Option<i64> {
    control.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_where_they_are_said() {
        assert_eq!(max_age("public, max-age=300, must-revalidate"), Some(300));
        assert_eq!(max_age("no-store"), None);
        assert_eq!(max_age("max-age=x"), None);
    }
}
