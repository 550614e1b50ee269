//! Asks the server which layers it lacks, and sends what was read.

use stella_api::client::{Client, ClientError, StatusCode};
use stella_api::node::{LayersQuery, NodeInventory};
use stella_domain::Digest;
use tokio::runtime::Handle;

use crate::backoff::{Backoff, random_share};
use crate::server::with_causes;

const ATTEMPTS: usize = 6;

/// Why the server did not take what was read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It could not be asked, refused, or did not answer in several attempts.
    #[error("{}", with_causes(.0))]
    Client(ClientError),
    /// The server asks for layers again though it was sent them.
    #[error("the server still lacks {0} layers that it was sent")]
    StillMissing(usize),
}

/// The server, seen from blocking code.
pub struct Report {
    client: Client,
    handle: Handle,
}

impl Report {
    /// To that server; must be called within a runtime.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, handle: Handle::current() }
    }

    /// Those of the layers the server has no inventory of.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn missing(&self, diff_ids: &[Digest]) -> Result<Vec<Digest>, ReportError> {
        let query = LayersQuery { layers: diff_ids.iter().map(ToString::to_string).collect() };
        self.handle.block_on(persist(async || self.client.missing_layers(&query).await))
    }

    /// Sends an inventory; returns the layers that the server lacks nevertheless.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn send(&self, inventory: &NodeInventory) -> Result<Vec<Digest>, ReportError> {
        let receipt = self.handle.block_on(persist(async || self.client.send_inventory(inventory).await))?;
        Ok(receipt.missing)
    }
}

/// Asks until there is an answer, or a refusal that will be the same next time.
async fn persist<A>(ask: impl AsyncFn() -> Result<A, ClientError>) -> Result<A, ReportError> {
    let mut backoff = Backoff::default();
    let mut attempt = 1;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if attempt == ATTEMPTS || !may_pass(&error) {
            return Err(ReportError::Client(error));
        }
        attempt += 1;
        tokio::time::sleep(backoff.failed(error.retry_after(), random_share())).await;
    }
}

fn may_pass(error: &ClientError) -> bool {
    match error.status() {
        Some(status) => !status.is_client_error() || status == StatusCode::TOO_MANY_REQUESTS,
        None => error.is_transient(),
    }
}
