//! RPM's package database in its three forms: a file of SQLite, of rpm's own "ndb", or of BerkeleyDB. Each keeps
//! one header a package, and the header says everything.

mod bdb;
mod database;
mod header;
mod ndb;
mod package;
mod sqlite;

use self::database::{Blob, DatabaseError, Take};
use self::header::Header;
use self::package::{Budget, PackageError, files_of, package_of};
use super::{Cataloger, Findings, ParseError, SourceFile};

/// `rpmdb.sqlite`, `Packages.db` and `Packages`.
pub(super) const PACKAGES: Cataloger =
    Cataloger { name: "rpm", wants: is_database, parse: parse_database, is_database: true };

/// What SQLite has not written into the database yet, alone. Beside its database it is read with that:
/// [`parse_with_journal`].
pub(super) const JOURNAL: Cataloger =
    Cataloger { name: "rpm-journal", wants: is_journal, parse: parse_journal, is_database: false };

/// Where distributions keep it: long since, since it is part of the system image, and with rpm-ostree.
const FOLDERS: [&str; 3] = ["var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/"];

/// Headers that cannot be read are named up to this number.
const MAX_NAMED: usize = 20;

fn name_in_folder(path: &str) -> Option<&str> {
    FOLDERS.iter().find_map(|folder| path.strip_prefix(folder))
}

fn is_database(path: &str) -> bool {
    name_in_folder(path).and_then(reader_of).is_some()
}

fn reader_of(name: &str) -> Option<database::Read> {
    match name {
        "rpmdb.sqlite" => Some(sqlite::read),
        "Packages.db" => Some(ndb::read),
        "Packages" => Some(bdb::read),
        _ => None,
    }
}

fn is_journal(path: &str) -> bool {
    name_in_folder(path) == Some("rpmdb.sqlite-wal")
}

/// The database whose latest changes are in the journal at this path.
pub(super) fn database_of(journal: &str) -> Option<&str> {
    journal.strip_suffix("-wal").filter(|_| is_journal(journal))
}

fn parse_journal(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    findings.problems.extend(unread_journal(file.bytes.len() as u64));
    Ok(())
}

/// What is said of a journal of so many bytes that is not read with its database.
pub(super) fn unread_journal(size: u64) -> Option<String> {
    (size > 0).then(|| {
        format!("rpm: {size} bytes of changes wait here that rpmdb.sqlite does not contain yet, and they are not read")
    })
}

/// Reads `rpmdb.sqlite` together with the journal beside it. Where they cannot be read together nothing is found: the file
/// counts then as it is alone.
pub(super) fn parse_with_journal<'a>(
    file: &SourceFile<'a>,
    journal: &'a [u8],
    findings: &mut Findings,
) -> Result<(), ParseError> {
    let log = sqlite::Log::read(journal).ok_or_else(|| {
        ParseError("the journal beside it is damaged or none of SQLite's, and changes in it are not read".to_owned())
    })?;
    let mut found = Findings::within(&findings.limits);
    take_from(file.path, &mut found, |take| sqlite::read_with_log(file.bytes, log, take))
        .map_err(|error| ParseError(format!("changes in the journal beside it are not read: {error}")))?;
    *findings = found;
    Ok(())
}

/// What goes wrong with one package.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("{0}: {1}")]
    Package(database::Place, PackageError),
}

fn parse_database(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let name = file.path.rsplit_once('/').map_or(file.path, |(_, name)| name);
    let Some(read) = reader_of(name) else { return Err(ParseError(format!("{name} is no name of a database"))) };
    take_from(file.path, findings, |take| read(file.bytes, take))
}

/// Keeps the packages of the database at this path that `read` hands out.
fn take_from<'a>(
    path: &str,
    findings: &mut Findings,
    read: impl FnOnce(&mut Take<'_, 'a>) -> Result<(), DatabaseError>,
) -> Result<(), ParseError> {
    let mut budget = Budget::default();
    let mut failed = 0;
    let read = read(&mut |entry| {
        if let Err(error) = keep(entry, path, &mut budget, findings) {
            failed += 1;
            if failed <= MAX_NAMED {
                findings.problems.push(format!("rpm: {error}"));
            }
        }
    });
    if failed > MAX_NAMED {
        findings.problems.push(format!("rpm: {} more packages cannot be read", failed - MAX_NAMED));
    }
    read.map_err(|error| ParseError(error.to_string()))
}

fn keep(
    entry: Result<Blob<'_>, DatabaseError>,
    path: &str,
    budget: &mut Budget,
    findings: &mut Findings,
) -> Result<(), EntryError> {
    let Blob { place, bytes } = entry?;
    let failed = |error: PackageError| EntryError::Package(place, error);
    let header = Header::parse(&bytes).map_err(|error| failed(error.into()))?;
    let Some(package) = package_of(&header, path, budget).map_err(failed)? else { return Ok(()) };
    findings.packages.push(package);
    // A package is there even if its list of files is damaged.
    let files = files_of(&header, budget).map_err(failed)?;
    if let Some(package) = findings.packages.last_mut() {
        package.files = files;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
