//! What of one file may be listed and unpacked, with all that lie in it.

use std::io::Read;

use crate::limits::Limits;

/// What may still be read of an archive and of all that lie in it.
#[derive(Debug)]
pub(super) struct Allowance {
    entries: usize,
    bytes: u64,
    limits: Limits,
}

/// Why something cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("it claims {size} bytes, more than the limit of {max}")]
    TooLarge { size: u64, max: u64 },
    #[error("more than {max} bytes would have to be unpacked")]
    Total { max: u64 },
    #[error("it cannot be unpacked: {reason}")]
    Damaged { reason: String },
    #[error("it is not the {size} bytes long it claims")]
    Size { size: u64 },
}

impl Allowance {
    /// All that the limits allow.
    pub(super) fn within(limits: &Limits) -> Self {
        Self { entries: limits.max_archive_entries, bytes: limits.max_archive_bytes, limits: *limits }
    }

    /// The limits that it began with.
    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes an entry off.
    ///
    /// # Errors
    /// How many there may be, when there are more.
    pub(super) fn entry(&mut self) -> Result<(), usize> {
        self.entries = self.entries.checked_sub(1).ok_or(self.limits.max_archive_entries)?;
        Ok(())
    }

    /// Takes off the `size` bytes that something claims to unpack to, and reads them; of one that may have `max` bytes. Nothing
    /// is allocated for a size that is merely claimed.
    ///
    /// # Errors
    /// When it is too large by itself or with those before, cannot be unpacked, or unpacks to another size.
    pub(super) fn read(&mut self, unpacked: impl Read, size: u64, max: u64) -> Result<Vec<u8>, UnpackError> {
        if size > max {
            return Err(UnpackError::TooLarge { size, max });
        }
        let total = UnpackError::Total { max: self.limits.max_archive_bytes };
        self.bytes = self.bytes.checked_sub(size).ok_or(total)?;
        let mut content = Vec::new();
        // One byte more than claimed is enough to see a lie.
        let read = unpacked.take(size + 1).read_to_end(&mut content);
        read.map_err(|error| UnpackError::Damaged { reason: error.to_string() })?;
        if content.len() as u64 == size { Ok(content) } else { Err(UnpackError::Size { size }) }
    }
}
