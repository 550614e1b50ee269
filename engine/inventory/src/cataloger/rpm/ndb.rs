//! `Packages.db`: rpm's own "ndb" (rpm, `lib/backend/ndb`). Pages of slots, each naming a package and its blocks of
//! 16 bytes; numbers are little-endian.

use std::borrow::Cow;

use super::database::{Blob, Claims, DatabaseError, Place, Take, le_u32};

const FORMAT: &str = "ndb";
const PAGE: usize = 4096;
const SLOT: usize = 16;
const BLOCK: usize = 16;
const FILE_MAGIC: &[u8] = b"RpmP";
const SLOT_MAGIC: &[u8] = b"Slot";
const BLOB_MAGIC: &[u8] = b"BlbS";
const BLOB_END: &[u8] = b"BlbE";
/// Magic, package, generation, length.
const BLOB_HEAD: usize = 16;
/// Checksum, length, magic.
const BLOB_TAIL: usize = 12;

fn error(offset: usize, reason: &'static str) -> DatabaseError {
    DatabaseError { format: FORMAT, place: Place::Offset(offset as u64), reason }
}

/// Hands every header to `take`.
///
/// # Errors
/// [`DatabaseError`] when the file is no such database, or its slots are damaged.
pub(super) fn read<'a>(bytes: &'a [u8], take: &mut Take<'_, 'a>) -> Result<(), DatabaseError> {
    if !bytes.starts_with(FILE_MAGIC) {
        return Err(error(0, "it does not begin like an ndb database"));
    }
    if le_u32(bytes, 4) != Some(0) {
        return Err(error(4, "its version is not 0"));
    }
    let pages = le_u32(bytes, 12).map_or(0, |pages| pages as usize);
    let slots = pages.checked_mul(PAGE).filter(|end| *end >= PAGE).and_then(|end| bytes.get(..end));
    let slots = slots.ok_or(error(12, "it claims more pages of slots than the file has"))?;
    let mut claims = Claims::new(bytes.len());
    // The header takes the place of the first two slots.
    for (index, slot) in slots.as_chunks::<SLOT>().0.iter().enumerate().skip(2) {
        let at = index * SLOT;
        if !slot.starts_with(SLOT_MAGIC) {
            return Err(error(at, "there is no slot"));
        }
        let field = |at| le_u32(slot, at).unwrap_or(0);
        let (package, block, blocks) = (field(4), field(8), field(12));
        if package == 0 || block == 0 {
            continue;
        }
        let blob = blob(bytes, package, block as usize, blocks as usize, at);
        let length = blob.as_ref().map_or(0, |blob| blob.bytes.len());
        claims.bytes(length).ok_or(error(at, "slots name more bytes than the file has"))?;
        take(blob);
    }
    Ok(())
}

