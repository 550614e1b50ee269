//! The operator's figures.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Counters and gauges, registered once.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Runtime events by outcome: `accepted`, `duplicate`, `refused`.
    pub events: IntCounterVec,
    /// Containers with a blocked image by what was done: `WouldEvict`, `Evicted`, `EvictionWaits`, `CannotEvict`.
    pub enforced: IntCounterVec,
    /// Scans by how they ended.
    pub scans: IntCounterVec,
    /// Running containers by coverage: `fresh`, `stale`, `failed`, `excluded`.
    pub coverage: IntGaugeVec,
    /// Reconciliations that failed, by kind and reason.
    pub reconcile_errors: IntCounterVec,
    /// What was forgotten, by kind: `reports`, `images`, `scans`, `steps`, `containers`, `strays`, `layers`, `events`,
    /// `nodes`, `checks`.
    pub forgotten: IntCounterVec,
    /// Looks for signatures of images by what came of them: `found`, `missing`, `failed`.
    pub signature_checks: IntCounterVec,
    /// Requests that were answered without authentication because the configuration allows it.
    pub anonymous: IntCounter,
}

impl Metrics {
    /// Registers everything in `registry`.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let coverage = IntGaugeVec::new(
            Opts::new("stella_coverage_containers", "Running containers by state of the scan of their image"),
            &["state"],
        )?;
        registry.register(Box::new(coverage.clone()))?;
        let anonymous = IntCounter::new("stella_anonymous_requests_total", "Requests answered without authentication")?;
        registry.register(Box::new(anonymous.clone()))?;
        Ok(Self {
            events: counter("stella_runtime_events_total", "Runtime events by outcome", &["outcome"])?,
            enforced: counter(
                "stella_enforced_total",
                "Containers whose image is blocked, by what was done",
                &["action"],
            )?,
            scans: counter("stella_scans_total", "Scans by how they ended", &["status"])?,
            coverage,
            forgotten: counter("stella_forgotten_total", "What was not used any more and was forgotten", &["kind"])?,
            signature_checks: counter(
                "stella_signature_checks_total",
                "Looks for signatures and SBOMs of images, by what came of them",
                &["outcome"],
            )?,
            reconcile_errors: counter("stella_reconcile_errors_total", "Failed reconciliations", &["kind", "reason"])?,
            anonymous,
        })
    }
}
