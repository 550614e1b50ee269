//! Java archives by their SHA-1: Trivy's Java database, as mirrors have it.
//!
//! ```text
//!   FEEDS/maven/trivy-java.db    indices(artifact_id, version, sha1) and artifacts(id, group_id, artifact_id)
//!   FEEDS/maven/metadata.json    UpdatedAt: when it was made
//! ```
//!
//! It has tens of millions of rows and an index by SHA-1, so it is asked where it lies and not made a part of our own index.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::Deserialize;
use stella_inventory::{Artifact, Inventory};

use crate::feed::FeedInfo;

/// The name of the feed.
pub const NAME: &str = "Maven artifacts";
/// The longest part of coordinates that is taken, in bytes.
const MAX_PART: usize = 256;
/// How long one that is being replaced is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest `metadata.json` that is read, in bytes.
const MAX_METADATA: u64 = 64 * 1024;

/// Why archives have no names.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up Java archives in {path}: {source}")]
pub struct ArtifactsError {
    /// The database.
    pub path: PathBuf,
    /// What SQLite said.
    pub source: rusqlite::Error,
}

/// A table of what archives were published as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    path: PathBuf,
}

impl Artifacts {
    /// The one in a folder of feeds, where it has one.
    #[must_use]
    pub fn below(feeds: &Path) -> Option<Self> {
        let path = folder(feeds).join("trivy-java.db");
        path.is_file().then_some(Self { path })
    }

    /// Names the archives of an inventory that do not tell what they are ([`Inventory::name_archives`]). Gives how many have a
    /// name now. The database is opened only where there are such.
    ///
    /// # Errors
    /// When the database cannot be read; then the inventory stays as it is.
    pub fn name(&self, inventory: &mut Inventory) -> Result<usize, ArtifactsError> {
        if inventory.unnamed_archives() == 0 {
            return Ok(0);
        }
        self.name_all(inventory).map_err(|source| ArtifactsError { path: self.path.clone(), source })
    }

    fn name_all(&self, inventory: &mut Inventory) -> Result<usize, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(&self.path, flags)?;
        database.busy_timeout(PATIENCE)?;
        let mut query = database.prepare(
            "SELECT a.group_id, a.artifact_id, i.version FROM indices i JOIN artifacts a ON a.id = i.artifact_id WHERE i.sha1 = ?1",
        )?;
        inventory.name_archives(|sha1| {
            let Ok(sha1) = hex::decode(sha1) else { return Ok(None) };
            let row = query
                .query_row([sha1], |row| Ok(Artifact { group: row.get(0)?, name: row.get(1)?, version: row.get(2)? }));
            Ok(row.optional()?.filter(is_usable))
        })
    }
}

/// What is no name of an artifact makes no package.
fn is_usable(artifact: &Artifact) -> bool {
    [&artifact.group, &artifact.name, &artifact.version].into_iter().all(|part| {
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || ":/".contains(c);
        !part.is_empty() && part.len() <= MAX_PART && !part.contains(is_odd)
    })
}

/// The files of the feed, for telling whether it changed.
pub(crate) fn files(feeds: &Path) -> Vec<PathBuf> {
    let files = ["metadata.json", "trivy-java.db"].map(|name| folder(feeds).join(name));
    files.into_iter().filter(|file| file.is_file()).collect()
}

/// How new it is. It holds no advisories.
pub(crate) fn info(feeds: &Path) -> Option<FeedInfo> {
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(rename = "UpdatedAt")]
        updated_at: String,
    }
    Artifacts::below(feeds)?;
    let path = folder(feeds).join("metadata.json");
    let is_small = path.metadata().is_ok_and(|meta| meta.len() <= MAX_METADATA);
    let metadata = is_small.then(|| std::fs::read(&path).ok()).flatten();
    let metadata: Option<Metadata> = metadata.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let date = metadata.and_then(|metadata| metadata.updated_at.parse().ok());
    Some(FeedInfo { name: NAME.to_owned(), date, advisories: 0, set_aside: 0 })
}

