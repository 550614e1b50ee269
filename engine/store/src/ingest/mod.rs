//! Taking in what nodes observed: a batch is folded first, and then each row is written once.

mod fold;
mod postgres;
mod sqlite;

use std::sync::Arc;

use crate::{ObservedEvent, Store, StoreError};

pub(crate) use sqlite::Intake;

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Events that were new.
    pub accepted: usize,
    /// Events that were known.
    pub duplicates: usize,
}

impl Store {
    /// Keeps a batch, all of it or nothing. When this returns, it is on disk.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn ingest(&self, events: impl Into<Arc<[ObservedEvent]>>) -> Result<Ingested, StoreError> {
        let events = events.into();
        match self.intake() {
            Some(intake) => intake.take(self.writer(), events).await,
            None => self.ingest_by_server(&events).await,
        }
    }
}
