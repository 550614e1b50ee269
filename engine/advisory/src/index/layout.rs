//! What writer and reader of an index agree on.

use serde::{Deserialize, Serialize};

use crate::feed::FeedInfo;

pub(super) const MAGIC: &[u8; 8] = b"STLAIDX5";
pub(super) const SECTIONS: usize = 5;
/// Magic, digest and length of the head.
pub(super) const FIXED: usize = 8 + 32 + 8;
/// Hash, place and sum.
pub(super) const SLOT: usize = 8 + 8 + 16;

/// The part of the head that is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) feeds: Vec<FeedInfo>,
    /// Names of the feeds that entries refer to by number.
    pub(super) sources: Vec<String>,
    pub(super) groups: u32,
    pub(super) keys: u32,
    /// Buckets are chosen by this many leading bits of the hash.
    pub(super) bucket_bits: u8,
    pub(super) sections: [u64; SECTIONS],
}

/// The hash of a package key (FNV-1a, its bits mixed so that the leading ones spread).
pub(super) fn hash(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// The bucket of a hash.
pub(super) fn bucket(hash: u64, bits: u8) -> usize {
    hash.checked_shr(64 - u32::from(bits)).unwrap_or(0) as usize
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Writes a number in as few bytes as it needs, seven bits each.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes bytes with their length before them.
pub(super) fn write_field(out: &mut Vec<u8>, field: &[u8]) {
    write_number(out, field.len() as u64);
    out.extend_from_slice(field);
}

/// Reads from the front of bytes that anybody may have written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    #[inline]
    pub(super) fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    pub(super) fn field(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }
}
