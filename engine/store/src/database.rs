//! Opening the database, and the errors of everything that uses it.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, Once};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Connection as _, Executor as _, Transaction};
use stella_domain::Hasher;

use crate::blobs::{BlobError, Outside};
use crate::hints::Ungiven;
use crate::ingest::Intake;
use crate::local::Local;
use crate::schema;
use crate::sql::{Read, Sql};
use crate::writing::{FileWriter, on_a_thread};

/// A row of either database.
pub(crate) type Row = sqlx::any::AnyRow;
/// A connection to either database.
pub(crate) type Connection = sqlx::AnyConnection;

/// Connections to PostgreSQL at most.
const CONNECTIONS: u32 = 12;
/// How long a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why something could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database refused.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A row could not be read by its key.
    #[error("database: {0}")]
    Local(#[from] rusqlite::Error),
    /// What lies outside of the database.
    #[error("blobs: {0}")]
    Blob(#[from] BlobError),
    /// The schema could not be brought up to date.
    #[error("database {database}: cannot migrate: {source}")]
    Migrate {
        /// The file, or the kind of the server.
        database: String,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// The folder of the database cannot be made.
    #[error("cannot make {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The URL of a database names none that is supported. The URL is not repeated: it may hold a password.
    #[error("the database's URL does not begin with postgres:// or postgresql://")]
    Url,
    /// A database on PostgreSQL is backed up by its own means.
    #[error("a database on PostgreSQL is backed up with pg_dump")]
    NoBackup,
    /// A copy of a database that cannot be used.
    #[error("the copy of the database is not sound: {reason}")]
    NotSound {
        /// What is wrong with it.
        reason: String,
    },
    /// A stored document cannot be read back.
    #[error("stored {what} cannot be read: {reason}")]
    Damaged {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// The database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    kind: Kind,
    write: AnyPool,
    read: AnyPool,
    /// Of SQLite.
    local: Option<Local>,
    /// Of SQLite.
    file: Option<Arc<FileWriter>>,
    /// Of SQLite.
    intake: Option<Intake>,
    /// Of PostgreSQL.
    url: Option<Arc<Secret>>,
    /// Of PostgreSQL.
    ungiven: Arc<Ungiven>,
    /// Where what is large lies, when not in the database.
    pub(crate) outside: Option<Outside>,
}

/// A URL that may hold a password.
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a URL)")
    }
}