fn blob(bytes: &[u8], package: u32, block: usize, blocks: usize, slot: usize) -> Result<Blob<'_>, DatabaseError> {
    let outside = error(slot, "the slot leads out of the file");
    let start = block.checked_mul(BLOCK).ok_or(outside.clone())?;
    let held = blocks.checked_mul(BLOCK).and_then(|length| bytes.get(start..)?.get(..length)).ok_or(outside)?;
    let damaged = |reason| error(start, reason);
    if !held.starts_with(BLOB_MAGIC) || le_u32(held, 4) != Some(package) {
        return Err(damaged("there is not the package that the slot names"));
    }
    let length = le_u32(held, 12).map_or(usize::MAX, |length| length as usize);
    let body = held.get(BLOB_HEAD..).and_then(|rest| rest.get(..length));
    let tail = held.len().checked_sub(BLOB_TAIL).filter(|tail| length <= tail.saturating_sub(BLOB_HEAD));
    let (Some(body), Some(tail)) = (body, tail) else {
        return Err(damaged("the package claims more bytes than its slot has"));
    };
    if le_u32(held, tail + 4) != Some(length as u32) || !held.ends_with(BLOB_END) {
        return Err(damaged("the package does not end where it says"));
    }
    Ok(Blob { place: Place::Offset(start as u64), bytes: Cow::Borrowed(body) })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A database of one page of slots.
    pub(in super::super) fn database(packages: &[&[u8]]) -> Vec<u8> {
        let mut slots = Vec::new();
        let mut blobs = Vec::new();
        slots.extend_from_slice(FILE_MAGIC);
        [0u32, 1, 1, 9, 0, 0, 0].iter().for_each(|field| slots.extend(field.to_le_bytes()));
        for (index, body) in packages.iter().enumerate() {
            let number = index as u32 + 1;
            let blocks = (BLOB_HEAD + body.len() + BLOB_TAIL).div_ceil(BLOCK);
            let block = (PAGE + blobs.len()) / BLOCK;
            slots.extend_from_slice(SLOT_MAGIC);
            [number, block as u32, blocks as u32].iter().for_each(|field| slots.extend(field.to_le_bytes()));
            let start = blobs.len();
            blobs.extend_from_slice(BLOB_MAGIC);
            [number, 1, body.len() as u32].iter().for_each(|field| blobs.extend(field.to_le_bytes()));
            blobs.extend_from_slice(body);
            blobs.resize(start + blocks * BLOCK - BLOB_TAIL, 0);
            [0, body.len() as u32].iter().for_each(|field| blobs.extend(field.to_le_bytes()));
            blobs.extend_from_slice(BLOB_END);
        }
        while slots.len() < PAGE {
            slots.extend_from_slice(SLOT_MAGIC);
            slots.extend([0; 12]);
        }
        [slots, blobs].concat()
    }

    type Outcome<T> = Result<T, String>;

    fn bodies(bytes: &[u8]) -> (Vec<Outcome<Vec<u8>>>, Outcome<()>) {
        let mut found = Vec::new();
        let read = read(bytes, &mut |blob| {
            found.push(blob.map(|blob| blob.bytes.into_owned()).map_err(|error| error.to_string()));
        });
        (found, read.map_err(|error| error.to_string()))
    }

    #[test]
    fn bodies_come_out_and_empty_slots_do_not() {
        let (found, read) = bodies(&database(&[b"one", &[7; 100], b""]));
        read.unwrap();
        assert_eq!(found, [Ok(b"one".to_vec()), Ok(vec![7; 100]), Ok(Vec::new())]);
    }

    #[test]
    fn damage_is_named_by_offset() {
        let sound = database(&[b"one", b"two"]);
        let with = |at: usize, value: u32| {
            let mut damaged = sound.clone();
            damaged[at..at + 4].copy_from_slice(&value.to_le_bytes());
            bodies(&damaged)
        };
        assert_eq!(bodies(b"RpmX").1.unwrap_err(), "ndb database, offset 0: it does not begin like an ndb database");
        assert!(with(4, 7).1.unwrap_err().contains("offset 4: its version"));
        for pages in [0, 2, u32::MAX] {
            assert!(with(12, pages).1.unwrap_err().contains("offset 12: it claims more pages"));
        }
        assert_eq!(with(48, 0).1.unwrap_err(), "ndb database, offset 48: there is no slot");
        for (at, value, reason) in [
            (40, u32::MAX, "offset 32: the slot leads out of the file"),
            (44, u32::MAX, "offset 32: the slot leads out of the file"),
            (36, 5, "offset 4096: there is not the package"),
            (4096 + 12, u32::MAX, "offset 4096: the package claims more bytes"),
            (4096 + 12, 2, "offset 4096: the package does not end where"),
        ] {
            let (found, read) = with(at, value);
            read.unwrap();
            let error = found[0].as_ref().unwrap_err();
            assert!(error.contains(reason), "{error}");
            assert_eq!(found[1], Ok(b"two".to_vec()), "the other one is read");
        }
    }

    #[test]
    fn slots_that_share_their_blocks_do_not_multiply_them() {
        let mut shared = database(&[&[7; 1000]]);
        let slot = shared[32..48].to_vec();
        for at in (48..PAGE).step_by(SLOT) {
            shared[at..at + SLOT].copy_from_slice(&slot);
        }
        let (found, read) = bodies(&shared);
        assert!(read.unwrap_err().contains("more bytes than the file has"));
        assert!(found.len() < 10);
    }
}
