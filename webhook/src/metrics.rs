//! What this process counts.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};
use stella_domain::Timestamp;

use crate::verdicts::Held;

/// The product's part of every name.
const PREFIX: &str = "stella_admission";
/// Seconds; the budget for a review is 5 ms.
const LATENCY_BUCKETS: [f64; 12] = [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// The metrics of admission. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Reviews by `result`: the outcome of a decision, `unavailable`, `invalid` or `too-large`.
    pub reviews: IntCounterVec,
    /// From the first byte of a review's body to its answer.
    pub seconds: Histogram,
    /// Entries held, by `kind`: `image`, `namespace`.
    pub entries: IntGaugeVec,
    /// Seconds since the server last vouched for the verdicts; -1 before the first snapshot.
    pub age: IntGauge,
    /// Whether the stream of verdicts is open.
    pub stream_connected: IntGauge,
    /// Streams that ended.
    pub stream_disconnects: IntCounter,
    /// Images whose scan was asked for, by `result`: `asked`, `failed` (to be asked for again), `refused`, `dropped`.
    pub scans: IntCounterVec,
    /// Images whose scan is still to be asked for.
    pub scans_open: IntGauge,
    /// Records of decisions for the operator to keep, by `result`: `kept`, `failed` (to be sent again), `refused`, `dropped`.
    pub records: IntCounterVec,
    /// Refusals shown as events, by `result`: `published`, `failed`, `dropped`.
    pub events: IntCounterVec,
    /// Break-glass requests, by `result`: `granted`, `denied`, `failed`.
    pub break_glass: IntCounterVec,
    /// Judged reviews by `namespace` and `rung`. Namespaces that nobody told of count as `(other)`.
    pub rungs: IntCounterVec,
    /// Times the server's verdicts were older than those that were held.
    pub went_back: IntCounter,
    /// When the bundle in use expires, in seconds since 1970; 0 without one.
    pub bundle_expires: IntGauge,
    /// Files of bundles that were refused.
    pub bundle_refused: IntCounter,
    /// Seconds until the served certificate ends.
    pub certificate_seconds_left: IntGauge,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// A name is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let latency = HistogramOpts::new(name("review_seconds"), "Time to answer a review.");
        let metrics = Self {
            reviews: counters("reviews_total", "Reviews answered.", "result")?,
            seconds: Histogram::with_opts(latency.buckets(LATENCY_BUCKETS.to_vec()))?,
            entries: IntGaugeVec::new(Opts::new(name("entries"), "Verdicts and namespaces held."), &["kind"])?,
            age: gauge("verdicts_age_seconds", "Seconds since the server vouched for the verdicts; -1: never.")?,
            stream_connected: gauge("stream_connected", "Whether the stream of verdicts is open.")?,
            stream_disconnects: IntCounter::new(name("stream_disconnects_total"), "Streams of verdicts that ended.")?,
            scans: counters("scan_requests_total", "Images whose scan was asked for.", "result")?,
            scans_open: gauge("scan_requests_open", "Images whose scan is still to be asked for.")?,
            records: counters("records_total", "Records of decisions for the operator to keep.", "result")?,
            events: counters("events_total", "Refusals shown as events.", "result")?,
            break_glass: counters("break_glass_total", "Requests to break the glass.", "result")?,
            rungs: IntCounterVec::new(
                Opts::new(name("rungs_total"), "Judged reviews, by what they rest on."),
                &["namespace", "rung"],
            )?,
            went_back: IntCounter::new(name("verdicts_went_back_total"), "Verdicts older than those that were held.")?,
            bundle_expires: gauge("bundle_expires_seconds", "When the bundle in use expires; 0 without one.")?,
            bundle_refused: IntCounter::new(name("bundle_refused_total"), "Files of bundles that were refused.")?,
            certificate_seconds_left: gauge("certificate_seconds_left", "Seconds until the certificate ends.")?,
        };
        metrics.age.set(-1);
        metrics.collectors().into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    /// Shows how much is held, and how old it is at `now`.
    pub fn describe(&self, held: &Held, now: Timestamp) {
        self.entries.with_label_values(&["image"]).set(count(held.view.image_count()));
        self.entries.with_label_values(&["namespace"]).set(count(held.view.namespace_count()));
        self.age.set(held.heard_at.map_or(-1, |heard| now.seconds_since(heard).max(0)));
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.reviews.clone()),
            Box::new(self.seconds.clone()),
            Box::new(self.entries.clone()),
            Box::new(self.age.clone()),
            Box::new(self.stream_connected.clone()),
            Box::new(self.stream_disconnects.clone()),
            Box::new(self.scans.clone()),
            Box::new(self.scans_open.clone()),
            Box::new(self.records.clone()),
            Box::new(self.events.clone()),
            Box::new(self.break_glass.clone()),
            Box::new(self.rungs.clone()),
            Box::new(self.went_back.clone()),
            Box::new(self.bundle_expires.clone()),
            Box::new(self.bundle_refused.clone()),
            Box::new(self.certificate_seconds_left.clone()),
        ]
    }
}

fn name(of: &str) -> String {
    format!("{PREFIX}_{of}")
}

fn counters(of: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name(of), help), &[label])
}

fn gauge(of: &str, help: &str) -> prometheus::Result<IntGauge> {
    IntGauge::new(name(of), help)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
