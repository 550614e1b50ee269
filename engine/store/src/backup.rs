//! Copies of a SQLite database, made while it is in use.

use std::fs::File;
use std::path::Path;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, Row as _};
use stella_domain::Digest;

use crate::codec::digest;
use crate::database::{install_drivers, is_sqlite, sqlite_url};
use crate::{Installation, Store, StoreError, installation};

impl Store {
    /// Writes the SQLite database as it is at this moment into the new file `to`; others go on reading and writing. When this
    /// returns `Ok`, the copy is on disk.
    ///
    /// # Errors
    /// With PostgreSQL, which has its own means; when the copy cannot be written, or is not sound.
    pub async fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        if !is_sqlite(self) {
            return Err(StoreError::NoBackup);
        }
        let name = to.to_str().ok_or(StoreError::NotSound { reason: "the name of the copy is not UTF-8".into() })?;
        sqlx::query("VACUUM INTO $1").bind(name).execute(self.reader()).await?;
        File::open(to)
            .and_then(|file| file.sync_all())
            .map_err(|source| StoreError::Folder { path: to.to_owned(), source })?;
        check_copy(to).await
    }
}

/// Reads a whole copy and checks what SQLite can check: pages, order and indexes.
///
/// # Errors
/// When it cannot be read, is no database of Stella, or is damaged.
pub async fn check_copy(file: &Path) -> Result<(), StoreError> {
    let pool = open_copy(file, "ro").await?;
    let said: String = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&pool).await?.get(0);
    if said != "ok" {
        return Err(StoreError::NotSound { reason: said });
    }
    sqlx::query("SELECT version FROM _sqlx_migrations LIMIT 1").fetch_one(&pool).await?;
    pool.close().await;
    Ok(())
}

/// The blobs that a copy refers to, in order; none when it is of a schema that knows no blobs.
///
/// # Errors
/// When it cannot be read, or what it refers to is no digest.
pub async fn blobs_of_copy(file: &Path) -> Result<Vec<Digest>, StoreError> {
    let pool = open_copy(file, "ro").await?;
    let knows = "SELECT 1 FROM pragma_table_info('layer_inv') WHERE name = 'blob'";
    let rows = match sqlx::query(knows).fetch_optional(&pool).await? {
        Some(_) => {
            let all = "SELECT DISTINCT blob FROM layer_inv WHERE blob IS NOT NULL ORDER BY blob";
            sqlx::query(all).fetch_all(&pool).await?
        }
        None => Vec::new(),
    };
    pool.close().await;
    rows.iter().map(|row| digest("blob", row.get(0))).collect()
}

/// The installation that a copy is of; `None` when it has no name, or the copy is of a schema that knows none.
///
/// # Errors
/// When it cannot be read, or what it keeps is no name.
pub async fn installation_of_copy(file: &Path) -> Result<Option<Installation>, StoreError> {
    let pool = open_copy(file, "ro").await?;
    let knows = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'installation'";
    let row = match sqlx::query(knows).fetch_optional(&pool).await? {
        Some(_) => sqlx::query("SELECT id FROM installation").fetch_optional(&pool).await?,
        None => None,
    };
    pool.close().await;
    installation::kept(row.as_ref())
}

/// Takes out of a copy the layers that lie in `lost` blobs, so that they count as missing where it is put back.
///
/// # Errors
/// When it cannot be written.
pub async fn without_blobs(file: &Path, lost: &[Digest]) -> Result<(), StoreError> {
    let pool = open_copy(file, "rw").await?;
    for blob in lost {
        sqlx::query("DELETE FROM layer_inv WHERE blob = $1").bind(blob.to_string()).execute(&pool).await?;
    }
    // What the journal holds belongs to the file, which is copied alone.
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&pool).await?;
    pool.close().await;
    File::open(file)
        .and_then(|file| file.sync_all())
        .map_err(|source| StoreError::Folder { path: file.to_owned(), source })
}

async fn open_copy(file: &Path, mode: &str) -> Result<AnyPool, StoreError> {
    install_drivers();
    let options: AnyConnectOptions = sqlite_url(file, mode).parse()?;
    Ok(AnyPoolOptions::new().max_connections(1).connect_with(options).await?)
}
