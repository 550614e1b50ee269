//! By which token the server is asked.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use super::call::{Body, Call};
use super::operation::Operation;
use super::secret::Token;
use super::{Client, ClientError};
use crate::token::{GivenToken, TOKEN_FORM, exchange_form};

const TOKEN_WITHIN: Duration = Duration::from_secs(10);
const LONGEST_TOKEN: usize = 64 * 1024;

/// Where the token comes from.
#[derive(Debug, Clone, Default)]
pub enum Credential {
    /// There is none.
    #[default]
    None,
    /// It is at hand; an empty one is none.
    Secret(Token),
    /// It is in a file, read anew for each question: the kubelet renews tokens in place.
    File(PathBuf),
    /// As [`Self::File`], and it is a Kubernetes service account's: what the server gives in its place is asked with (RFC 7523,
    /// section 2.1), as long as that holds.
    Exchanged(PathBuf),
}

impl Credential {
    /// The token in a file, and whether it is a service account's that is to be exchanged; none without a file.
    #[must_use]
    pub fn in_file(path: Option<PathBuf>, exchanged: bool) -> Self {
        path.map_or(Self::None, if exchanged { Self::Exchanged } else { Self::File })
    }
}

impl Client {
    /// The value of `Authorization` at this moment.
    pub(super) async fn authorization(&self, http: &reqwest::Client) -> Result<Option<HeaderValue>, ClientError> {
        let (token, which) = match &self.settings.credential {
            Credential::None => return Ok(None),
            Credential::Secret(token) if token.is_empty() => return Ok(None),
            Credential::Secret(token) => (token.reveal().to_owned(), "the token".to_owned()),
            Credential::File(path) => (Token::read(path)?.reveal().to_owned(), named(path)),
            Credential::Exchanged(path) => (self.in_place_of(http, Token::read(path)?.reveal()).await?, named(path)),
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token(which))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The token that the server gives in place of the service account's. Who else asks meanwhile waits for it.
    async fn in_place_of(&self, http: &reqwest::Client, own: &str) -> Result<String, ClientError> {
        let mut exchanged = self.exchanged.lock().await;
        let now = Instant::now();
        if let Some(token) = exchanged.usable(own, now) {
            return Ok(token.to_owned());
        }
        match self.exchange(http, own).await {
            Ok(given) => Ok(exchanged.keep(own, given, now).to_owned()),
            Err(error) => {
                let old = exchanged.make_do(own, now).map(str::to_owned);
                old.ok_or_else(|| ClientError::NoToken(Box::new(error)))
            }
        }
    }

    async fn exchange(&self, http: &reqwest::Client, own: &str) -> Result<GivenToken, ClientError> {
        let form = Body::Bytes(TOKEN_FORM, exchange_form(own).into());
        let call = Call::of(Operation::GiveToken, &[]).body(form).within(TOKEN_WITHIN).up_to(LONGEST_TOKEN);
        let answer = self.transmit(http, &call, None).await?;
        match answer.status() {
            StatusCode::OK => self.read_json(&call, answer).await,
            // There is no authority; the server looks at the account's token itself, if at any.
            StatusCode::NOT_FOUND => Ok(GivenToken::own(own)),
            _ => Err(self.refused(&call, answer).await),
        }
    }
}

fn named(path: &Path) -> String {
    format!("the token in {}", path.display())
}
