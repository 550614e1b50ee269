//! What the layers of one image may have together: uncompressed bytes, and bytes that are kept of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::held::Held;
use crate::limits::Limits;

/// What is left of [`Limits::max_total_bytes`] and of [`Limits::max_inventory_bytes`]; shared by the layers of one image.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
    total: u64,
    kept_left: Arc<AtomicU64>,
    kept: u64,
    held: Held,
}

impl Budget {
    /// A fresh budget.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let (total, kept) = (limits.max_total_bytes, limits.max_inventory_bytes);
        let kept_left = Arc::new(AtomicU64::new(kept));
        Self { left: AtomicU64::new(total), total, kept_left, kept, held: Held::new(limits) }
    }

    /// For a second look at a layer: the same bytes come again, and what is kept of them is kept beside the rest.
    pub(crate) fn for_second_pass(&self) -> Self {
        let (left, kept_left) = (AtomicU64::new(self.total), Arc::clone(&self.kept_left));
        Self { left, total: self.total, kept_left, kept: self.kept, held: self.held.clone() }
    }

    /// What its readers may hold at once of files that are read whole.
    pub(crate) fn held(&self) -> Held {
        self.held.clone()
    }

    /// Takes `count` uncompressed bytes from it.
    pub(crate) fn take(&self, count: u64) -> Result<(), Exceeded> {
        let exceeded = Exceeded { what: "uncompressed bytes in all layers", max: self.total };
        take_from(&self.left, count).ok_or(exceeded)
    }

    /// Takes `count` bytes that are kept from it.
    pub(crate) fn keep(&self, count: u64) -> Result<(), Exceeded> {
        let exceeded = Exceeded { what: KEPT, max: self.kept };
        if count == 0 { Ok(()) } else { take_from(&self.kept_left, count).ok_or(exceeded) }
    }
}

/// What [`Limits::max_inventory_bytes`] bounds.
pub(crate) const KEPT: &str = "bytes of names, packages and lists of files";

fn take_from(left: &AtomicU64, count: u64) -> Option<()> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count)).ok().map(drop)
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
