//! Work on a scan as part of the trace of whoever asked for it.

use stella_service::spans::{Kind, step};
use stella_store::Scan;

use crate::app::App;

/// The note of a scan with the `traceparent` of whoever asked for it, where that is recorded.
pub(super) const TRACE: &str = "traceparent";

/// The `traceparent` that a scan goes on with.
pub(super) fn trace(scan: &Scan) -> Option<&str> {
    scan.metadata.get(TRACE).map(String::as_str)
}

/// Does work on a scan, as a step of that name.
///
/// # Errors
/// Those of the work.
pub(super) async fn for_scan<T, E>(
    app: &App,
    scan: &Scan,
    name: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match trace(scan) {
        Some(trace) => app.traces.within(trace, step(Kind::Consumer, name, work)).await,
        None => work.await,
    }
}
