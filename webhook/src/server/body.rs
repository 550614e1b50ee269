//! Bodies of reviews: bounded in size and time, and the large ones together in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::problem;

/// What a request of 3 MiB, the most an API server takes, and an object of 1.5 MiB, the most etcd does, can come to in the JSON
/// of a review, in which one byte may take six.
pub const LARGEST_BODY: usize = 32 * 1024 * 1024;
/// Up to here a body is read without asking for room.
const SMALL: usize = 256 * 1024;
/// Room for all larger bodies together.
const ROOM: usize = 2 * LARGEST_BODY;
const KIB: usize = 1024;
/// The API server gives up after 30 s at most.
const TIME: Duration = Duration::from_secs(10);

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
        if announced.is_some_and(|length| length > LARGEST_BODY) {
            return Err(BodyRefused::TooLarge);
        }
        let most = announced.unwrap_or(LARGEST_BODY);
        let room = if most > SMALL { self.take(most).await } else { None };
        let mut bytes = Vec::with_capacity(most.min(SMALL));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyRefused::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(BodyRefused::TooLarge);
            }
            bytes.extend_from_slice(&data);
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
}
