//! What the server says of itself.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde::Deserialize;

use super::call::Call;
use super::operation::Operation;
use super::{Client, ClientError};
use crate::finding::FeedStamp;
use crate::probe::Version;

/// Whether the server is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// 200 when it is.
    pub status: StatusCode,
    /// Parts that are not ready, and why, as far as it says so.
    pub not_ready: BTreeMap<String, String>,
}

/// The answer of `/readyz`; a ready server may as well answer with less.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    #[serde(default)]
    not_ready: BTreeMap<String, String>,
}

impl Client {
    /// `GET /version`.
    ///
    /// # Errors
    /// When there is no answer, or another.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.json(&Call::of(Operation::Version, &[])).await
    }

    /// `GET /readyz`, whatever the status of the answer is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn readiness(&self) -> Result<Ready, ClientError> {
        let call = Call::of(Operation::Readiness, &[]);
        let answer = self.attempt(&call).await?;
        let status = answer.status();
        let Readiness { not_ready } = self.read_json(&call, answer).await.unwrap_or_default();
        Ok(Ready { status, not_ready })
    }

    /// `GET /api/v1/feeds`, every page.
    ///
    /// # Errors
    /// When the server cannot be asked, refuses, or answers otherwise.
    pub async fn feeds(&self) -> Result<Vec<FeedStamp>, ClientError> {
        self.pages(&Call::of(Operation::Feeds, &[])).await
    }
}
