//! What runs: events of containers, and verdicts on their images.

use std::time::Duration;

use super::call::{Body, Call};
use super::operation::Operation;
use super::{Client, ClientError};
use crate::runtime::{EventReceipt, RuntimePolicyRequest};

const EVENTS_WITHIN: Duration = Duration::from_secs(30);

impl Client {
    /// `POST /api/v1/runtime/events`, with an [`EventBatch`](crate::runtime::EventBatch) that is written down already. With the
    /// answer its events are on the server's disk.
    ///
    /// # Errors
    /// When the server cannot be asked, does not answer within 30 s, refuses, or answers otherwise.
    pub async fn send_events(&self, batch: Vec<u8>) -> Result<EventReceipt, ClientError> {
        self.json(&Call::of(Operation::SendEvents, &[]).body(Body::json(batch)).within(EVENTS_WITHIN)).await
    }

    /// `POST /api/v1/scanner/policy/runtime`, so that images nobody has scanned are queued for a scan. The answer is not read.
    ///
    /// # Errors
    /// When the server cannot be asked, does not answer `within` that time, or refuses.
    pub async fn ask_for_scans(&self, question: &RuntimePolicyRequest, within: Duration) -> Result<(), ClientError> {
        self.send(&Call::of(Operation::RuntimePolicy, &[]).json(question)?.within(within)).await.map(drop)
    }
}