impl Store {
    /// Opens the SQLite database `stella.db` in `folder`, makes it when absent, and brings its schema up to date.
    ///
    /// # Errors
    /// When the folder cannot be made, the file cannot be opened, or a migration fails.
    pub async fn open(folder: &Path) -> Result<Self, StoreError> {
        install_drivers();
        let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.canonicalize().map_err(failed)?.join("stella.db");
        let pool = |connections, mode, setup: &'static str| {
            let url = sqlite_url(&path, mode);
            // Asking a file whether it is still there costs every statement a change of threads.
            let pool = AnyPoolOptions::new()
                .max_connections(connections)
                .test_before_acquire(false)
                // A full disk makes SQLite end the transaction by itself; the driver goes on counting it, and would take no other.
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
                .after_connect(move |connection, _| Box::pin(async move { connection.execute(setup).await.map(drop) }));
            Ok::<_, sqlx::Error>((pool, AnyConnectOptions::from_str(&url)?))
        };
        // A transaction that does not fit into the cache is written twice. The log is moved by a thread of its own, and here only where
        // nothing else is written.
        let (write, options) = pool(
            1,
            "rwc",
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 32768",
        )?;
        let write = write.connect_with(options).await?;
        schema::sqlite()
            .run(&write)
            .await
            .map_err(|source| StoreError::Migrate { database: path.display().to_string(), source })?;
        let (read, options) = pool(4, "ro", "PRAGMA busy_timeout = 10000")?;
        let read = read.connect_with(options).await?;
        let (local, file) = (Some(Local::new(&path)), Arc::new(FileWriter::new(&path)));
        let intake = Some(Intake::new(Arc::clone(&file)));
        Ok(Self {
            kind: Kind::Sqlite,
            write,
            read,
            local,
            file: Some(file),
            intake,
            url: None,
            ungiven: Arc::default(),
            outside: None,
        })
    }

    /// Connects to the PostgreSQL database that `url` names (`postgres://user:password@host/database?sslmode=verify-full`),
    /// and brings its schema up to date. Replicas that start together wait for the one that does it.
    ///
    /// # Errors
    /// When the URL is of another kind, the server does not answer, or a migration fails.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        install_drivers();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::Url);
        }
        let options = AnyConnectOptions::from_str(url)?;
        let pool = AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        let pool = pool.connect_with(options).await?;
        schema::postgres()
            .run(&pool)
            .await
            .map_err(|source| StoreError::Migrate { database: "on PostgreSQL".to_owned(), source })?;
        let url = Some(Arc::new(Secret(url.to_owned())));
        Ok(Self {
            kind: Kind::Postgres,
            write: pool.clone(),
            read: pool,
            local: None,
            file: None,
            intake: None,
            url,
            ungiven: Arc::default(),
            outside: None,
        })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// The URL of a database that other processes may use.
    pub(crate) fn shared_url(&self) -> Option<&str> {
        self.url.as_deref().map(|url| url.0.as_str())
    }

    pub(crate) fn ungiven(&self) -> &Ungiven {
        &self.ungiven
    }

    /// For rows that are small and found by their key, where the database is a file.
    pub(crate) fn local(&self) -> Option<&Local> {
        self.local.as_ref()
    }

    /// For what is written at once, where the database is a file.
    pub(crate) fn file_writer(&self) -> Option<&Arc<FileWriter>> {
        self.file.as_ref()
    }

    /// For batches of events, where the database is a file.
    pub(crate) fn intake(&self) -> Option<&Intake> {
        self.intake.as_ref()
    }

    pub(crate) fn reader(&self) -> &AnyPool {
        &self.read
    }

    /// For a statement that is a transaction by itself.
    pub(crate) fn writer(&self) -> &AnyPool {
        &self.write
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.kind == Kind::Sqlite
    }

    /// A statement to be put together for this database.
    pub(crate) fn sql(&self, text: impl Into<String>) -> Sql {
        Sql::new(self.kind == Kind::Postgres, text)
    }

    /// What a statement finds by keys. On SQLite it is read on this thread, so it has to be small.
    pub(crate) async fn look_up<T>(&self, mut sql: Sql, read: Read<T>) -> Result<Vec<T>, StoreError> {
        if let Some(local) = self.local() {
            return local.read(|connection| sql.read_here(connection, read));
        }
        let rows = sql.build().fetch_all(self.reader()).await?;
        rows.iter().map(|row| read(row)).collect()
    }

    /// The same of what may be much. On SQLite it is read on one thread and handed over at once; the driver hands over a few rows
    /// at a time.
    pub(crate) async fn look_up_many<T: Send + 'static>(&self, sql: Sql, read: Read<T>) -> Result<Vec<T>, StoreError> {
        match self.local().cloned() {
            Some(local) => on_a_thread(move || local.read(|connection| sql.read_here(connection, read))).await,
            None => self.look_up(sql, read).await,
        }
    }

    /// A write transaction. SQLite has one at a time; PostgreSQL has many, so one that writes what it read before uses
    /// [`Self::begin_alone`].
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(match self.kind {
            Kind::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres => self.write.begin().await?,
        })
    }

    /// A write transaction that is the only one with this `key` until it ends, over all replicas.
    pub(crate) async fn begin_alone(&self, key: &[&str]) -> Result<Transaction<'static, Any>, StoreError> {
        let mut tx = self.begin().await?;
        self.be_alone(&mut tx, key).await?;
        Ok(tx)
    }

    /// From here on the transaction is the only one with this `key`. On SQLite it is anyway.
    pub(crate) async fn be_alone(&self, tx: &mut Connection, key: &[&str]) -> Result<(), StoreError> {
        if self.kind == Kind::Postgres {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock_number(key)).execute(tx).await?;
        }
        Ok(())
    }
}

pub(crate) fn is_sqlite(store: &Store) -> bool {
    store.kind == Kind::Sqlite
}

/// URL of a SQLite database; `mode` is `ro`, `rw` or `rwc`.
pub(crate) fn sqlite_url(file: &Path, mode: &str) -> String {
    format!("sqlite://{}?mode={mode}", percent_encoded(file))
}

pub(crate) fn install_drivers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(sqlx::any::install_default_drivers);
}

/// Two keys with the same number only wait for each other.
fn lock_number(key: &[&str]) -> i64 {
    let mut hasher = Hasher::new();
    key.iter().for_each(|part| hasher.field(part));
    let digest = hasher.finish();
    let (head, _) = digest.as_bytes().as_chunks::<8>();
    i64::from_le_bytes(head[0])
}

/// A path as part of a URL.
fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_with_any_name_holds_the_file() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("a b?c#d%41é");
        Store::open(&folder).await.unwrap().ping().await.unwrap();
        assert!(folder.join("stella.db").is_file());
    }

    #[tokio::test]
    async fn another_kind_of_database_is_refused_without_repeating_its_password() {
        let error = Store::connect("mysql://user:secret@host/db").await.unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
