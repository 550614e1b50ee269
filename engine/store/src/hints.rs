//! Hints to other processes that scans have moved. Only hints: whoever misses one finds out when it looks.
//!
//! They are given when the transaction that moved a scan is committed. Given inside of it they would be its bottleneck: PostgreSQL
//! lets transactions with a notification commit only one after the other, each with a sync of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::postgres::PgListener;

use crate::{Store, StoreError};

/// Where the hints are given.
const CHANNEL: &str = "stella_scans";

/// Hints that are given one by one; of more at a time one hint says that any scan may have moved.
const MOST: usize = 32;

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

/// Hints that are still to be given.
#[derive(Debug, Default)]
pub(crate) struct Ungiven(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    scans: Vec<String>,
    /// Whether a task gives them.
    giving: bool,
}

impl Ungiven {
    /// Adds one, and tells whether somebody has to begin giving them.
    fn add(&self, scan: &str) -> bool {
        let mut pending = self.pending();
        pending.scans.push(scan.to_owned());
        !std::mem::replace(&mut pending.giving, true)
    }

    /// What is to be given now. When that is nothing, nobody gives any more.
    fn take(&self) -> Vec<String> {
        let mut pending = self.pending();
        pending.giving = !pending.scans.is_empty();
        std::mem::take(&mut pending.scans)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Tells the others in a moment that the scan with this id has moved, which is committed.
    pub(crate) fn hint(&self, scan: &str) {
        if self.is_shared() && self.ungiven().add(scan) {
            let store = self.clone();
            tokio::spawn(async move { store.give_hints().await });
        }
    }

    async fn give_hints(&self) {
        loop {
            let scans = self.ungiven().take();
            if scans.is_empty() {
                return;
            }
            let payloads = if scans.len() > MOST { vec![String::new()] } else { scans };
            let mut sql = self.sql("SELECT ");
            for (number, payload) in payloads.into_iter().enumerate() {
                sql.push(if number == 0 { "pg_notify(" } else { ", pg_notify(" });
                sql.push_bind(CHANNEL).push(", ").push_bind(payload).push(")");
            }
            // Those that are lost while the database does not answer are found out about.
            let _ = sql.build().execute(self.writer()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gives_hints_at_a_time_and_none_is_left_behind() {
        let ungiven = Ungiven::default();
        assert!(ungiven.add("a"));
        assert!(!ungiven.add("b"), "somebody has begun");
        assert_eq!(ungiven.take(), ["a", "b"]);
        assert!(!ungiven.add("c"), "whoever gave those comes again");
        assert_eq!(ungiven.take(), ["c"]);
        assert!(ungiven.take().is_empty());
        assert!(ungiven.add("d"), "nobody gives them any more");
    }
}
