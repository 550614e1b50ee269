//! Asks the operator for verdicts of images it has none for, so that it scans them. No review waits for it.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stella_api::runtime::{MAX_BATCH, RuntimePolicyRequest};
use stella_domain::Timestamp;
use stella_service::clock::Clock;
use stella_service::supervise::chain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::decision::ScanWish;
use crate::metrics::Metrics;
use crate::verdicts::Server;

/// Wishes that may wait.
const QUEUE: usize = 1024;
/// An image is asked for again after that many seconds; a scan takes a while.
const AGAIN_SECONDS: i64 = 300;
/// Wishes are gathered for that long, so that one request asks for many.
const GATHER: Duration = Duration::from_millis(500);

type Asked = HashMap<(String, String), Timestamp>;

/// The reviews' side of the queue.
#[derive(Debug, Clone)]
pub struct Scans {
    queue: mpsc::Sender<ScanWish>,
    asked: Arc<Mutex<Asked>>,
    clock: Clock,
    metrics: Metrics,
}

/// The side that asks.
#[derive(Debug)]
pub struct ScanRequests {
    queue: mpsc::Receiver<ScanWish>,
    server: Server,
    metrics: Metrics,
}

/// A queue to `server`.
#[must_use]
pub fn queue(server: Server, clock: Clock, metrics: Metrics) -> (Scans, ScanRequests) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let scans = Scans { queue: sender, asked: Arc::default(), clock, metrics: metrics.clone() };
    (scans, ScanRequests { queue: receiver, server, metrics })
}

impl Scans {
    /// Queues a wish, unless the same was asked a moment ago or the queue is full.
    pub fn ask(&self, wish: &ScanWish) {
        if !self.is_new(wish) {
            return;
        }
        if self.queue.try_send(wish.clone()).is_err() {
            self.metrics.scans.with_label_values(&["dropped"]).inc();
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(wish));
        }
    }

    fn is_new(&self, wish: &ScanWish) -> bool {
        let now = self.clock.now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= 4 * QUEUE {
            asked.retain(|_, at| now.seconds_since(*at) < AGAIN_SECONDS);
        }
        match asked.get(&key(wish)) {
            Some(at) if now.seconds_since(*at) < AGAIN_SECONDS => false,
            _ => {
                asked.insert(key(wish), now);
                true
            }
        }
    }
}

fn key(wish: &ScanWish) -> (String, String) {
    (wish.namespace.clone(), wish.image.clone())
}

impl ScanRequests {
    /// Asks until `token` is cancelled. What fails is dropped: the next review of the image asks again.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), Infallible> {
        while let Some(wishes) = token.run_until_cancelled(self.gather()).await {
            for question in questions(wishes) {
                let answered = token.run_until_cancelled(self.server.runtime_policy(&question)).await;
                let result = match answered {
                    None => break,
                    Some(Ok(())) => "asked",
                    Some(Err(error)) => {
                        tracing::warn!(error = %chain(&error), "asking for scans failed");
                        "failed"
                    }
                };
                self.metrics.scans.with_label_values(&[result]).inc_by(question.images.len() as u64);
            }
        }
        Ok(())
    }

    async fn gather(&mut self) -> Vec<ScanWish> {
        let mut wishes = Vec::new();
        match self.queue.recv().await {
            Some(wish) => wishes.push(wish),
            // Nobody is left to wish for anything; the token ends this.
            None => std::future::pending().await,
        }
        tokio::time::sleep(GATHER).await;
        while let Ok(wish) = self.queue.try_recv() {
            wishes.push(wish);
        }
        wishes
    }
}

/// One question for each namespace and set of labels, of at most [`MAX_BATCH`] images.
fn questions(wishes: Vec<ScanWish>) -> Vec<RuntimePolicyRequest> {
    let mut grouped: BTreeMap<(String, BTreeMap<String, String>), Vec<String>> = BTreeMap::new();
    for wish in wishes {
        grouped.entry((wish.namespace, wish.labels)).or_default().push(wish.image);
    }
    let question = |namespace: &str, labels: &BTreeMap<String, String>, images: &[String]| RuntimePolicyRequest {
        namespace: namespace.to_owned(),
        labels: labels.clone(),
        images: images.to_vec(),
    };
    let batches = grouped.iter().flat_map(|((namespace, labels), images)| {
        images.chunks(MAX_BATCH).map(move |images| question(namespace, labels, images))
    });
    batches.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use prometheus::Registry;

    fn wish(namespace: &str, image: &str) -> ScanWish {
        ScanWish { namespace: namespace.to_owned(), image: image.to_owned(), labels: BTreeMap::new() }
    }

    #[tokio::test]
    async fn the_same_wish_is_queued_once() {
        let server = Server::new("http://127.0.0.1:1", None, None).unwrap();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let (scans, mut requests) = queue(server, Clock::stopped(fixture::now()), metrics);
        for image in ["a", "a", "b"] {
            scans.ask(&wish("shop", image));
        }
        scans.ask(&wish("other", "a"));
        assert_eq!(requests.gather().await.len(), 3);
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let server = Server::new("http://127.0.0.1:1", None, None).unwrap();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let (scans, _requests) = queue(server, Clock::stopped(fixture::now()), metrics.clone());
        (0..QUEUE + 7).for_each(|n| scans.ask(&wish("shop", &n.to_string())));
        assert_eq!(metrics.scans.with_label_values(&["dropped"]).get(), 7);
    }

    #[test]
    fn questions_are_split_by_namespace_and_size() {
        let mut wishes: Vec<_> = (0..300).map(|n| wish("a", &n.to_string())).collect();
        wishes.push(wish("b", "x"));
        let sizes: Vec<_> = questions(wishes).iter().map(|question| question.images.len()).collect();
        assert_eq!(sizes, [256, 44, 1]);
    }
}
