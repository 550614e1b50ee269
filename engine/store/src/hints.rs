//! Hints from other processes that scans have moved. Only hints: whoever misses one finds out when it looks.

use sqlx::postgres::PgListener;

use crate::database::Connection;
use crate::{Store, StoreError};

/// Where the hints are given.
pub(crate) const CHANNEL: &str = "stella_scans";

/// The hints of a PostgreSQL database, over a connection of their own.
#[derive(Debug)]
pub struct Hints(PgListener);

impl Hints {
    /// Waits for the next one, and gives the id of the scan that moved; `None` when it may have been any. A connection that broke
    /// is made anew; that counts as a hint, for some may have been missed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let hint = self.0.try_recv().await?;
        Ok(hint.map(|hint| hint.payload().to_owned()).filter(|scan| !scan.is_empty()))
    }
}

impl Store {
    /// Hints from now on; `None` on SQLite, which one process uses.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hints(&self) -> Result<Option<Hints>, StoreError> {
        let Some(url) = self.shared_url() else { return Ok(None) };
        let mut listener = PgListener::connect(url).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Hints(listener)))
    }

    /// Tells the others, when `tx` is committed, that the scan with this id has moved.
    pub(crate) async fn hint(&self, tx: &mut Connection, scan: &str) -> Result<(), StoreError> {
        if self.is_shared() {
            sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(scan).execute(tx).await?;
        }
        Ok(())
    }
}