fn folder(feeds: &Path) -> PathBuf {
    feeds.join("maven")
}

#[cfg(test)]
mod tests {
    use stella_inventory::{Component, Package, PackageKind, Provenance};

    use super::*;

    const KNOWN: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    const ODD: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

    fn feeds() -> tempfile::TempDir {
        let feeds = tempfile::tempdir().unwrap();
        std::fs::create_dir(feeds.path().join("maven")).unwrap();
        feeds
    }

    /// As Trivy makes it.
    fn write_database(feeds: &Path) {
        let database = Connection::open(feeds.join("maven/trivy-java.db")).unwrap();
        database
            .execute_batch(&format!(
                "CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
                 CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT,
                   foreign key (artifact_id) references artifacts(id));
                 CREATE UNIQUE INDEX artifacts_idx ON artifacts(artifact_id, group_id);
                 CREATE UNIQUE INDEX indices_sha1_idx ON indices(sha1);
                 INSERT INTO artifacts VALUES (1, 'org.example', 'lib'), (2, 'org.example', 'odd name');
                 INSERT INTO indices VALUES (1, '1.0', x'{KNOWN}', 'jar'), (2, '1.0', x'{ODD}', 'jar');"
            ))
            .unwrap();
    }

    fn inventory() -> Inventory {
        let component = |name: &str, sha1: &str| Component {
            purl: format!("pkg:generic/{name}?checksum=sha1:{sha1}"),
            ecosystem: "generic".into(),
            layer: None,
            package: Package {
                sha1: Some(sha1.into()),
                ..Package::new(PackageKind::Generic, name, "", format!("lib/{name}"))
            },
        };
        Inventory {
            provenance: Provenance::Rootfs,
            os: None,
            layers: Vec::new(),
            components: vec![component("a.jar", KNOWN), component("b.jar", ODD), component("c.jar", &"0".repeat(40))],
            problems: Vec::new(),
        }
    }

    #[test]
    fn archives_get_the_names_that_are_names() {
        let feeds = feeds();
        assert_eq!(Artifacts::below(feeds.path()), None);
        write_database(feeds.path());
        let mut inventory = inventory();
        assert_eq!(Artifacts::below(feeds.path()).unwrap().name(&mut inventory).unwrap(), 1);
        let mut purls: Vec<&str> = inventory.components.iter().map(|component| component.purl.as_str()).collect();
        purls.sort_unstable();
        assert_eq!(purls.len(), 3);
        assert!(purls[0].starts_with("pkg:generic/b.jar?") && purls[1].starts_with("pkg:generic/c.jar?"), "{purls:?}");
        assert_eq!(purls[2], "pkg:maven/org.example/lib@1.0");
    }

    #[test]
    fn a_broken_database_is_named_and_changes_nothing() {
        let feeds = feeds();
        std::fs::write(feeds.path().join("maven/trivy-java.db"), "no database at all").unwrap();
        let mut changed = inventory();
        let error = Artifacts::below(feeds.path()).unwrap().name(&mut changed).unwrap_err();
        assert!(error.to_string().contains("trivy-java.db"), "{error}");
        assert_eq!(changed, inventory());
        changed.components.clear();
        assert_eq!(Artifacts::below(feeds.path()).unwrap().name(&mut changed).unwrap(), 0, "it is not opened");
    }

    #[test]
    fn its_age_is_told() {
        let feeds = feeds();
        assert_eq!(info(feeds.path()), None);
        write_database(feeds.path());
        assert_eq!(info(feeds.path()).unwrap().date, None);
        let metadata = r#"{"Version":1,"NextUpdate":"2026-01-09T00:00:00Z","UpdatedAt":"2026-01-02T00:00:00.123456Z"}"#;
        std::fs::write(feeds.path().join("maven/metadata.json"), metadata).unwrap();
        let info = info(feeds.path()).unwrap();
        assert_eq!((info.name.as_str(), info.date), (NAME, "2026-01-02T00:00:00.123Z".parse().ok()));
        assert_eq!(files(feeds.path()).len(), 2);
    }
}
