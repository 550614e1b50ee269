//! Digests of long streams, worked out on another core: inflating and hashing take turns on one, and neither waits for the other
//! on two.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use stella_domain::{Digest, Hasher};

/// Bytes after which another core is worth asking.
const LONG: u64 = 1024 * 1024;
/// Pieces that wait to be hashed.
const WAITING: usize = 4;

/// A digest in the making.
pub(crate) enum Hashing {
    /// In this thread; with the count of bytes it may have before it goes to another one.
    Here(Hasher, u64),
    /// In a thread of its own.
    Aside(Aside),
}

impl Hashing {
    /// One that stays in this thread.
    pub(crate) const fn here(hasher: Hasher) -> Self {
        Self::Here(hasher, u64::MAX)
    }

    /// One that goes to another thread when it gets long and there is a core for it.
    pub(crate) const fn aside(hasher: Hasher) -> Self {
        Self::Here(hasher, LONG)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Here(hasher, left) => {
                hasher.update(bytes);
                *left = left.saturating_sub(bytes.len() as u64);
                if *left == 0 {
                    // Asked once, and only of streams that are long.
                    *left = u64::MAX;
                    if has_cores()
                        && let Ok(aside) = Aside::start(hasher.clone())
                    {
                        *self = Self::Aside(aside);
                    }
                }
            }
            Self::Aside(aside) => aside.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> io::Result<Digest> {
        match self {
            Self::Here(hasher, _) => Ok(hasher.finish()),
            Self::Aside(aside) => aside.finish(),
        }
    }
}

fn has_cores() -> bool {
    thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// A thread that hashes what it is sent. It ends when this is dropped.
pub(crate) struct Aside {
    pieces: SyncSender<Vec<u8>>,
    /// Buffers that were hashed, to be filled again.
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Digest>,
}

impl Aside {
    fn start(mut hasher: Hasher) -> io::Result<Self> {
        let (pieces, hashed) = sync_channel::<Vec<u8>>(WAITING);
        let (back, empty) = channel();
        let thread = thread::Builder::new().name("layer digest".to_owned()).spawn(move || {
            for piece in hashed {
                hasher.update(&piece);
                // Nobody takes it back any more when the stream has ended.
                let _ = back.send(piece);
            }
            hasher.finish()
        })?;
        Ok(Self { pieces, empty, thread })
    }

    fn update(&mut self, bytes: &[u8]) {
        let mut piece = self.empty.try_recv().unwrap_or_default();
        piece.clear();
        piece.extend_from_slice(bytes);
        // A thread that is gone is told by its end.
        let _ = self.pieces.send(piece);
    }

    fn finish(self) -> io::Result<Digest> {
        drop(self.pieces);
        self.thread.join().map_err(|_| io::Error::other("the digest could not be worked out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_same_in_either_thread() {
        let bytes: Vec<u8> = (0..5_000_000u32).map(|number| (number % 251) as u8).collect();
        for length in [0, 1, LONG as usize - 1, LONG as usize, LONG as usize + 1, bytes.len()] {
            let mut hashing = Hashing::aside(Hasher::new());
            bytes[..length].chunks(70_001).for_each(|piece| hashing.update(piece));
            assert_eq!(matches!(hashing, Hashing::Aside(_)), length >= LONG as usize && has_cores());
            assert_eq!(hashing.finish().unwrap(), Digest::of(&bytes[..length]));
        }
    }
}
