//! The uncompressed bytes that the layers of one image may have together.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::Limits;

/// What is left of [`Limits::max_total_bytes`]; shared by the layers of one image.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
    total: u64,
}

impl Budget {
    /// A fresh budget.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { left: AtomicU64::new(limits.max_total_bytes), total: limits.max_total_bytes }
    }

    /// Takes `count` bytes from it.
    pub(crate) fn take(&self, count: u64) -> Result<(), Exceeded> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count))
            .map(drop)
            .map_err(|_| Exceeded { what: "uncompressed bytes in all layers", max: self.total })
    }
}

/// A limit on the stream itself was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exceeds the limit of {max} {what}")]
pub(crate) struct Exceeded {
    pub(crate) what: &'static str,
    pub(crate) max: u64,
}

impl From<Exceeded> for std::io::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::other(exceeded)
    }
}
