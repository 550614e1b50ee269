//! Asks the server which layers it lacks, and sends what was read.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stella_api::node::{InventoryReceipt, LayersMissing, LayersQuery, NodeInventory};
use stella_domain::Digest;
use tokio::runtime::Handle;

use crate::backoff::{Backoff, random_share, retry_after};
use crate::server::{Server, ServerError, with_causes};

const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 6;

/// Why the server did not take what was read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The request could not be made.
    #[error(transparent)]
    Request(#[from] ServerError),
    /// It was refused, or there was no answer in several attempts.
    #[error("{path}: {reason}")]
    Refused {
        /// The endpoint.
        path: &'static str,
        /// The last answer.
        reason: String,
    },
    /// The server asks for layers again though it was sent them.
    #[error("the server still lacks {0} layers that it was sent")]
    StillMissing(usize),
}

/// The server, seen from blocking code.
pub struct Report {
    server: Server,
    handle: Handle,
}

impl Report {
    /// To that server; must be called within a runtime.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, handle: Handle::current() }
    }

    /// Those of the layers the server has no inventory of.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn missing(&self, diff_ids: &[Digest]) -> Result<Vec<Digest>, ReportError> {
        let query = LayersQuery { layers: diff_ids.iter().map(ToString::to_string).collect() };
        Ok(self.handle.block_on(self.post::<_, LayersMissing>("layers/missing", &query))?.missing)
    }

    /// Sends an inventory; returns the layers that the server lacks nevertheless.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn send(&self, inventory: &NodeInventory) -> Result<Vec<Digest>, ReportError> {
        Ok(self.handle.block_on(self.post::<_, InventoryReceipt>("api/v1/inventories", inventory))?.missing)
    }

    async fn post<Q: Serialize, A: DeserializeOwned>(&self, path: &'static str, body: &Q) -> Result<A, ReportError> {
        let mut backoff = Backoff::default();
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let request = self.server.request(Method::POST, path).await?.timeout(ANSWER_WITHIN).json(body);
            let asked = match request.send().await {
                Ok(answer) if answer.status().is_success() => {
                    return answer
                        .json()
                        .await
                        .map_err(|error| ReportError::Refused { path, reason: with_causes(&error) });
                }
                Ok(answer) => {
                    let (status, asked) = (answer.status(), retry_after(answer.headers()));
                    self.server.noticed(status).await;
                    let text: String = answer.text().await.unwrap_or_default().chars().take(500).collect();
                    reason = format!("{status}: {text}");
                    if status.is_client_error() && status.as_u16() != 429 {
                        return Err(ReportError::Refused { path, reason });
                    }
                    asked
                }
                Err(error) => {
                    reason = with_causes(&error);
                    None
                }
            };
            tokio::time::sleep(backoff.failed(asked, random_share())).await;
        }
        Err(ReportError::Refused { path, reason })
    }
}
