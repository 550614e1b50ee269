//! How fast a body has to come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use hyper::body::{Body as _, Buf, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// A floor for what a client sends: `bytes`, or the end, in each time of `within`. Only while somebody waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes at least.
    pub bytes: usize,
    /// In this time.
    pub within: Duration,
}

/// A body came too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body comes too slowly: {} bytes were not there within {} s", .0.bytes, .0.within.as_secs())]
pub struct TooSlow(Pace);

impl Pace {
    /// `body`, which fails with [`TooSlow`] when it comes more slowly than this.
    pub fn of(self, body: Incoming) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Paced { body, pace: self, came: 0, waited: Duration::ZERO, waiting: None })
    }
}

struct Paced {
    body: Incoming,
    pace: Pace,
    /// Bytes since the time began that runs.
    came: usize,
    /// How much of that time was waited for them.
    waited: Duration,
    /// Since when more is waited for, and the end of the time.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl hyper::body::Body for Paced {
    type Data = axum::body::Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some((since, _)) = this.waiting.take() {
                    this.waited += since.elapsed();
                }
                if let Some(Ok(frame)) = &frame {
                    this.came += frame.data_ref().map_or(0, Buf::remaining);
                }
                if this.came >= this.pace.bytes {
                    (this.came, this.waited) = (0, Duration::ZERO);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let left = this.pace.within.saturating_sub(this.waited);
                let wait = || (Instant::now(), Box::pin(tokio::time::sleep(left)));
                let (_, over) = this.waiting.get_or_insert_with(wait);
                std::task::ready!(over.as_mut().poll(cx));
                Poll::Ready(Some(Err(TooSlow(this.pace).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
