//! Streams: server-sent events (HTML standard, "Server-sent events"), or the same events as lines of JSON, for whoever
//! prefers `application/x-ndjson`.
//!
//! Both forms live by the same rules: a sign of life where nothing happens, an end after long silence, `Last-Event-ID` to go on.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::future::ready;
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use tokio::time::Instant;

use super::error::ApiError;

/// The media type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

const SERVER_SENT: &str = "text/event-stream";

/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// After how much silence a stream ends whose reader resumes by `Last-Event-ID`.
const IDLE: Duration = Duration::from_secs(60);

/// After how long such a reader is to come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Characters that the id of an event has at most.
const MAX_ID: usize = 64;

/// How the events of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    ServerSent,
    /// One JSON object a line.
    Lines,
}

/// One event.
#[derive(Debug)]
pub(super) struct Told<T> {
    /// What resumes after it.
    pub id: String,
    /// The `event:` of server-sent events.
    pub event: String,
    /// A JSON object.
    pub body: T,
}

/// Whose stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// People and their programs. What they are told names its own place, so a line is the event and nothing else.
    Anyone,
    /// Other parts of the product, which stay connected as server-sent events. Lines have `id` as a further field.
    Product,
}

impl Form {
    /// What `Accept` prefers; server-sent events where it does not say (RFC 9110, section 12.5.1).
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let (mut lines, mut server_sent) = (0.0, 0.0);
        for (range, weight) in texts.flat_map(|text| text.split(',')).map(weighed) {
            if range.eq_ignore_ascii_case(NDJSON) {
                lines = weight;
            } else if range.eq_ignore_ascii_case(SERVER_SENT) {
                server_sent = weight;
            }
        }
        if lines > server_sent { Self::Lines } else { Self::ServerSent }
    }
}

/// A media range of `Accept` and its weight, 0 where that cannot be read.
fn weighed(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (kind, weight.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
}

/// What `Last-Event-ID` says.
///
/// # Errors
/// When it is longer than any id.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    match headers.get("last-event-id").and_then(|value| value.to_str().ok()) {
        Some(id) if id.len() > MAX_ID => {
            Err(ApiError::invalid(format!("Last-Event-ID is longer than {MAX_ID} characters")))
        }
        id => Ok(id.map(str::to_owned)),
    }
}

