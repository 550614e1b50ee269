//! The spool as recorder and sender share it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::spool::{Batch, Dropped, Position, Spool, SpoolError};

/// A spool that tells when something was added.
pub struct Outbox {
    spool: Mutex<Spool>,
    added: Notify,
}

impl Outbox {
    /// Around an open spool.
    #[must_use]
    pub fn new(spool: Spool) -> Self {
        Self { spool: Mutex::new(spool), added: Notify::new() }
    }

    /// Adds a record; returns the old ones that were dropped for it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, record: &[u8]) -> Result<Dropped, SpoolError> {
        let dropped = self.lock().append(record)?;
        self.added.notify_one();
        Ok(dropped)
    }

    /// The oldest records.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn peek(&self, most: usize, bytes: usize) -> Result<Batch, SpoolError> {
        self.lock().peek(most, bytes)
    }

    /// Forgets records that the server has.
    ///
    /// # Errors
    /// When they cannot be forgotten ([`Self::has_passed`]), or the cursor cannot be written.
    pub fn acknowledge(&self, end: Position) -> Result<(), SpoolError> {
        self.lock().acknowledge(end)
    }

    /// Whether the records up to `end` are forgotten.
    #[must_use]
    pub fn has_passed(&self, end: Position) -> bool {
        self.lock().has_passed(end)
    }

    /// Forces what was written to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), SpoolError> {
        self.lock().sync()
    }

    /// Waits until something was added since the last wait.
    pub async fn added(&self) {
        self.added.notified().await;
    }

    /// Records and bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> (u64, u64) {
        let spool = self.lock();
        (spool.len(), spool.bytes())
    }

    /// Whether what is added soon displaces nothing.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lock().has_room()
    }

    /// Every operation leaves the spool usable, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
