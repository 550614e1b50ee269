//! Sends the records of decisions to the operator, which keeps them for a week. No review waits for it: what finds no room is
//! counted and dropped, and the log still has it.

mod waiting;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stella_api::client::Client;
use stella_service::backoff::Backoff;
use stella_service::supervise::chain;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::away::may_pass;
use crate::metrics::Metrics;
use waiting::Waiting;

/// What is left for the last records of a process that ends.
const LAST: Duration = Duration::from_secs(2);

/// How the operator is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Records are gathered for that long, and no more than one request is sent within it.
    pub gather: Duration,
    /// A request that is not answered within that time has failed.
    pub answer: Duration,
    /// The first delay after a failure.
    pub base: Duration,
    /// The longest.
    pub cap: Duration,
    /// For the jitter; replicas should differ in it.
    pub seed: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gather: Duration::from_secs(1),
            answer: Duration::from_secs(30),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            seed: 0,
        }
    }
}

/// The reviews' side of the queue.
#[derive(Debug, Clone)]
pub struct Records(Arc<Shared>);

/// The side that sends.
#[derive(Debug)]
pub struct Deliveries {
    shared: Arc<Shared>,
    operator: Arc<Client>,
    pace: Pace,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    added: Notify,
    metrics: Metrics,
}

/// A queue to `operator`.
#[must_use]
pub fn queue(operator: Arc<Client>, metrics: Metrics, pace: Pace) -> (Records, Deliveries) {
    let shared = Arc::new(Shared { waiting: Mutex::default(), added: Notify::new(), metrics });
    (Records(Arc::clone(&shared)), Deliveries { shared, operator, pace })
}

impl Records {
    /// Queues a record, JSON on one line. What finds no room is counted and dropped.
    pub fn keep(&self, line: String) {
        if self.0.lock().add(line) {
            self.0.added.notify_one();
        } else {
            self.0.count("dropped", 1);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, result: &str, records: usize) {
        self.metrics.records.with_label_values(&[result]).inc_by(records as u64);
    }
}

impl Deliveries {
    /// Sends until `token` is cancelled, and what waits once more then.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(self, token: CancellationToken) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(self.pace.base, self.pace.cap, self.pace.seed);
        while token.run_until_cancelled(self.turn(&mut backoff)).await.is_some() {}
        // Nobody is there to be told that it did not work.
        let _ = tokio::time::timeout(LAST, self.send()).await;
        Ok(())
    }

    /// Waits for records and sends some of them.
    async fn turn(&self, backoff: &mut Backoff) {
        while self.shared.lock().is_empty() {
            self.shared.added.notified().await;
        }
        tokio::time::sleep(self.pace.gather).await;
        if self.send().await {
            backoff.reset();
        } else {
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Sends the oldest; whether the operator took them.
    async fn send(&self) -> bool {
        let batch = self.shared.lock().take();
        if batch.is_empty() {
            return true;
        }
        let lines = batch.join("\n");
        let Err(error) = self.operator.keep_decisions(lines, self.pace.answer).await else {
            self.shared.count("kept", batch.len());
            return true;
        };
        let again = may_pass(&error);
        tracing::warn!(error = %chain(&error), records = batch.len(), again, "decisions were not kept");
        self.shared.count(if again { "failed" } else { "refused" }, batch.len());
        if again {
            let dropped = self.shared.lock().put_back(batch);
            self.shared.count("dropped", dropped);
        }
        false
    }
}

#[cfg(test)]
mod tests;
