//! Spans below that of a request: the steps that were taken for it, here and by whoever goes on with it later.
//!
//! ```text
//!   request ──within──┬─ step: store
//!                     ├─ step ─┬─ step          an arrow of time to the right; a step within a step is its child
//!                     │        └─ step
//!                     └─ current ─► kept with a job ──within──┬─ step
//!                                                             └─ ...     minutes later, on whichever replica
//! ```
//!
//! Where nobody collects spans, or the caller said that its trace is not recorded, a step is the work and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::SpanKind;
use stella_domain::Hasher;

use crate::traceparent;
use crate::traces::{Step, Traces};

static STEPS: AtomicU64 = AtomicU64::new(0);

tokio::task_local! {
    static CURRENT: Current;
}

/// What steps of this task are children of.
#[derive(Debug, Clone)]
struct Current {
    traces: Traces,
    /// A `traceparent` whose span is the current one.
    trace: String,
}

/// What a step is towards others (OpenTelemetry, trace API, "SpanKind").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Work of this process.
    Internal,
    /// A question to a database or another process.
    Client,
    /// Work on what was queued before.
    Consumer,
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Internal => Self::Internal,
            Kind::Client => Self::Client,
            Kind::Consumer => Self::Consumer,
        }
    }
}

impl Traces {
    /// Does work for whoever `trace` (a `traceparent`) names: its [`step`]s are children of that span.
    pub async fn within<T>(&self, trace: &str, work: impl Future<Output = T>) -> T {
        if !self.are_on() || !traceparent::is_recorded(trace) {
            return work.await;
        }
        CURRENT.scope(Current { traces: self.clone(), trace: trace.to_owned() }, work).await
    }
}

/// Takes a step and tells of it, with its time and whether it failed. Dropped before its end, it is not told of.
///
/// # Errors
/// Those of the work.
pub async fn step<T, E>(kind: Kind, name: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let Ok(parent) = CURRENT.try_with(Clone::clone) else { return work.await };
    let begun = SystemTime::now();
    let Some(trace) = child(&parent.trace, begun) else { return work.await };
    let own = Current { traces: parent.traces.clone(), trace: trace.clone() };
    let outcome = CURRENT.scope(own, work).await;
    let failed = outcome.is_err();
    parent.traces.stepped(&Step { kind, name, trace: &trace, parent: &parent.trace, begun, failed });
    outcome
}

/// The `traceparent` of the step that is being taken: to ask others with, or to keep with a job. `None` where nothing is recorded.
#[must_use]
pub fn current() -> Option<String> {
    CURRENT.try_with(|current| current.trace.clone()).ok()
}

/// The same work for a task of its own: its steps stay children of the step that begins it.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let current = CURRENT.try_with(Clone::clone).ok();
    async move {
        match current {
            Some(current) => CURRENT.scope(current, work).await,
            None => work.await,
        }
    }
}

/// A new span under `parent`. Several processes may have the same parent.
fn child(parent: &str, begun: SystemTime) -> Option<String> {
    let [trace, span, flags] = traceparent::parts(parent)?;
    let mut hasher = Hasher::new();
    hasher.field(span);
    hasher.field(STEPS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    hasher.field(std::process::id().to_be_bytes());
    hasher.field(begun.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos()).to_be_bytes());
    Some(format!("00-{trace}-{}-{flags}", &hasher.finish().hex()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[tokio::test]
    async fn without_a_collector_a_step_is_the_work_alone() {
        let work = async { Ok::<_, ()>(current()) };
        assert_eq!(Traces::default().within(TRACE, step(Kind::Internal, "a", work)).await, Ok(None));
    }

    #[tokio::test]
    async fn children_are_new_spans_of_the_same_trace() {
        let children = [child(TRACE, UNIX_EPOCH).unwrap(), child(TRACE, UNIX_EPOCH).unwrap()];
        assert_ne!(children[0], children[1]);
        for child in children {
            let [trace, span, flags] = traceparent::parts(&child).unwrap();
            assert_eq!((trace, flags), ("0af7651916cd43dd8448eb211c80319c", "01"));
            assert_ne!(span, "b7ad6b7169203331");
        }
        assert_eq!(child("00-none", UNIX_EPOCH), None);
    }

    #[tokio::test]
    async fn work_goes_on_under_its_step_in_another_task() {
        let (traces, mut told) = Traces::for_tests();
        let carrying = step(Kind::Client, "outer", async {
            let inner = step(Kind::Internal, "inner", async { Err::<(), _>("no") });
            assert_eq!(tokio::spawn(carried(inner)).await.unwrap(), Err("no"));
            Ok::<_, &str>(current().unwrap())
        });
        let outer = traces.within(TRACE, carrying).await.unwrap();
        let [inner_told, outer_told] = [told.try_recv().unwrap(), told.try_recv().unwrap()];
        assert_eq!((&*inner_told.name, &*outer_told.name), ("inner", "outer"));
        assert_eq!(inner_told.parent_span_id, outer_told.span_context.span_id());
        assert_eq!(outer_told.parent_span_id.to_string(), "b7ad6b7169203331");
        assert!(outer.contains(&outer_told.span_context.span_id().to_string()));
        assert_eq!((outer_told.span_kind, inner_told.span_kind), (SpanKind::Client, SpanKind::Internal));
        let failed =
            |status: &opentelemetry::trace::Status| matches!(status, opentelemetry::trace::Status::Error { .. });
        assert!(failed(&inner_told.status) && !failed(&outer_told.status));
        // Whoever is not recorded is not told of.
        let unrecorded = TRACE.replace("-01", "-00");
        traces.within(&unrecorded, step(Kind::Internal, "a", async { Ok::<_, ()>(()) })).await.unwrap();
        assert!(told.try_recv().is_err());
    }
}
