//! What the server answers, read within limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::error::Refusal;
use super::{Client, ClientError};
use crate::problem::Problem;

/// Bytes of a problem document; the status alone tells of a longer one.
const LONGEST_PROBLEM: usize = 256 * 1024;

/// One page of a list (http.md, "Paging").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    items: Vec<T>,
    next_page_token: Option<String>,
}

impl Client {
    /// Sends `call` and reads the answer as JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let answer = self.send(call).await?;
        self.read_json(call, answer).await
    }

    /// Sends `call` and reads the answer whole.
    pub(super) async fn bytes(&self, call: &Call) -> Result<Bytes, ClientError> {
        let answer = self.send(call).await?;
        self.read(call, answer, call.limit).await
    }

    /// The items of every page that `call` begins.
    pub(super) async fn pages<T: DeserializeOwned>(&self, call: &Call) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page: Page<T> = self.json(&call.clone().query_given("pageToken", token.as_deref())).await?;
            items.extend(page.items);
            match page.next_page_token {
                None => return Ok(items),
                next if next == token => {
                    return Err(ClientError::Answer { call: call.name(), reason: "a page follows itself".to_owned() });
                }
                next => token = next,
            }
        }
    }

    pub(super) async fn read_json<T: DeserializeOwned>(&self, call: &Call, answer: Response) -> Result<T, ClientError> {
        let body = self.read(call, answer, call.limit).await?;
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::Answer { call: call.name(), reason: error.to_string() })
    }

    /// What an answer refuses with.
    pub(super) async fn refused(&self, call: &Call, answer: Response) -> ClientError {
        let (status, retry_after) = (answer.status(), retry_after(answer.headers()));
        // The status says enough where what comes with it cannot be read.
        let body = self.read(call, answer, LONGEST_PROBLEM).await.unwrap_or_default();
        let problem = serde_json::from_slice(&body).ok().or_else(|| oauth_problem(status, &body));
        ClientError::Refused(Box::new(Refusal { call: call.name(), status, problem, retry_after }))
    }

    async fn read(&self, call: &Call, mut answer: Response, limit: usize) -> Result<Bytes, ClientError> {
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(|source| self.unreachable(call.name(), source))? {
            if body.len() + piece.len() > limit {
                return Err(ClientError::TooLarge { call: call.name(), limit });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}

/// What the token endpoint refuses with (RFC 6749, section 5.2), as a problem.
fn oauth_problem(status: StatusCode, body: &[u8]) -> Option<Problem> {
    #[derive(Deserialize)]
    struct OAuthError {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let OAuthError { error, error_description } = serde_json::from_slice(body).ok()?;
    Some(Problem {
        kind: "about:blank".to_owned(),
        title: error,
        status: status.as_u16(),
        detail: error_description,
        instance: None,
        trace_id: None,
        code: None,
        errors: Vec::new(),
    })
}

/// The wait that `Retry-After` asks for (RFC 9110, section 10.2.3). The form in seconds alone is understood: a date needs a clock
/// that goes as the server's does, and the server sends none.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
