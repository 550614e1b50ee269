//! Files that are read whole, at the same time by the readers of one image's layers.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::limits::Limits;

/// What is left of [`Limits::HELD_BYTES`] for files as they are, and of [`Limits::max_archive_bytes`] for what is
/// unpacked from them.
///
/// Nobody who holds some of either may ask for more of the same, and nobody who holds what is unpacked for anything: so who
/// holds that goes on and gives it back, and after them those that hold files only.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    files: Arc<Pool>,
    unpacked: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    most: u64,
    left: Mutex<u64>,
    freed: Condvar,
}

impl Held {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { files: Pool::of(Limits::HELD_BYTES), unpacked: Pool::of(limits.max_archive_bytes) }
    }

    /// Waits until so many bytes more of files may be held, and counts them until the result is dropped. Who needs more than
    /// there are at all waits to be alone.
    pub(crate) fn hold(&self, bytes: u64) -> Holding {
        self.files.take(bytes)
    }

    /// The same for what is unpacked from a file that is held.
    pub(crate) fn hold_unpacked(&self, bytes: u64) -> Holding {
        self.unpacked.take(bytes)
    }
}

impl Pool {
    fn of(most: u64) -> Arc<Self> {
        Arc::new(Self { most, left: Mutex::new(most), freed: Condvar::new() })
    }

    fn take(self: &Arc<Self>, bytes: u64) -> Holding {
        let bytes = bytes.min(self.most);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = self.freed.wait_while(left, |left| *left < bytes).unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
        Holding { pool: Arc::clone(self), bytes }
    }
}

/// Bytes that count as held.
#[derive(Debug)]
pub(crate) struct Holding {
    pool: Arc<Pool>,
    bytes: u64,
}

impl Drop for Holding {
    fn drop(&mut self) {
        *self.pool.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.pool.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn together_they_never_hold_more() {
        let (held, now, most) = (Held::new(&Limits::default()), AtomicU64::new(0), AtomicU64::new(0));
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
        assert_eq!(*held.files.left.lock().unwrap(), Limits::HELD_BYTES, "all of it is free again");
    }

    #[test]
    fn files_and_what_is_unpacked_from_them_never_wait_for_each_other() {
        let limits = Limits::default();
        let held = Held::new(&limits);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let held = held.clone();
                scope.spawn(move || {
                    for _ in 0..50 {
                        let _file = held.hold(Limits::HELD_BYTES / 3);
                        let _unpacked = held.hold_unpacked(u64::MAX);
                        std::thread::yield_now();
                    }
                });
            }
        });
        assert_eq!(*held.unpacked.left.lock().unwrap(), limits.max_archive_bytes);
    }
}
