//! Sends what waits in the outbox, whole batches at a time, until the server has it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stella_api::client::{Client, StatusCode};
use stella_api::runtime::{EventReceipt, MAX_BATCH, MAX_BATCH_BYTES};
use tokio::sync::mpsc;

use crate::backoff::{Backoff, random_share};
use crate::batch::{self, Body};
use crate::lost_event::LostEvent;
use crate::metrics::Metrics;
use crate::observation::{LossReason, Observation};
use crate::outbox::Outbox;
use crate::server::with_causes;
use crate::spool::{Batch, Position, SpoolError};

/// A batch that is not full waits this long for more.
const LINGER: Duration = Duration::from_millis(500);
/// What the spool has and cannot give or forget is tried again after this.
const SPOOL_AGAIN: Duration = Duration::from_secs(1);
/// Refused events are kept for inspection up to this many bytes.
const MOST_REFUSED_BYTES: u64 = 1 << 20;

/// What became of one attempt.
#[derive(Debug)]
enum Outcome {
    Accepted(EventReceipt),
    /// The server will never take this batch.
    Refused(String),
    /// Later, perhaps.
    Later(String, Option<Duration>),
}

/// Empties the outbox.
pub struct Sender {
    /// Where to.
    pub client: Arc<Client>,
    /// Where from.
    pub outbox: Arc<Outbox>,
    /// Where refused events are kept.
    pub refused_file: PathBuf,
    /// Told of refused events, so that containers get their gap.
    pub losses: mpsc::WeakSender<Observation>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Sender {
    /// Sends for ever.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn run(&self) -> Result<(), SpoolError> {
        let mut backoff = Backoff::default();
        let mut most = MAX_BATCH;
        loop {
            if self.outbox.waiting().0 == 0 {
                self.outbox.added().await;
            }
            // A batch that is being tried in parts is not waiting for more.
            if most == MAX_BATCH && self.outbox.waiting().0 < MAX_BATCH as u64 {
                tokio::time::sleep(LINGER).await;
            }
            if let Some(wait) = self.send_one(&mut most, &mut backoff).await? {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// Sends until nothing waits or the server does not take it now.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub async fn flush(&self) -> Result<bool, SpoolError> {
        let (mut most, mut backoff) = (MAX_BATCH, Backoff::default());
        while self.outbox.waiting().0 > 0 {
            if self.send_one(&mut most, &mut backoff).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One attempt. Returns how long to wait before the next. A refused batch is tried again in halves, so that one
    /// bad event does not take good ones with it.
    async fn send_one(&self, most: &mut usize, backoff: &mut Backoff) -> Result<Option<Duration>, SpoolError> {
        let Batch { records, end: Some(end), damaged } = self.outbox.peek(*most, MAX_BATCH_BYTES - batch::FRAME)?
        else {
            return Ok((self.outbox.waiting().0 > 0).then_some(SPOOL_AGAIN));
        };
        let Body { text, unreadable, repeated } = batch::body(&records);
        let lost = unreadable + damaged;
        if text.is_empty() {
            let wait = self.done_with(end);
            self.lost(LossReason::SpoolDamaged, lost).await;
            return Ok(wait);
        }
        match self.post(text).await {
            Outcome::Accepted(receipt) => {
                let wait = self.done_with(end);
                self.lost(LossReason::SpoolDamaged, lost).await;
                self.count(&receipt, repeated);
                backoff.succeeded();
                *most = (*most * 2).min(MAX_BATCH);
                Ok(wait)
            }
            Outcome::Refused(reason) if records.len() > 1 => {
                tracing::warn!(reason, events = records.len(), "a batch was refused; trying its halves");
                *most = records.len() / 2;
                Ok(None)
            }
            Outcome::Refused(reason) => {
                let wait = self.done_with(end);
                self.lost(LossReason::SpoolDamaged, damaged).await;
                self.set_aside(&records, &reason).await;
                Ok(wait)
            }
            Outcome::Later(reason, asked) => {
                self.metrics.batches.with_label_values(&["retried"]).inc();
                let wait = backoff.failed(asked, random_share());
                tracing::warn!(reason, wait_ms = wait.as_millis(), waiting = self.outbox.waiting().0, "events wait");
                Ok(Some(wait))
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Outcome {
        let error = match self.client.send_events(body).await {
            Ok(receipt) => return Outcome::Accepted(receipt),
            Err(error) => error,
        };
        let reason = with_causes(&error);
        match error.status() {
            Some(StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY) => {
                Outcome::Refused(reason)
            }
            _ => Outcome::Later(reason, error.retry_after()),
        }
    }

    /// Where the cursor cannot be written, as on a full disk, only a later run sends these records again, and the server knows them.
    /// Returns how long to wait where they will come again at once.
    fn done_with(&self, end: Position) -> Option<Duration> {
        let error = self.outbox.acknowledge(end).err()?;
        tracing::warn!(%error, "how far the spool is sent cannot be written down");
        (!self.outbox.has_passed(end)).then_some(SPOOL_AGAIN)
    }

    fn count(&self, receipt: &EventReceipt, repeated: u64) {
        self.metrics.batches.with_label_values(&["accepted"]).inc();
        self.metrics.sent.with_label_values(&["accepted"]).inc_by(receipt.accepted as u64);
        self.metrics.sent.with_label_values(&["duplicate"]).inc_by(receipt.duplicates as u64);
        self.metrics.sent.with_label_values(&["repeated"]).inc_by(repeated);
    }

    async fn set_aside(&self, records: &[Vec<u8>], reason: &str) {
        self.metrics.batches.with_label_values(&["refused"]).inc();
        self.lost(LossReason::Refused, records.len() as u64).await;
        for record in records {
            // One for the gap alone that is refused would be refused for ever.
            let lost = LostEvent::read(record, LossReason::Refused).filter(|lost| !lost.gap_alone);
            if let Some(lost) = lost {
                self.tell(Observation::EventLost(lost)).await;
            }
        }
        tracing::error!(reason, file = %self.refused_file.display(), "an event was refused and is set aside");
        let kept = std::fs::metadata(&self.refused_file).map_or(0, |metadata| metadata.len());
        if kept > MOST_REFUSED_BYTES {
            return;
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.refused_file);
        let written = file.and_then(|mut file| {
            records.iter().try_for_each(|record| file.write_all(record).and_then(|()| file.write_all(b"\n")))
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the refused event could not be kept");
        }
    }

    async fn lost(&self, reason: LossReason, count: u64) {
        if count == 0 {
            return;
        }
        self.metrics.count_lost(reason, count);
        self.tell(Observation::Lost { container: None, reason, count }).await;
    }

    async fn tell(&self, loss: Observation) {
        if let Some(losses) = self.losses.upgrade() {
            // A closed channel means that the agent ends, and with it every observation.
            let _ = losses.send(loss).await;
        }
    }
}
