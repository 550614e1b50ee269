//! Streams of events (http.md, "Streams").

use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::call::Call;
use super::sse::{SseEvent, SseParser};
use super::{Client, ClientError};

/// No event of the server comes near this, in bytes.
pub const LARGEST_EVENT: usize = 1024 * 1024;
/// With which a stream resumes (HTML Living Standard, section 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// A stream that is open.
#[derive(Debug)]
pub struct EventStream {
    call: String,
    /// Without name and password.
    server: String,
    answer: Response,
    parser: SseParser,
    idle: Duration,
    silent_at: Instant,
}

impl EventStream {
    /// What came next, perhaps no whole event but a heartbeat; `None` when the server closed the stream. Nothing is lost when this
    /// is dropped before it is done.
    ///
    /// # Errors
    /// The connection broke or was silent for too long, or what came is no stream of events; it cannot be read on.
    pub async fn more(&mut self) -> Result<Option<Vec<SseEvent>>, ClientError> {
        let Ok(piece) = timeout_at(self.silent_at, self.answer.chunk()).await else {
            return Err(ClientError::Silent { call: self.call.clone(), idle: self.idle });
        };
        let piece = piece.map_err(|source| super::unreachable(self.server.clone(), self.call.clone(), source))?;
        let Some(piece) = piece else { return Ok(None) };
        self.silent_at = Instant::now() + self.idle;
        let events = self.parser.push(&piece);
        events.map(Some).map_err(|source| ClientError::Events { call: self.call.clone(), source })
    }

    /// What the server last asked to wait before connecting again (`retry:`).
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.parser.retry_millis.map(Duration::from_millis)
    }
}

impl Client {
    /// Opens the stream of `call`, after the event `last_id` if there is one. It ends with an error when nothing comes for `idle`.
    pub(super) async fn stream(
        &self,
        call: Call,
        last_id: Option<&str>,
        idle: Duration,
    ) -> Result<EventStream, ClientError> {
        let mut call = call.without_end().header("accept", "text/event-stream");
        if let Some(id) = last_id {
            call = call.header(LAST_EVENT_ID, id);
        }
        let silent_at = Instant::now() + idle;
        let opened = async {
            let answer = self.attempt(&call).await?;
            if answer.status().is_success() { Ok(answer) } else { Err(self.refused(&call, answer).await) }
        };
        let Ok(answer) = timeout_at(silent_at, opened).await else {
            return Err(ClientError::Silent { call: call.name(), idle });
        };
        Ok(EventStream {
            call: call.name(),
            server: self.origin(),
            answer: answer?,
            parser: SseParser::new(LARGEST_EVENT),
            idle,
            silent_at: Instant::now() + idle,
        })
    }
}
