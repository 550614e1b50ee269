//! The published verdicts, which every review reads.

use std::sync::{Arc, PoisonError, RwLock};

use stella_domain::Timestamp;

use super::bundle::Bundled;
use super::view::View;

/// Verdicts with what is known of their age.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// The verdicts.
    pub view: View,
    /// When the server was last heard, which vouches for all of them; `None` before the first snapshot.
    pub heard_at: Option<Timestamp>,
    /// Where the stream resumes (`Last-Event-ID`).
    pub cursor: Option<String>,
    /// Grows with each change of the verdicts themselves.
    pub content: u64,
}

/// Swaps verdicts whole. Readers take the current ones and keep them for as long as they decide; the lock is held for
/// as long as it takes to copy one pointer.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    held: Arc<RwLock<Arc<Held>>>,
    bundle: Arc<RwLock<Option<Arc<Bundled>>>>,
}

impl Cache {
    /// A cache that holds `held`.
    #[must_use]
    pub fn new(held: Held) -> Self {
        Self { held: Arc::new(RwLock::new(Arc::new(held))), bundle: Arc::default() }
    }

    /// What is held now.
    #[must_use]
    pub fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Holds something else from now on.
    pub fn publish(&self, held: Held) {
        let held = Arc::new(held);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Moves the time at which the server was last heard back, as the clock was.
    pub fn set_back(&self, seconds: i64) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let heard_at = held.heard_at.map(|at| at.plus_seconds(-seconds));
        *held = Arc::new(Held { heard_at, ..Held::clone(&held) });
    }

    /// The signed bundle that is judged by while nobody vouches for what is held.
    #[must_use]
    pub fn bundle(&self) -> Option<Arc<Bundled>> {
        self.bundle.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes another bundle in use.
    pub fn set_bundle(&self, bundle: Bundled) {
        *self.bundle.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(bundle));
    }
}
