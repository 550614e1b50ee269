//! Files that are read whole, at the same time by the readers of one image's layers.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::limits::Limits;

/// What is left of [`Limits::HELD_BYTES`].
#[derive(Debug, Clone)]
pub(crate) struct Held(Arc<State>);

#[derive(Debug)]
struct State {
    left: Mutex<u64>,
    freed: Condvar,
}

impl Held {
    pub(super) fn new() -> Self {
        Self(Arc::new(State { left: Mutex::new(Limits::HELD_BYTES), freed: Condvar::new() }))
    }

    /// Waits until so many bytes more may be held, and counts them until the result is dropped. Who needs more than there are
    /// at all waits to be alone. Nobody who holds some may ask for more.
    pub(crate) fn hold(&self, bytes: u64) -> Holding {
        let bytes = bytes.min(Limits::HELD_BYTES);
        let left = self.0.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = self.0.freed.wait_while(left, |left| *left < bytes).unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
        Holding { held: self.clone(), bytes }
    }
}

/// Bytes that count as held.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Held,
    bytes: u64,
}

impl Drop for Holding {
    fn drop(&mut self) {
        *self.held.0.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.held.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn together_they_never_hold_more() {
        let (held, now, most) = (Held::new(), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let (held, now, most) = (held.clone(), &now, &most);
                scope.spawn(move || {
                    for turn in 0..50u64 {
                        let bytes = Limits::HELD_BYTES / 7 * (1 + (thread * turn) % 5);
                        let holding = held.hold(bytes);
                        most.fetch_max(now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(bytes, Ordering::SeqCst);
                        drop(holding);
                    }
                });
            }
        });
        assert!(most.into_inner() <= Limits::HELD_BYTES);
        drop(held.hold(u64::MAX));
        assert_eq!(*held.0.left.lock().unwrap(), Limits::HELD_BYTES, "all of it is free again");
    }
}
