//! Values to columns and back.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stella_domain::Digest;
use zstd::bulk::Compressor;

use sqlx::Row as _;

use crate::StoreError;
use crate::database::Row;

/// The most a compressed document may unfold to, in bytes.
const MOST: usize = 1 << 30;
/// Level of compression.
const LEVEL: i32 = 1;

thread_local! {
    /// A context has tables of up to a megabyte. It is kept, so that small documents need not wait for memory.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A row, by whichever driver it was read.
pub(crate) trait Columns {
    /// A text that is there.
    fn text(&self, at: usize) -> Result<&str, StoreError>;
    /// A text that may be absent.
    fn optional(&self, at: usize) -> Result<Option<&str>, StoreError>;
    /// A number that is there.
    fn number(&self, at: usize) -> Result<i64, StoreError>;
    /// A number that may be absent.
    fn optional_number(&self, at: usize) -> Result<Option<i64>, StoreError>;
}

impl Columns for Row {
    fn text(&self, at: usize) -> Result<&str, StoreError> {
        Ok(self.try_get(at)?)
    }

    fn optional(&self, at: usize) -> Result<Option<&str>, StoreError> {
        Ok(self.try_get(at)?)
    }

    fn number(&self, at: usize) -> Result<i64, StoreError> {
        Ok(self.try_get(at)?)
    }

    fn optional_number(&self, at: usize) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(at)?)
    }
}

impl Columns for rusqlite::Row<'_> {
    fn text(&self, at: usize) -> Result<&str, StoreError> {
        self.get_ref(at)?.as_str().map_err(|error| damaged("column", error))
    }

    fn optional(&self, at: usize) -> Result<Option<&str>, StoreError> {
        self.get_ref(at)?.as_str_or_null().map_err(|error| damaged("column", error))
    }

    fn number(&self, at: usize) -> Result<i64, StoreError> {
        self.get_ref(at)?.as_i64().map_err(|error| damaged("column", error))
    }

    fn optional_number(&self, at: usize) -> Result<Option<i64>, StoreError> {
        self.get_ref(at)?.as_i64_or_null().map_err(|error| damaged("column", error))
    }
}

pub(crate) fn pack(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(value).map_err(|e| damaged(what, e))?;
    pack_json(what, &json)
}

/// What [`pack`] makes of a value that has this JSON.
pub(crate) fn pack_json(what: &'static str, json: &[u8]) -> Result<Vec<u8>, StoreError> {
    let packed = COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress(json)
    });
    packed.map_err(|e| damaged(what, e))
}

pub(crate) fn unpack<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    let mut decoder = zstd::stream::read::Decoder::new(bytes).map_err(|e| damaged(what, e))?;
    let mut json = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut decoder, MOST as u64), &mut json)
        .map_err(|e| damaged(what, e))?;
    serde_json::from_slice(&json).map_err(|e| damaged(what, e))
}

pub(crate) fn text(what: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| damaged(what, e))
}

pub(crate) fn from_text<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| damaged(what, e))
}

pub(crate) fn digest(what: &'static str, text: &str) -> Result<Digest, StoreError> {
    text.parse().map_err(|e| damaged(what, e))
}

pub(crate) fn damaged(what: &'static str, reason: impl ToString) -> StoreError {
    StoreError::Damaged { what, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_one_after_the_other_reads_back() {
        let long = "component ".repeat(200_000);
        for text in ["", "a", &long, "b", &long[..5000]] {
            let packed = pack("text", &text).unwrap();
            assert_eq!(unpack::<String>("text", &packed).unwrap(), text);
            let again = pack_json("text", serde_json::to_string(text).unwrap().as_bytes()).unwrap();
            assert_eq!(unpack::<String>("text", &again).unwrap(), text);
        }
    }
}
