//! What a database lacks that cannot serve at the moment, told from the errors of both kinds.

use std::error::Error;
use std::io;

use crate::{BlobError, StoreError};

/// What is missing. Whoever asked may ask the same again later; nothing of what failed was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lack {
    /// The server is away, ends, or does not answer in time.
    #[error("the database does not answer")]
    Answer,
    /// The place for blobs is away, or does not answer in time.
    #[error("the place for blobs does not answer")]
    Blobs,
    /// The disk is full.
    #[error("the disk is full")]
    Space,
    /// Nothing may be written.
    #[error("the disk is read-only")]
    Writing,
    /// The disk fails.
    #[error("the disk fails")]
    Disk,
}

/// What lack made `error` happen, when it was one: looked for in the error and in all it came from.
#[must_use]
pub fn lack(error: &(dyn Error + 'static)) -> Option<Lack> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(StoreError::Database(error)) => return of_database(error),
            Some(StoreError::Local(error)) => return of_local(error),
            Some(StoreError::Blob(BlobError::Away { .. })) => return Some(Lack::Blobs),
            _ => {}
        }
        if let Some(error) = error.downcast_ref() {
            return of_database(error);
        }
        if let Some(error) = error.downcast_ref() {
            return of_local(error);
        }
        if let Some(lack) = error.downcast_ref().and_then(of_disk) {
            return Some(lack);
        }
        next = error.source();
    }
    None
}

fn of_database(error: &sqlx::Error) -> Option<Lack> {
    match error {
        sqlx::Error::Io(error) => of_disk(error).or(Some(Lack::Answer)),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Some(Lack::Answer),
        sqlx::Error::Database(error) => of_code(&error.code()?),
        _ => None,
    }
}

fn of_local(error: &rusqlite::Error) -> Option<Lack> {
    of_code(&error.sqlite_error()?.extended_code.to_string())
}

fn of_disk(error: &io::Error) -> Option<Lack> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Some(Lack::Space),
        io::ErrorKind::ReadOnlyFilesystem => Some(Lack::Writing),
        _ => None,
    }
}

/// Codes of PostgreSQL have five characters (its manual, appendix A), those of SQLite fewer ("Result and Error Codes").
fn of_code(code: &str) -> Option<Lack> {
    match code {
        "53100" => Some(Lack::Space),
        "25006" => Some(Lack::Writing),
        "58030" => Some(Lack::Disk),
        "53300" | "57P01" | "57P02" | "57P03" => Some(Lack::Answer),
        code if code.len() == 5 => code.starts_with("08").then_some(Lack::Answer),
        // The low byte says what, the rest says where.
        code => match code.parse::<u32>().ok()? & 0xff {
            5 | 6 => Some(Lack::Answer),
            8 => Some(Lack::Writing),
            10 | 14 => Some(Lack::Disk),
            13 => Some(Lack::Space),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_found_under_what_is_wrapped_around_it() {
        #[derive(Debug, thiserror::Error)]
        enum Outer {
            #[error(transparent)]
            Shown(#[from] StoreError),
            #[error("reading broke off")]
            Named(#[source] io::Error),
        }
        let refused = || sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(lack(&Outer::from(StoreError::from(refused()))), Some(Lack::Answer));
        assert_eq!(lack(&StoreError::from(sqlx::Error::PoolTimedOut)), Some(Lack::Answer));
        let full = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(13), None);
        assert_eq!(lack(&Outer::from(StoreError::from(full()))), Some(Lack::Space));
        assert_eq!(lack(&StoreError::from(full())), Some(Lack::Space));
        assert_eq!(lack(&Outer::Named(io::ErrorKind::StorageFull.into())), Some(Lack::Space));
        assert_eq!(lack(&Outer::Named(io::ErrorKind::NotFound.into())), None);
        assert_eq!(lack(&StoreError::from(sqlx::Error::RowNotFound)), None);
    }

    #[test]
    fn codes_of_both_databases_are_told_apart() {
        for (code, wanted) in [
            ("53100", Some(Lack::Space)),
            ("08006", Some(Lack::Answer)),
            ("57P03", Some(Lack::Answer)),
            ("23505", None),
            ("13", Some(Lack::Space)),
            ("778", Some(Lack::Disk)),
            ("1032", Some(Lack::Writing)),
            ("517", Some(Lack::Answer)),
            ("2067", None),
        ] {
            assert_eq!(of_code(code), wanted, "{code}");
        }
    }
}
