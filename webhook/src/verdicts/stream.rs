//! Keeps the cache in step with the operator: one connection after the other, for as long as the process lives.

use std::sync::Arc;
use std::time::Duration;

use stella_api::admission::AdmissionUpdate;
use stella_api::client::{Client, ClientError, SseEvent};
use stella_service::backoff::Backoff;
use stella_service::clock::Clock;
use stella_service::health::Part;
use stella_service::supervise::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, Held};
use super::feed::{Feed, FeedError};
use crate::metrics::Metrics;

/// A connection that held for so long makes up for the failures before it.
const STABLE: Duration = Duration::from_secs(30);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It could not be opened, broke, or is none of events.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An event is no update.
    #[error("event '{name}' is no update: {source}")]
    Update {
        /// Name of the event.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// An update came out of order.
    #[error(transparent)]
    Order(#[from] FeedError),
    /// The server closed it.
    #[error("the server closed the stream")]
    Closed,
}

/// How a stream is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// A connection on which nothing comes for that long is given up. The server sends a heartbeat every 15 s.
    pub idle: Duration,
    /// The first delay before connecting again.
    pub base: Duration,
    /// The longest delay before connecting again.
    pub cap: Duration,
    /// Changes are gathered for that long before they are published.
    pub gather: Duration,
    /// For the jitter; replicas should differ in it.
    pub seed: u64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(50),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            gather: Duration::from_millis(100),
            seed: 0,
        }
    }
}

/// The stream of verdicts and what it feeds.
#[derive(Debug)]
pub struct Stream {
    operator: Arc<Client>,
    cache: Cache,
    clock: Clock,
    settings: StreamSettings,
    metrics: Metrics,
    ready: Part,
    feed: Feed,
    held: Held,
    unpublished_since: Option<Instant>,
    /// What the server asked to wait before connecting again.
    retry: Option<Duration>,
}

impl Stream {
    /// A stream that goes on from what `cache` holds. `ready` becomes ready with the first snapshot.
    #[must_use]
    pub fn new(
        operator: Arc<Client>,
        cache: Cache,
        clock: Clock,
        settings: StreamSettings,
        metrics: Metrics,
        ready: Part,
    ) -> Self {
        let held = Held::clone(&cache.held());
        let feed = Feed::resume(held.view.clone());
        Self { operator, cache, clock, settings, metrics, ready, feed, held, unpublished_since: None, retry: None }
    }

    /// Runs until `token` is cancelled. Failures are logged and lead to another connection.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut backoff = Backoff::new(self.settings.base, self.settings.cap, self.settings.seed);
        let mut started = Instant::now();
        while let Some(error) = token.run_until_cancelled(self.connection()).await {
            self.disconnected(&error);
            if started.elapsed() >= STABLE {
                backoff.reset();
            }
            let delay = self.retry.take().unwrap_or_default().max(backoff.next_delay());
            // Servers close streams on which nothing happens.
            match &error {
                StreamError::Closed => tracing::debug!(?delay, "stream of verdicts closed"),
                error => tracing::warn!(error = %chain(error), ?delay, "stream of verdicts lost"),
            }
            if token.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                break;
            }
            started = Instant::now();
        }
        self.publish();
        Ok(())
    }

    fn disconnected(&mut self, error: &StreamError) {
        self.feed.disconnected();
        self.publish();
        self.metrics.stream_connected.set(0);
        self.metrics.stream_disconnects.inc();
        // What was not understood may have been missed: only a snapshot makes sure.
        if matches!(
            error,
            StreamError::Update { .. } | StreamError::Order(_) | StreamError::Client(ClientError::Events { .. })
        ) {
            self.held.cursor = None;
        }
    }

    async fn connection(&mut self) -> StreamError {
        match self.read_connection().await {
            Ok(()) => StreamError::Closed,
            Err(error) => error,
        }
    }

    async fn read_connection(&mut self) -> Result<(), StreamError> {
        let mut stream = self.operator.verdicts(self.held.cursor.as_deref(), self.settings.idle).await?;
        self.metrics.stream_connected.set(1);
        tracing::info!(cursor = self.held.cursor, "stream of verdicts open");
        loop {
            let due = self.unpublished_since.map(|since| since + self.settings.gather);
            tokio::select! {
                () = sleep_until(due) => self.publish(),
                events = stream.more() => {
                    let Some(events) = events? else { return Ok(()) };
                    for event in events {
                        self.take(event)?;
                    }
                    self.retry = stream.retry().map(|retry| self.settings.cap.min(retry));
                    self.heard();
                }
            }
        }
    }

    fn take(&mut self, event: SseEvent) -> Result<(), StreamError> {
        let update: AdmissionUpdate =
            serde_json::from_str(&event.data).map_err(|source| StreamError::Update { name: event.name, source })?;
        if self.feed.apply(update)? {
            self.held.content += 1;
            self.held.cursor = event.id.or(self.held.cursor.take());
        }
        Ok(())
    }

    /// Whatever the server sends, a heartbeat too, vouches for the verdicts; not while a snapshot replaces them.
    fn heard(&mut self) {
        if !self.feed.in_snapshot() && self.feed.view().policy_revision.is_some() {
            self.held.heard_at = Some(self.clock.now());
            self.unpublished_since.get_or_insert_with(Instant::now);
        }
    }

    fn publish(&mut self) {
        if self.unpublished_since.take().is_none() {
            return;
        }
        self.told_of_going_back();
        // The clock may have been set back since.
        let now = self.clock.now();
        self.held.heard_at = self.held.heard_at.map(|at| at.min(now));
        self.held.view = self.feed.view().clone();
        self.cache.publish(self.held.clone());
        self.metrics.describe(&self.held, now);
        self.ready.ready();
    }
}

impl Stream {
    /// A server that was put back to an older state is followed, as it is the one that decides; but it is said.
    fn told_of_going_back(&self) {
        let (before, after) = (self.held.view.sent_at, self.feed.view().sent_at);
        if after < before {
            self.metrics.went_back.inc();
            tracing::warn!(?before, ?after, "the server's verdicts are older than those that were held");
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// One snapshot, for a single question.
///
/// # Errors
/// The stream cannot be opened or read, or ends before its snapshot does.
pub async fn fetch(operator: &Client, clock: &Clock) -> Result<Held, StreamError> {
    let mut stream = operator.verdicts(None, StreamSettings::default().idle).await?;
    let mut feed = Feed::default();
    while let Some(events) = stream.more().await? {
        for event in events {
            let update =
                serde_json::from_str(&event.data).map_err(|source| StreamError::Update { name: event.name, source })?;
            if feed.apply(update)? {
                let view = feed.view().clone();
                return Ok(Held { view, heard_at: Some(clock.now()), ..Held::default() });
            }
        }
    }
    Err(StreamError::Closed)
}

#[cfg(test)]
mod tests;
