//! What the agent counts about itself, as Prometheus metrics.

use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use stella_api::node_status::Loss;

use crate::bpf::Counts;
use crate::observation::LossReason;

/// Why an occurrence is nobody's: the runtime never knew the container, or the cgroup only looked like a container's.
const UNATTRIBUTED: [&str; 2] = ["owner-unknown", "no-container"];

/// What a node can be short of.
pub const PRESSURES: [&str; 4] = ["cpu", "memory", "io", "available-memory"];

/// Every metric. Names begin with `zastava_`.
pub struct Metrics {
    registry: Registry,
    /// What the kernel side saw: `exec`, `mapping`, `exit`, `opening`; of these `repeated` and `submitted`.
    kernel_events: IntCounterVec,
    /// Records read from the ring.
    pub records_received: IntCounter,
    lost: IntCounterVec,
    /// Events recorded, by kind.
    pub recorded: IntCounterVec,
    /// Batches sent, by outcome: `accepted`, `refused`, `retried`.
    pub batches: IntCounterVec,
    /// Events of an earlier run that were found in the spool.
    pub recovered: IntCounter,
    /// Events that left the spool for the server, by `accepted`, `duplicate`, and `repeated` for those that stood twice in one batch.
    pub sent: IntCounterVec,
    /// Entries thrown out of a bounded table.
    pub evictions: IntCounterVec,
    /// Libraries whose hash was left out, by reason: `too-large`, `rate`, `unreadable`.
    pub unhashed: IntCounterVec,
    /// Images read for the server, by outcome.
    pub images: IntCounterVec,
    /// Containers met since the start.
    pub containers_seen: IntCounter,
    /// Occurrences that could be given to no workload, by why: `owner-unknown`, `no-container`.
    pub unattributed: IntCounterVec,
    /// Containers in the table.
    pub containers: IntGauge,
    /// Bytes in the spool.
    pub spool_bytes: IntGauge,
    /// Events in the spool that wait to be sent.
    pub spool_events: IntGauge,
    /// Microseconds that the last look at package databases took.
    pub database_look: IntGauge,
    /// 1 for the way in which the node is observed.
    pub observing: IntGaugeVec,
    /// 1 for what the node is under pressure by.
    pub pressure: IntGaugeVec,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Panics
    /// When two metrics have one name, which a test rules out.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let register = |collector: Box<dyn prometheus::core::Collector>| {
            registry.register(collector).expect("metric names are unique");
        };
        let counters = |name: &str, text: &str, label: &str| {
            let counter = IntCounterVec::new(Opts::new(name, text), &[label]).expect("a valid metric name");
            register(Box::new(counter.clone()));
            counter
        };
        let gauge = |name: &str, text: &str| {
            let gauge = IntGauge::new(name, text).expect("a valid metric name");
            register(Box::new(gauge.clone()));
            gauge
        };
        let records_received =
            IntCounter::new("zastava_records_received_total", "Records read from the kernel's ring.")
                .expect("a valid metric name");
        register(Box::new(records_received.clone()));
        let recovered =
            IntCounter::new("zastava_events_recovered_total", "Events of an earlier run that waited in the spool.")
                .expect("a valid metric name");
        register(Box::new(recovered.clone()));
        let containers_seen = IntCounter::new("zastava_containers_seen_total", "Containers met since the start.")
            .expect("a valid metric name");
        register(Box::new(containers_seen.clone()));
        let gauges = |name: &str, text: &str, label: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, text), &[label]).expect("a valid metric name");
            register(Box::new(gauge.clone()));
            gauge
        };
        let metrics = Self {
            kernel_events: counters(
                "zastava_kernel_events_total",
                "Occurrences in containers the kernel side saw.",
                "kind",
            ),
            records_received,
            lost: counters("zastava_events_lost_total", "Events lost, by reason.", "reason"),
            recorded: counters("zastava_events_recorded_total", "Events recorded, by kind.", "kind"),
            batches: counters("zastava_batches_total", "Batches sent to the server, by outcome.", "outcome"),
            recovered,
            sent: counters("zastava_events_sent_total", "Events the server took.", "outcome"),
            evictions: counters("zastava_evictions_total", "Entries thrown out of bounded tables.", "table"),
            unhashed: counters("zastava_unhashed_total", "Libraries sent without a hash, by reason.", "reason"),
            images: counters("zastava_images_read_total", "Images read for the server, by outcome.", "outcome"),
            containers_seen,
            unattributed: counters(
                "zastava_unattributed_total",
                "Occurrences that could be given to no workload, by why.",
                "reason",
            ),
            containers: gauge("zastava_containers", "Containers in the table."),
            spool_bytes: gauge("zastava_spool_bytes", "Bytes in the spool."),
            spool_events: gauge("zastava_spool_events", "Events in the spool that wait to be sent."),
            database_look: gauge(
                "zastava_database_look_microseconds",
                "Microseconds that the last look at the package databases of running containers took.",
            ),
            observing: gauges("zastava_observing", "1 for the way in which executable mappings are observed.", "hook"),
            pressure: gauges(
                "zastava_pressure",
                "1 while the node is under pressure by this, and no image is read.",
                "resource",
            ),
            registry,
        };
        for reason in LossReason::ALL {
            metrics.lost.with_label_values(&[reason.name()]);
        }
        for reason in UNATTRIBUTED {
            metrics.unattributed.with_label_values(&[reason]);
        }
        for resource in PRESSURES {
            metrics.pressure.with_label_values(&[resource]);
        }
        metrics
    }

    /// Adds what the kernel side counted.
    pub fn count_kernel(&self, counts: &Counts) {
        let kinds = [
            ("exec", counts.execs),
            ("mapping", counts.mappings),
            ("exit", counts.exits),
            ("opening", counts.openings),
            ("repeated", counts.repeated),
            ("submitted", counts.submitted),
        ];
        for (kind, count) in kinds {
            self.kernel_events.with_label_values(&[kind]).inc_by(count);
        }
        self.count_lost(LossReason::RingFull, counts.lost);
    }

    /// Counts lost events.
    pub fn count_lost(&self, reason: LossReason, count: u64) {
        self.lost.with_label_values(&[reason.name()]).inc_by(count);
    }

    /// Occurrences that could be given to no workload so far.
    #[must_use]
    pub fn unattributed_so_far(&self) -> u64 {
        UNATTRIBUTED.iter().map(|reason| self.unattributed.with_label_values(&[reason]).get()).sum()
    }

    /// The events lost so far, by stage and reason; only what happened.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        let count = |reason: LossReason| Loss {
            stage: reason.stage().to_owned(),
            reason: reason.name().to_owned(),
            count: self.lost.with_label_values(&[reason.name()]).get(),
        };
        let mut losses: Vec<Loss> = LossReason::ALL.into_iter().map(count).filter(|loss| loss.count > 0).collect();
        losses.sort_unstable();
        losses
    }

    /// The text of all metrics (Prometheus text format 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_reason_is_shown_from_the_start() {
        let metrics = Metrics::new();
        metrics.count_lost(LossReason::SpoolFull, 3);
        let text = metrics.render();
        assert!(text.contains("zastava_events_lost_total{reason=\"ring-full\"} 0"), "{text}");
        assert!(text.contains("zastava_events_lost_total{reason=\"spool-full\"} 3"), "{text}");
        let loss = Loss { stage: "spool".to_owned(), reason: "spool-full".to_owned(), count: 3 };
        assert_eq!(metrics.losses(), [loss]);
    }
}
