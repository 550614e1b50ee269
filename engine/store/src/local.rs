//! Rows of SQLite that are found by their key, read on the thread that asks.
//!
//! Through the driver a statement is a change of threads there and back, which costs many times what such a row does. Only what is small
//! and lies under an index is read so: nobody waits for the disk here longer than for a page or two.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// Connections that are kept for the next one who asks.
const KEPT: usize = 4;
/// Statements that stay prepared on each.
const PREPARED: usize = 32;

/// Connections that read one database file. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Local(Arc<Readers>);

#[derive(Debug)]
struct Readers {
    file: Box<Path>,
    idle: Mutex<Vec<Connection>>,
}

impl Local {
    /// For the database in `file`, which is opened when the first row is asked for.
    pub(crate) fn new(file: &Path) -> Self {
        Self(Arc::new(Readers { file: file.into(), idle: Mutex::default() }))
    }

    /// What `read` reads. A connection that failed is not used again.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = || self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = kept().pop();
        let connection = idle.map_or_else(|| self.open(), Ok)?;
        let found = read(&connection)?;
        let mut kept = kept();
        if kept.len() < KEPT {
            kept.push(connection);
        }
        Ok(found)
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0.file, flags)?;
        connection.execute_batch("PRAGMA cache_size = -1024")?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[tokio::test]
    async fn what_was_written_is_read_and_what_failed_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let local = Local::new(&folder.path().join("stella.db"));
        let names = || {
            local.read(|connection| {
                let mut sql = connection.prepare_cached("SELECT count(*) FROM image_alias")?;
                Ok(sql.query_row([], |row| row.get::<_, i64>(0))?)
            })
        };
        assert_eq!(names().unwrap(), 0);
        let digest = stella_domain::Digest::of("image");
        store
            .put_name(&stella_domain::Tenant::default(), "a", &digest, stella_domain::Timestamp::from_millis(1))
            .await
            .unwrap();
        assert_eq!(names().unwrap(), 1);
        local.read(|connection| Ok(connection.execute("DELETE FROM image_alias", [])?)).unwrap_err();
        assert_eq!(names().unwrap(), 1, "it may only be read");
    }
}
