//! The bytes behind an index, checked block by block when they are first touched.

use std::sync::atomic::{AtomicBool, Ordering};

use stella_domain::Digest;

/// Bytes that have one sum.
pub(super) const BLOCK: usize = 16 * 1024;
/// Bytes of a sum: as many of the block's sha256.
pub(super) const SUM: usize = 16;

pub(super) type Sum = [u8; SUM];

/// The sum of some bytes.
pub(super) fn sum(bytes: &[u8]) -> Sum {
    let mut sum = [0; SUM];
    sum.copy_from_slice(&Digest::of(bytes).as_bytes()[..SUM]);
    sum
}

pub(super) enum Bytes {
    Mapped(memmap2::Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    pub(super) fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// The part of a file after its head.
pub(super) struct Blocks {
    bytes: Bytes,
    /// Where the part begins.
    start: usize,
    sums: Vec<Sum>,
    checked: Vec<AtomicBool>,
}

impl Blocks {
    /// `None` when the sums are not those of a part of this length.
    pub(super) fn new(bytes: Bytes, start: usize, sums: &[u8]) -> Option<Self> {
        let length = bytes.get().len().checked_sub(start)?;
        let (sums, rest) = sums.as_chunks::<SUM>();
        if !rest.is_empty() || sums.len() != length.div_ceil(BLOCK) {
            return None;
        }
        let checked = sums.iter().map(|_| AtomicBool::new(false)).collect();
        Some(Self { start, sums: sums.to_vec(), checked, bytes })
    }

    /// Bytes from `from` to `to` of the part; `None` when they lie outside, or a block of theirs differs from its sum.
    pub(super) fn get(&self, from: usize, to: usize) -> Option<&[u8]> {
        let part = &self.bytes.get()[self.start..];
        let wanted = part.get(from..to)?;
        if !wanted.is_empty() {
            for block in from / BLOCK..=(to - 1) / BLOCK {
                self.check(part, block)?;
            }
        }
        Some(wanted)
    }

    /// Whether every block has its sum.
    pub(super) fn verify(&self) -> bool {
        let part = &self.bytes.get()[self.start..];
        (0..self.sums.len()).all(|block| self.check(part, block).is_some())
    }

    fn check(&self, part: &[u8], block: usize) -> Option<()> {
        if self.checked[block].load(Ordering::Relaxed) {
            return Some(());
        }
        let bytes = &part[block * BLOCK..part.len().min((block + 1) * BLOCK)];
        (sum(bytes) == self.sums[block]).then(|| self.checked[block].store(true, Ordering::Relaxed))
    }
}
