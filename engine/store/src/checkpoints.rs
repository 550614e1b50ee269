//! Moving what the write-ahead log of SQLite holds into the database file, beside those who write.
//!
//! By itself SQLite does this within the commit that finds the log long: whoever commits then waits while thousands of pages are
//! copied and synced, and so does everybody behind. Here another thread does it, with a connection of its own, while others go on
//! writing. Only where they write faster than it copies do they wait for it, so that the log has an end.
//! <https://www.sqlite.org/wal.html>, section 2.1.

use std::cell::Cell;
use std::ffi::c_int;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};

/// Pages of 4 KiB in the log from which they are moved.
const SOON: c_int = 8192;

/// Pages in the log from which whoever writes waits until they are moved.
const LATEST: c_int = 24_576;

/// How long whoever writes waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// Pages in the log after the last commit on this thread.
    static LOGGED: Cell<c_int> = const { Cell::new(0) };
}

/// Someone who waits for the end of a round.
type Done = SyncSender<()>;

/// The thread that moves pages. It ends with this value.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    rounds: Option<SyncSender<Option<Done>>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// For the database in `file`. Where no thread can be had, SQLite does it by itself.
    pub(crate) fn of(file: &Path) -> Self {
        let (rounds, asked) = sync_channel(1);
        let file = file.to_owned();
        match Builder::new().name("checkpoints".to_owned()).spawn(move || rounds_of(&file, &asked)) {
            Ok(thread) => Self { rounds: Some(rounds), thread: Some(thread) },
            Err(_) => Self { rounds: None, thread: None },
        }
    }

    /// Makes commits of `connection` tell how long the log is, instead of moving it themselves.
    pub(crate) fn watch(&self, connection: &Connection) {
        if self.rounds.is_some() {
            connection.wal_hook(Some(remember));
        }
    }

    /// Asks for a round where the commit that this thread made last left a long log, and waits where it is too long.
    pub(crate) fn after_commit(&self) {
        let Some(rounds) = &self.rounds else { return };
        match LOGGED.replace(0) {
            ..SOON => {}
            // One that is asked for already comes after this commit.
            SOON..LATEST => drop(rounds.try_send(None)),
            LATEST.. => {
                let (done, ended) = sync_channel(1);
                if rounds.send(Some(done)).is_ok() {
                    // Others want to write, and give up after half a minute.
                    let _ = ended.recv_timeout(PATIENCE);
                }
            }
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.rounds = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the library's hook")]
fn remember(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    LOGGED.set(pages);
    Ok(())
}

/// Until nobody can ask any more. What fails is tried again in the next round with another connection; meanwhile everything that was
/// committed is in the log.
fn rounds_of(file: &Path, asked: &Receiver<Option<Done>>) {
    let mut kept = None;
    for done in asked {
        kept = kept.or_else(|| open(file).ok()).filter(|connection| round(connection).is_ok());
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.execute_batch("PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL")?;
    Ok(connection)
}

/// Moves as much as readers allow, and keeps nobody from writing.
fn round(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::Store;
    use crate::writing::FileWriter;

    fn write(store: &Store, bytes: u32) {
        let write = |connection: &mut Connection| {
            connection.execute("INSERT INTO kept_id (id) VALUES (hex(randomblob(?1)))", [bytes / 2])?;
            Ok(())
        };
        store.file_writer().unwrap().write(write).unwrap();
    }

    #[tokio::test]
    async fn a_log_has_an_end_while_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let log = || std::fs::metadata(folder.path().join("stella.db-wal")).unwrap().len() / 4096;
        let longest = (0..120)
            .map(|_| {
                write(&store, 2 << 20);
                log()
            })
            .max();
        let most = u64::try_from(LATEST).unwrap() + 2048;
        assert!(longest <= Some(most), "{longest:?} pages");
        assert!(longest >= Some(u64::try_from(SOON).unwrap()), "moved with every commit: {longest:?}");
    }

    #[tokio::test]
    async fn a_reader_that_stays_keeps_nobody_from_writing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let reader = Connection::open(folder.path().join("stella.db")).unwrap();
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM kept_id", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(count(&reader), 0);
        (0..60).for_each(|_| write(&store, 2 << 20));
        assert_eq!(count(&reader), 0, "it sees what was there when it began");
        let begun = Instant::now();
        write(&store, 2 << 20);
        assert!(begun.elapsed() < PATIENCE, "a round that moves nothing ends, too");
        reader.execute_batch("COMMIT").unwrap();
        assert_eq!(count(&reader), 61);
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.writer().close().await;
        store.reader().close().await;
        drop(store);
        let [file, log] = ["stella.db", "stella.db-wal"].map(|name| folder.path().join(name));
        let writer = FileWriter::new(&file);
        for _ in 0..20 {
            let write = |connection: &mut Connection| {
                connection.execute("INSERT INTO kept_id (id) VALUES (hex(randomblob(1048576)))", [])?;
                Ok(())
            };
            writer.write(write).unwrap();
        }
        assert!(log.exists());
        drop(writer);
        assert!(!log.exists(), "the last connection to a database takes its log away");
    }
}