/// The answer that tells `events` in this form.
pub(super) fn answer<T: Serialize + Send + 'static>(
    form: Form,
    readers: Readers,
    events: impl Stream<Item = Told<T>> + Send + 'static,
) -> Response {
    let stays = form == Form::ServerSent && readers == Readers::Product;
    let pieces = pieces(events, HEARTBEAT, (!stays).then_some(IDLE));
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    match form {
        Form::ServerSent => {
            let events = pieces.filter_map(|piece| ready(server_sent(piece).map(Ok::<_, Infallible>)));
            (headers, Sse::new(events)).into_response()
        }
        Form::Lines => {
            let numbered = readers == Readers::Product;
            let lines = pieces.filter_map(move |piece| ready(line(piece, numbered).map(Ok::<_, Infallible>)));
            (headers, [(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
        }
    }
}

/// What is sent at a time.
#[derive(Debug)]
enum Piece<T> {
    Told(Told<T>),
    /// Nothing has happened, and the stream lives.
    Heartbeat,
    /// The stream ends before what it tells of has come to its end.
    ComeAgain,
}

/// The events, with a sign of life after each `heartbeat` of silence. After `idle` without an event the stream ends; a heartbeat
/// is none.
fn pieces<T: Send + 'static>(
    events: impl Stream<Item = Told<T>> + Send + 'static,
    heartbeat: Duration,
    idle: Option<Duration>,
) -> impl Stream<Item = Piece<T>> + Send + 'static {
    async_stream::stream! {
        let mut events = std::pin::pin!(events);
        let (mut told, mut spoke) = (Instant::now(), Instant::now());
        loop {
            let end = idle.map(|idle| told + idle);
            let until = end.map_or(spoke + heartbeat, |end| end.min(spoke + heartbeat));
            match tokio::time::timeout_at(until, events.next()).await {
                Ok(Some(event)) => {
                    yield Piece::Told(event);
                    // A slow reader is not a silent stream.
                    told = Instant::now();
                }
                Ok(None) => return,
                Err(_) if end.is_some_and(|end| end <= Instant::now()) => {
                    yield Piece::ComeAgain;
                    return;
                }
                Err(_) => yield Piece::Heartbeat,
            }
            spoke = Instant::now();
        }
    }
}

fn server_sent<T: Serialize>(piece: Piece<T>) -> Option<Event> {
    match piece {
        Piece::Told(Told { id, event, body }) => Event::default().event(event).id(id).json_data(body).ok(),
        Piece::Heartbeat => Some(Event::default().comment("")),
        Piece::ComeAgain => Some(Event::default().retry(COME_AGAIN)),
    }
}

/// A line; an empty one shows that the stream lives.
fn line<T: Serialize>(piece: Piece<T>, numbered: bool) -> Option<Bytes> {
    let mut line = match piece {
        Piece::Told(Told { id, body, .. }) if numbered => serde_json::to_vec(&Numbered { id, body }).ok()?,
        Piece::Told(Told { body, .. }) => serde_json::to_vec(&body).ok()?,
        Piece::Heartbeat => Vec::new(),
        Piece::ComeAgain => format!("{{\"retry\":{}}}", COME_AGAIN.as_millis()).into_bytes(),
    };
    line.push(b'\n');
    Some(line.into())
}

/// An event that does not name its place itself.
#[derive(Serialize)]
struct Numbered<T> {
    id: String,
    #[serde(flatten)]
    body: T,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stella_api::admission::AdmissionUpdate;

    use super::*;

    fn preferred(accept: &[&'static str]) -> Form {
        let accepted = accept.iter().map(|&text| (header::ACCEPT, HeaderValue::from_static(text)));
        Form::preferred(&accepted.collect())
    }

    #[test]
    fn lines_are_for_those_who_prefer_them() {
        for accept in [
            &["application/x-ndjson"][..],
            &["Application/X-NDJSON; charset=utf-8"],
            &["text/event-stream;q=0.5, application/x-ndjson;q=0.9"],
            &["text/event-stream;q=0", "application/x-ndjson; q=0.1"],
            &["application/x-ndjson, */*"],
        ] {
            assert_eq!(preferred(accept), Form::Lines, "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["text/event-stream"],
            &["application/x-ndjson;q=0"],
            &["application/x-ndjson, text/event-stream"],
            &["application/x-ndjson;q=much"],
            &["application/json"],
        ] {
            assert_eq!(preferred(accept), Form::ServerSent, "{accept:?}");
        }
    }

    #[test]
    fn a_line_says_where_it_stands() {
        let told = |body| Piece::Told(Told { id: "7".into(), event: "x".into(), body });
        let text = |line: Option<Bytes>| String::from_utf8(line.unwrap().to_vec()).unwrap();
        assert_eq!(text(line(told(json!({"sequence": 7})), false)), "{\"sequence\":7}\n");
        let gone = AdmissionUpdate::NamespaceGone { namespace: "shop".into() };
        let piece = Piece::Told(Told { id: "1-2".into(), event: "namespacegone".into(), body: gone });
        let expected = "{\"id\":\"1-2\",\"type\":\"namespacegone\",\"body\":{\"namespace\":\"shop\"}}\n";
        assert_eq!(text(line(piece, true)), expected);
        let begin = Piece::Told(Told { id: "1-0".into(), event: "begin".into(), body: AdmissionUpdate::Begin });
        assert_eq!(text(line(begin, true)), "{\"id\":\"1-0\",\"type\":\"begin\"}\n");
        assert_eq!(text(line(Piece::<AdmissionUpdate>::Heartbeat, true)), "\n");
        assert_eq!(text(line(Piece::<AdmissionUpdate>::ComeAgain, true)), "{\"retry\":1000}\n");
    }

    #[tokio::test]
    async fn a_silent_stream_shows_that_it_lives_and_ends() {
        let one = futures::stream::iter([Told { id: "1".into(), event: "x".into(), body: () }]);
        let (heartbeat, idle) = (Duration::from_millis(100), Duration::from_secs(1));
        let pieces: Vec<_> = pieces(one.chain(futures::stream::pending()), heartbeat, Some(idle)).collect().await;
        assert!(matches!(pieces.first(), Some(Piece::Told(_))), "{pieces:?}");
        assert!(matches!(pieces.last(), Some(Piece::ComeAgain)), "{pieces:?}");
        let between = &pieces[1..pieces.len() - 1];
        assert!((1..10).contains(&between.len()), "{pieces:?}");
        assert!(between.iter().all(|piece| matches!(piece, Piece::Heartbeat)), "a heartbeat is no event: {pieces:?}");
    }

    #[tokio::test]
    async fn a_stream_that_stays_is_never_told_to_come_again() {
        let pieces = pieces(futures::stream::pending::<Told<()>>(), Duration::from_millis(5), None);
        let pieces: Vec<_> = pieces.take(20).collect().await;
        assert!(pieces.iter().all(|piece| matches!(piece, Piece::Heartbeat)), "{pieces:?}");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_events() {
        let none = futures::stream::empty::<Told<()>>();
        assert_eq!(pieces(none, HEARTBEAT, Some(IDLE)).count().await, 0);
    }
}
