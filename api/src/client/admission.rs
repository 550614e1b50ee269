//! Admission: the verdicts that webhooks hold, and the decisions they made.

use std::time::Duration;

use bytes::Bytes;
use stella_domain::Timestamp;

use super::call::{Body, Call};
use super::events::EventStream;
use super::operation::Operation;
use super::{Client, ClientError};

/// JSON values, one a line.
const NDJSON: &str = "application/x-ndjson";
/// Bytes that the records of a week may have.
const LONGEST_RECORDS: usize = 1 << 30;

impl Client {
    /// `GET /api/v1/admission/verdicts`, after `cursor` if there is one: a stream whose events are each an
    /// [`AdmissionUpdate`](crate::admission::AdmissionUpdate). It ends with an error when nothing comes for `idle`.
    ///
    /// # Errors
    /// When the server cannot be asked, is silent, or refuses.
    pub async fn verdicts(&self, cursor: Option<&str>, idle: Duration) -> Result<EventStream, ClientError> {
        self.stream(Call::of(Operation::Verdicts, &[]), cursor, idle).await
    }

    /// `POST /api/v1/admission/decisions`: records of decisions, JSON on one line each. The answer is not read.
    ///
    /// # Errors
    /// When the server cannot be asked, does not answer `within` that time, or refuses.
    pub async fn keep_decisions(&self, lines: String, within: Duration) -> Result<(), ClientError> {
        let call = Call::of(Operation::KeepDecisions, &[]).body(Body::Bytes(NDJSON, lines.into()));
        self.send(&call.within(within)).await.map(drop)
    }

    /// `GET /api/v1/admission/decisions`: the records that are kept, JSON on one line each, at most 1 GiB.
    ///
    /// # Errors
    /// When the server cannot be asked or refuses.
    pub async fn decisions(&self, since: Option<Timestamp>) -> Result<Bytes, ClientError> {
        let since = since.map(|since| since.to_string());
        let call = Call::of(Operation::Decisions, &[]).query_given("since", since.as_deref());
        self.bytes(&call.up_to(LONGEST_RECORDS)).await
    }
}
