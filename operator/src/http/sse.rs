//! Server-sent events (HTML standard, "Server-sent events").

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;

/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// After how much silence a stream for people and their programs ends; they resume by `Last-Event-ID`. The product's own
/// streams stay.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// Tells when to come again, before a stream ends that has not come to its end.
pub(super) fn come_again() -> Event {
    Event::default().retry(Duration::from_secs(1))
}

/// The answer that carries `events`.
pub(super) fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, sse).into_response()
}

/// What `Last-Event-ID` says.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned)
}
