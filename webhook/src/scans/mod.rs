//! Asks the operator for verdicts of images it has none for, so that it scans them. No review waits for it.
//!
//! While the operator is away wishes wait: they are asked for again, ever less often, until it answers.

mod batches;
mod wanted;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stella_api::client::{Client, ClientError};
use stella_api::runtime::{MAX_BATCH, RuntimePolicyRequest};
use stella_service::backoff::Backoff;
use stella_service::clock::Clock;
use stella_service::supervise::chain;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::away::{is_away, may_pass};
use crate::decision::ScanWish;
use crate::metrics::Metrics;
use batches::batches;
use wanted::{Added, Waiting, Wanted};

/// Images that are taken at once, to be sorted by namespace.
const TAKEN: usize = 16 * MAX_BATCH;

/// How the operator is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Wishes are gathered for that long, so that one request asks for many.
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
            gather: Duration::from_millis(500),
            answer: Duration::from_secs(30),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            seed: 0,
        }
    }
}

/// The reviews' side of the queue.
#[derive(Debug, Clone)]
pub struct Scans(Arc<Shared>);

/// The side that asks.
#[derive(Debug)]
pub struct ScanRequests {
    shared: Arc<Shared>,
    operator: Arc<Client>,
    pace: Pace,
}

#[derive(Debug)]
struct Shared {
    wanted: Mutex<Wanted>,
    added: Notify,
    clock: Clock,
    metrics: Metrics,
}

/// A queue to `operator`.
#[must_use]
pub fn queue(operator: Arc<Client>, clock: Clock, metrics: Metrics, pace: Pace) -> (Scans, ScanRequests) {
    let shared = Arc::new(Shared { wanted: Mutex::default(), added: Notify::new(), clock, metrics });
    (Scans(Arc::clone(&shared)), ScanRequests { shared, operator, pace })
}

impl Scans {
    /// Queues a wish, unless the image waits already or was asked for a moment ago. What does not fit is counted, and dropped: the
    /// next review of the image wishes it again.
    pub fn ask(&self, wish: &ScanWish) {
        let now = self.0.clock.now();
        let added = self.0.change(|wanted| wanted.add(wish, now));
        match added {
            Added::New => self.0.added.notify_one(),
            Added::Known => {}
            Added::Full => self.0.count("dropped", 1),
        }
    }
}

impl Shared {
    /// Changes what is wanted, and shows how much that is.
    fn change<T>(&self, change: impl FnOnce(&mut Wanted) -> T) -> T {
        let mut wanted = self.lock();
        let changed = change(&mut wanted);
        self.metrics.scans_open.set(i64::try_from(wanted.open()).unwrap_or(i64::MAX));
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, result: &str, images: usize) {
        self.metrics.scans.with_label_values(&[result]).inc_by(images as u64);
    }
}

impl ScanRequests {
    /// Asks until `token` is cancelled.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(self, token: CancellationToken) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(self.pace.base, self.pace.cap, self.pace.seed);
        while token.run_until_cancelled(self.turn(&mut backoff)).await.is_some() {}
        Ok(())
    }

    /// Waits for wishes and asks for some of them.
    async fn turn(&self, backoff: &mut Backoff) {
        while self.shared.lock().is_empty() {
            self.shared.added.notified().await;
            tokio::time::sleep(self.pace.gather).await;
        }
        if self.ask_for_some().await {
            backoff.reset();
        } else {
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Whether the operator answered all of it. What it answered not waits behind all others, so that none of them waits for it.
    async fn ask_for_some(&self) -> bool {
        let taken = self.shared.change(|wanted| wanted.take(TAKEN));
        let mut batches = batches(taken).into_iter();
        let mut unanswered = Vec::new();
        for batch in batches.by_ref() {
            match self.ask(&batch).await {
                Answer::Settled => {}
                Answer::Later => unanswered.extend(batch),
                Answer::Away => {
                    unanswered.extend(batch);
                    break;
                }
            }
        }
        let all = unanswered.is_empty();
        self.shared.change(|wanted| wanted.put_back(batches.flatten().collect(), unanswered));
        all
    }

    /// Asks for the images of a batch.
    async fn ask(&self, batch: &[Waiting]) -> Answer {
        let Err(error) = self.operator.ask_for_scans(&question(batch), self.pace.answer).await else {
            let now = self.shared.clock.now();
            self.shared.change(|wanted| wanted.asked(batch, now));
            self.shared.count("asked", batch.len());
            return Answer::Settled;
        };
        let answer = Answer::of(&error);
        let again = answer != Answer::Settled;
        tracing::warn!(error = %chain(&error), images = batch.len(), again, "asking for scans failed");
        self.shared.count(if again { "failed" } else { "refused" }, batch.len());
        if !again {
            self.shared.change(|wanted| wanted.forget(batch));
        }
        answer
    }
}

/// What a batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It need not be asked for again: the operator took it, or never will.
    Settled,
    /// It is to be asked for again; others may be answered meanwhile.
    Later,
    /// So are all others: nobody is there to answer.
    Away,
}

impl Answer {
    fn of(error: &ClientError) -> Self {
        match error {
            _ if !may_pass(error) => Self::Settled,
            _ if is_away(error) => Self::Away,
            _ => Self::Later,
        }
    }
}

fn question(batch: &[Waiting]) -> RuntimePolicyRequest {
    RuntimePolicyRequest {
        namespace: batch.first().map(|image| image.namespace.clone()).unwrap_or_default(),
        labels: BTreeMap::new(),
        images: batch.iter().map(|image| image.image.clone()).collect(),
    }
}

#[cfg(test)]
mod tests;
