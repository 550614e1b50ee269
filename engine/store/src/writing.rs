//! What is written at once. On SQLite all of it happens on one thread, from its beginning to the commit.
//!
//! Through the driver each statement is a change of threads there and back, which costs more than most statements do. Here they go
//! through a connection of `rusqlite`, which is the same SQLite in the same process, and prepares each of them once. The store's turn to
//! write is held meanwhile: the only connection of its pool that writes.

use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{OpenFlags, params_from_iter};
use sqlx::Any;
use sqlx::pool::PoolConnection;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::checkpoints::Checkpoints;
use crate::database::Connection;
use crate::filing::pieces;
use crate::sql::{Batch, Read, Sql, Value};
use crate::{Store, StoreError};

/// Statements that stay prepared.
const PREPARED: usize = 64;

/// What is being written and gives a `T`. On SQLite it never waits.
pub(crate) type Written<'w, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'w>>;

/// A transaction that writes.
pub(crate) enum Writing<'a> {
    /// Through the driver.
    Driver(&'a mut Connection),
    /// Into SQLite, on this thread.
    Here(&'a mut rusqlite::Connection),
}

impl Writing<'_> {
    /// A statement for this database.
    pub(crate) fn sql(&self, text: impl Into<String>) -> Sql {
        match self {
            Self::Driver(connection) => Sql::on(connection, text),
            Self::Here(_) => Sql::new(false, text),
        }
    }

    /// Statements for this database.
    pub(crate) fn batch(&self) -> Batch {
        Batch::of(self.sql(""))
    }

    /// Runs a statement whose outcome nobody asks for.
    pub(crate) async fn execute(&mut self, mut sql: Sql) -> Result<(), StoreError> {
        match self {
            Self::Driver(connection) => {
                sql.build().execute(&mut **connection).await?;
                Ok(())
            }
            Self::Here(connection) => sql.execute_here(connection),
        }
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, batch: Batch) -> Result<(), StoreError> {
        match self {
            Self::Driver(connection) => batch.run(connection).await,
            Self::Here(connection) => batch.run_here(connection),
        }
    }

    /// What a statement finds.
    pub(crate) async fn rows<T>(&mut self, mut sql: Sql, read: Read<T>) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Driver(connection) => {
                let rows = sql.build().fetch_all(&mut **connection).await?;
                rows.iter().map(|row| read(row)).collect()
            }
            Self::Here(connection) => sql.read_here(connection, read),
        }
    }

    /// Inserts rows: `into` names the table and its columns, `known` says what becomes of rows that are there. On this thread a
    /// row is a statement, for it is prepared and nothing waits; through the driver it is as many as go into one.
    pub(crate) async fn insert<const N: usize>(
        &mut self,
        into: &str,
        rows: &[[Value<'_>; N]],
        known: &str,
    ) -> Result<(), StoreError> {
        match self {
            Self::Driver(connection) => {
                for mut sql in inserts(connection, into, rows, known) {
                    sql.build().execute(&mut **connection).await?;
                }
                Ok(())
            }
            Self::Here(connection) => insert_here(connection, into, rows, known),
        }
    }
}

fn inserts<const N: usize>(connection: &Connection, into: &str, rows: &[[Value<'_>; N]], known: &str) -> Vec<Sql> {
    let mut all = Vec::new();
    for piece in pieces(rows) {
        let mut sql = Sql::on(connection, into);
        sql.push(" ").push_values(piece, |mut row, values| {
            values.iter().for_each(|value| {
                row.push_bind(value.clone());
            });
        });
        sql.push(" ").push(known);
        all.push(sql);
    }
    all
}

fn insert_here<const N: usize>(
    connection: &rusqlite::Connection,
    into: &str,
    rows: &[[Value<'_>; N]],
    known: &str,
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(&format!("{into} VALUES ({}) {known}", ["?"; N].join(", ")))?;
    for row in rows {
        insert.execute(params_from_iter(row))?;
    }
    Ok(())
}

/// The connection of `rusqlite` that writes into one database file. Whoever uses it holds the store's turn to write.
#[derive(Debug)]
pub(crate) struct FileWriter {
    file: Box<Path>,
    /// Opened with the first use, and anew after one that failed.
    connection: Mutex<Option<rusqlite::Connection>>,
    checkpoints: Checkpoints,
}

impl FileWriter {
    /// For the database in `file`.
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.into(), connection: Mutex::default(), checkpoints: Checkpoints::of(file) }
    }

    /// What `write` writes in one transaction, which is on disk when this returns. A connection that failed is not used again; with
    /// it goes what it wrote.
    pub(crate) fn write<T>(
        &self,
        write: impl FnOnce(&mut rusqlite::Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let written = write(&mut connection)?;
        connection.execute_batch("COMMIT")?;
        *kept = Some(connection);
        self.checkpoints.after_commit();
        Ok(written)
    }

    /// As the store's other connection that writes: a commit is on disk.
    fn open(&self) -> Result<rusqlite::Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(&self.file, flags)?;
        connection.execute_batch(
            "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768",
        )?;
        self.checkpoints.watch(&connection);
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(connection)
    }
}

impl Store {
    /// Runs statements in one transaction, which on PostgreSQL is the only one with each of these keys.
    pub(crate) async fn write_batch(&self, alone: &[&[&str]], batch: Batch) -> Result<(), StoreError> {
        self.write(alone, move || Ok(batch), run).await
    }

    /// Does `work` in one transaction, which on PostgreSQL is the only one with each of the keys `alone`, with what `prepare` gives;
    /// that is made before, while others write. `work` must wait for nothing but its transaction. On SQLite what has begun ends,
    /// also where nobody waits for it any more.
    ///
    /// # Errors
    /// Those of both, and when the database does not take it; then nothing is written.
    pub(crate) async fn write<P, T, W>(
        &self,
        alone: &[&[&str]],
        prepare: impl FnOnce() -> Result<P, StoreError> + Send + 'static,
        work: W,
    ) -> Result<T, StoreError>
    where
        P: Send + 'static,
        T: Send + 'static,
        W: for<'w> FnOnce(&'w mut Writing<'_>, P) -> Written<'w, T> + Send + 'static,
    {
        let Some(file) = self.file_writer() else {
            let prepared = prepare()?;
            let mut tx = self.begin().await?;
            for key in alone {
                self.be_alone(&mut tx, key).await?;
            }
            let written = work(&mut Writing::Driver(&mut tx), prepared).await?;
            tx.commit().await?;
            return Ok(written);
        };
        let (writer, own) = (self.writer().clone(), Arc::clone(file));
        // Where it is nobody else's turn, one thread does all of it.
        let begun = on_a_thread(move || {
            let prepared = prepare()?;
            Ok(match writer.try_acquire() {
                Some(turn) => ControlFlow::Break(write_here(&own, turn, work, prepared)?),
                None => ControlFlow::Continue((work, prepared)),
            })
        });
        match begun.await? {
            ControlFlow::Break(written) => Ok(written),
            ControlFlow::Continue((work, prepared)) => {
                let (turn, file) = (self.writer().acquire().await?, Arc::clone(file));
                on_a_thread(move || write_here(&file, turn, work, prepared)).await
            }
        }
    }
}

fn run<'w>(writing: &'w mut Writing<'_>, batch: Batch) -> Written<'w, ()> {
    Box::pin(async move { writing.run(batch).await })
}

fn write_here<P, T, W>(file: &FileWriter, turn: PoolConnection<Any>, work: W, prepared: P) -> Result<T, StoreError>
where
    W: for<'w> FnOnce(&'w mut Writing<'_>, P) -> Written<'w, T>,
{
    let runtime = Handle::current();
    let written = file.write(|connection| runtime.block_on(work(&mut Writing::Here(connection), prepared)));
    drop(turn);
    written
}

/// Does `work` on a thread that may wait for the disk.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    // Of a panic this says as much as the driver does of its own.
    spawn_blocking(work).await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        (folder, store)
    }

    fn putting(store: &Store, names: &[&str]) -> Batch {
        let mut batch = Batch::of(store.sql(""));
        for name in names {
            let sql = batch.next("INSERT INTO kept_id (id) VALUES (");
            sql.push_bind(*name).push(")");
        }
        batch
    }

    async fn panicking(writing: &mut Writing<'_>, batch: Batch) -> Result<(), StoreError> {
        writing.run(batch).await?;
        panic!("a mistake");
    }

    async fn kept(store: &Store) -> Vec<String> {
        store.kept_ids().await.unwrap().into_iter().collect()
    }

    #[tokio::test]
    async fn what_fails_leaves_nothing_and_the_next_goes_on() {
        let (_folder, store) = store().await;
        store.write_batch(&[], putting(&store, &["a"])).await.unwrap();
        store.write_batch(&[], putting(&store, &["b", "a"])).await.unwrap_err();
        assert_eq!(kept(&store).await, ["a"]);
        store.write_batch(&[], putting(&store, &["b", "c"])).await.unwrap();
        assert_eq!(kept(&store).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn it_is_nobody_elses_turn_meanwhile() {
        let (_folder, store) = store().await;
        // Nothing is locked: what makes others wait is the turn alone.
        let turn = store.writer().acquire().await.unwrap();
        let second = tokio::spawn({
            let store = store.clone();
            async move { store.write_batch(&[], putting(&store, &["second"])).await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert!(!second.is_finished(), "it waits for its turn");
        drop(turn);
        second.await.unwrap().unwrap();
        assert_eq!(kept(&store).await, ["second"]);
    }

    #[tokio::test]
    async fn a_panic_takes_its_own_rows_with_it_and_gives_the_turn_back() {
        let (_folder, store) = store().await;
        let batch = putting(&store, &["a"]);
        store.write(&[], move || Ok(batch), |writing, batch| Box::pin(panicking(writing, batch))).await.unwrap_err();
        store.write_batch(&[], putting(&store, &["b"])).await.unwrap();
        assert_eq!(kept(&store).await, ["b"]);
    }

    #[tokio::test]
    async fn rows_are_inserted_and_found_again() {
        let (_folder, store) = store().await;
        let found = store.write(
            &[],
            || Ok(vec!["a".to_owned(), "b".to_owned()]),
            |writing, names| {
                Box::pin(async move {
                    let mut rows: Vec<[Value<'_>; 1]> = Vec::new();
                    for name in &names {
                        rows.push([name.into()]);
                    }
                    let (into, known) = ("INSERT INTO kept_id (id)", "ON CONFLICT (id) DO NOTHING");
                    writing.insert(into, &rows, known).await?;
                    writing.insert(into, &rows[..1], known).await?;
                    let sql = writing.sql("SELECT id FROM kept_id ORDER BY id");
                    writing.rows(sql, |row| Ok(row.text(0)?.to_owned())).await
                })
            },
        );
        assert_eq!(found.await.unwrap(), ["a", "b"]);
        assert_eq!(kept(&store).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_commit_is_on_disk() {
        let (_folder, store) = store().await;
        let asked = |pragma: &str| {
            let sql = format!("PRAGMA {pragma}");
            let file = store.file_writer().unwrap();
            file.write(|connection| Ok(connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?)).unwrap()
        };
        assert_eq!((asked("synchronous"), asked("foreign_keys")), (2, 1), "2 is FULL");
    }
}
