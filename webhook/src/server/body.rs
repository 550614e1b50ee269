//! Bodies of reviews: bounded in size and time, and the large ones together in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::problem::problem;

/// What a request of 3 MiB, the most an API server takes, and an object of 1.5 MiB, the most etcd does, can come to in the JSON
/// of a review, in which one byte may take six.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024;
/// Up to here a body is read without asking for room.
const SMALL: usize = 256 * 1024;
/// Room for all larger bodies together.
const ROOM: usize = 2 * LARGEST_BODY;
const KIB: usize = 1024;
/// The API server waits for 5 s where the chart registers, and has sent a review by then or never will.
const TIME: Duration = Duration::from_secs(4);
/// For so long a client may send nothing. Room is for who sends: whoever announces and waits must not keep others out.
const PACE: Duration = Duration::from_millis(500);
/// Bytes a second, least, that come beside that.
const SLOWEST: f64 = 8.0 * 1024.0 * 1024.0;

/// Room for bodies in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct BodyRoom {
    room: Arc<Semaphore>,
    patience: Duration,
}

impl Default for BodyRoom {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ROOM / KIB)), patience: TIME }
    }
}

/// A body that was read, with the room it takes.
#[derive(Debug)]
pub(super) struct ReadBody {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyRefused {
    /// Longer than [`LARGEST_BODY`].
    TooLarge,
    /// It took too long, or there was no room for too long.
    Slow,
    /// The connection broke.
    Broken(String),
}

impl BodyRoom {
    /// Reads a body.
    pub(super) async fn read(&self, body: Body) -> Result<ReadBody, BodyRefused> {
        tokio::time::timeout(self.patience, self.read_all(body)).await.unwrap_or(Err(BodyRefused::Slow))
    }

    async fn read_all(&self, mut body: Body) -> Result<ReadBody, BodyRefused> {
        // Without a length it may become as long as any.
        let announced = body.size_hint().upper().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let most = announced.unwrap_or(LARGEST_BODY);
        if most > LARGEST_BODY {
            return Err(BodyRefused::TooLarge);
        }
        let (mut bytes, mut room) = (Vec::with_capacity(most.min(SMALL)), None);
        let mut began = Instant::now();
        while let Some(frame) = tokio::time::timeout(PACE, body.frame()).await.map_err(|_| BodyRefused::Slow)? {
            let frame = frame.map_err(|error| BodyRefused::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(BodyRefused::TooLarge);
            }
            bytes.extend_from_slice(&data);
            if bytes.len() > SMALL && room.is_none() {
                // All of it at once: bodies that each had a part of the room would wait for each other.
                room = self.take(most).await;
                began = Instant::now();
            }
            if began.elapsed() > PACE + Duration::from_secs_f64(bytes.len() as f64 / SLOWEST) {
                return Err(BodyRefused::Slow);
            }
        }
        Ok(ReadBody { bytes, _room: room })
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        // Never closed, and never more than there is.
        Arc::clone(&self.room).acquire_many_owned(permits).await.ok()
    }
}

impl BodyRefused {
    /// The metric label and the answer.
    pub(super) fn into_parts(self) -> (&'static str, Response) {
        match self {
            Self::TooLarge => {
                let detail = format!("a review has at most {LARGEST_BODY} bytes");
                ("too-large", problem(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", &detail))
            }
            Self::Slow => ("invalid", problem(StatusCode::REQUEST_TIMEOUT, "validation", "the body took too long")),
            Self::Broken(reason) => ("invalid", problem(StatusCode::BAD_REQUEST, "validation", &reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use futures::StreamExt as _;
    use std::convert::Infallible;

    fn stream(pieces: usize, size: usize) -> Body {
        let piece = move |_| Ok::<_, Infallible>(Bytes::from(vec![b' '; size]));
        Body::from_stream(futures::stream::iter((0..pieces).map(piece)))
    }

    #[tokio::test]
    async fn bodies_are_bounded_with_and_without_a_length() {
        let room = BodyRoom::default();
        assert_eq!(room.read(Body::from("x")).await.unwrap().bytes, b"x");
        let long = vec![b' '; LARGEST_BODY + 1];
        assert_eq!(room.read(Body::from(long)).await.unwrap_err(), BodyRefused::TooLarge);
        assert_eq!(room.read(stream(33, 1024 * 1024)).await.unwrap_err(), BodyRefused::TooLarge);
        assert_eq!(room.read(stream(2, 1024 * 1024)).await.unwrap().bytes.len(), 2 * 1024 * 1024);
    }

    #[tokio::test]
    async fn large_bodies_wait_for_room_and_small_ones_do_not() {
        let room = BodyRoom { patience: Duration::from_millis(300), ..BodyRoom::default() };
        let first = room.read(Body::from(vec![0; LARGEST_BODY])).await.unwrap();
        let second = room.read(Body::from(vec![0; LARGEST_BODY])).await.unwrap();
        assert_eq!(room.read(Body::from(vec![0; SMALL + 1])).await.unwrap_err(), BodyRefused::Slow);
        assert!(room.read(Body::from(vec![0; SMALL])).await.is_ok());
        drop((first, second));
        assert!(room.read(Body::from(vec![0; LARGEST_BODY])).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_announces_much_and_sends_nothing_keeps_nobody_out() {
        let room = BodyRoom::default();
        let stall = |sent: usize| {
            let start = futures::stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b' '; sent]))]);
            let (room, body) = (room.clone(), Body::from_stream(start.chain(futures::stream::pending())));
            tokio::spawn(async move { room.read(body).await.map(|read| read.bytes.len()) })
        };
        let silent: Vec<_> = (0..20).map(|_| stall(SMALL)).collect();
        tokio::task::yield_now().await;
        let large = || room.read(Body::from(vec![0; LARGEST_BODY]));
        tokio::time::timeout(PACE / 2, large()).await.expect("at once").unwrap();
        // Those that sent enough to have room lose it with their silence.
        let holding: Vec<_> = (0..2).map(|_| stall(SMALL + 1)).collect();
        tokio::task::yield_now().await;
        tokio::time::timeout(2 * PACE, large()).await.expect("soon").unwrap();
        for stalled in silent.into_iter().chain(holding) {
            assert_eq!(stalled.await.unwrap(), Err(BodyRefused::Slow));
        }
    }
}
