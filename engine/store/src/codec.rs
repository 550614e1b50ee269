//! Values to columns and back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use stella_domain::Digest;

use sqlx::Row as _;

use crate::StoreError;
use crate::database::Row;

/// The most a compressed document may unfold to, in bytes.
const MOST: usize = 1 << 30;

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
    zstd::bulk::compress(&json, 3).map_err(|e| damaged(what, e))
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
