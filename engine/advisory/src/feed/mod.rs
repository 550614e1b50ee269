//! Reading a folder of feeds: OSV records, CVE records, the list of known exploited vulnerabilities, exploit probabilities.
//!
//! ```text
//!   FEEDS/osv/ECOSYSTEM/{all.zip,*.json}   FEEDS/ghsa/{all.zip,*.json}   FEEDS/cve/{all.zip,*.json}
//!   FEEDS/kev/*.json                       FEEDS/epss/{*.csv,*.csv.gz}                 FEEDS/maven: see [`crate::artifacts`]
//! ```
//!
//! A document that cannot be read is set aside with its error and does not stop the rest. Unknown fields are ignored.

mod cve;
mod files;
mod kev;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Hasher, Timestamp};

use crate::advisory::Advisory;
use crate::artifacts;
use crate::epss::{self, Epss};
use crate::osv::Record;

/// The largest single document that is read, in bytes.
pub const MAX_DOCUMENT: u64 = 16 * 1024 * 1024;
/// The most documents one archive may hold.
pub const MAX_DOCUMENTS: usize = 1_000_000;
/// The largest list of exploit probabilities, in bytes, unpacked.
pub const MAX_EPSS: u64 = 256 * 1024 * 1024;

/// Why a folder of feeds could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read feed {path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An archive is broken.
    #[error("feed archive {path} is broken: {reason}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder holds none of the feeds.
    #[error("{path} holds no feed: expected folders such as osv/PyPI, cve, kev or epss in it")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// A document that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SetAside {
    /// File, and the entry in it for archives.
    pub place: String,
    /// What was wrong.
    pub reason: String,
}

/// A feed as read: its name, how new it is, how much it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedInfo {
    /// `PyPI`, `Debian`, `GHSA`, `CVE`, `KEV`, `EPSS`.
    pub name: String,
    /// The newest change in it.
    pub date: Option<Timestamp>,
    /// Documents read.
    pub advisories: u64,
    /// Documents set aside.
    pub set_aside: u64,
}

/// What a CVE record adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CveFacts {
    /// CVSS vectors, those of the assigning authority first.
    pub vectors: Vec<String>,
    /// One line on what it is.
    pub title: String,
}

/// Everything a folder of feeds says.
#[derive(Debug, Default)]
pub struct Feeds {
    /// OSV records with the name of their source, sorted by source and id.
    pub records: Vec<(String, Advisory)>,
    /// Facts by CVE.
    pub cves: BTreeMap<String, CveFacts>,
    /// CVEs known to be exploited.
    pub kev: BTreeSet<String>,
    /// Exploit probabilities by CVE.
    pub epss: BTreeMap<String, Epss>,
    /// The feeds, sorted by name.
    pub info: Vec<FeedInfo>,
    /// Documents set aside, sorted by place.
    pub set_aside: Vec<SetAside>,
    /// Ids that findings hang on already, from whoever keeps them: a group that has one of them goes on being called by it.
    pub kept_ids: BTreeSet<String>,
}

/// A name for the present state of a folder of feeds, from names, sizes and modification times of its files.
///
/// # Errors
/// When the folder cannot be listed.
pub fn fingerprint(folder: &Path) -> Result<Digest, FeedError> {
    let mut hasher = Hasher::new();
    let read = sources(folder)?.into_iter().flat_map(|(_, files)| files);
    for path in read.chain(artifacts::files(folder)) {
        let io = |source| FeedError::Io { path: path.clone(), source };
        let meta = path.metadata().map_err(io)?;
        let changed = meta.modified().map_err(io)?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        hasher.field(path.strip_prefix(folder).unwrap_or(&path).as_os_str().as_encoded_bytes());
        hasher.field(meta.len().to_be_bytes());
        hasher.field(changed.as_nanos().to_be_bytes());
    }
    Ok(hasher.finish())
}

/// Reads every feed below `folder`.
///
/// # Errors
/// When the folder or a file cannot be read, an archive is broken, or nothing is there. Single bad documents are no
/// error: they are listed in [`Feeds::set_aside`].
pub fn read(folder: &Path) -> Result<Feeds, FeedError> {
    let mut feeds = Feeds::default();
    for (name, files) in sources(folder)? {
        let mut info = FeedInfo { name: name.clone(), date: None, advisories: 0, set_aside: 0 };
        for file in &files {
            let limit = if name == "EPSS" { MAX_EPSS } else { MAX_DOCUMENT };
            let parse = |bytes: &[u8]| parse(&name, bytes);
            files::each_document(file, limit, parse, |place, parsed| match parsed {
                Ok(document) => {
                    info.advisories += document.count;
                    info.date = info.date.max(document.date);
                    take(&mut feeds, &name, document.content);
                }
                Err(reason) => {
                    info.set_aside += 1;
                    feeds.set_aside.push(SetAside { place, reason });
                }
            })?;
        }
        feeds.info.push(info);
    }
    feeds.info.extend(artifacts::info(folder));
    feeds.records.sort_by(|a, b| (&a.0, &a.1.id).cmp(&(&b.0, &b.1.id)));
    feeds.info.sort_by(|a, b| a.name.cmp(&b.name));
    feeds.set_aside.sort();
    Ok(feeds)
}

/// What a document says, how many advisories that is, and of when.
struct Document {
    content: Content,
    count: u64,
    date: Option<Timestamp>,
}

enum Content {
    Osv(Box<Advisory>),
    Cve(String, CveFacts),
    Kev(Vec<String>),
    Epss(BTreeMap<String, Epss>),
}

fn parse(feed: &str, bytes: &[u8]) -> Result<Document, String> {
    match feed {
        "KEV" => kev::parse(bytes),
        "CVE" => cve::parse(bytes),
        "EPSS" => {
            let list = epss::read(std::str::from_utf8(bytes).map_err(|e| e.to_string())?)?;
            let count = list.scores.len() as u64;
            Ok(Document { content: Content::Epss(list.scores), count, date: list.date })
        }
        _ => parse_osv(bytes),
    }
}

fn parse_osv(bytes: &[u8]) -> Result<Document, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if record.id.is_empty() || record.id.len() > 200 {
        return Err("id is empty or longer than 200 characters".to_owned());
    }
    let published = record.published.as_deref().and_then(plausible);
    let date = plausible(&record.modified).max(published);
    Ok(Document { content: Content::Osv(Box::new(record.into())), count: 1, date })
}

/// A date of a document; some feeds write the year 1 where they know none.
fn plausible(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().filter(|date| date.as_millis() > 0)
}

fn take(feeds: &mut Feeds, feed: &str, content: Content) {
    match content {
        // The copy lies beside the others; the original lies among what the parsing thread used and gave back, and would
        // keep those pages.
        Content::Osv(record) => feeds.records.push((feed.to_owned(), Advisory::clone(&record))),
        Content::Cve(id, facts) => {
            feeds.cves.insert(id, facts);
        }
        Content::Kev(ids) => feeds.kev.extend(ids),
        Content::Epss(scores) => feeds.epss.extend(scores),
    }
}

/// Name of each feed and its files, in a fixed order.
fn sources(folder: &Path) -> Result<Vec<(String, Vec<PathBuf>)>, FeedError> {
    let mut found = Vec::new();
    let osv = folder.join("osv");
    if osv.is_dir() {
        for path in list(&osv)?.into_iter().filter(|path| path.is_dir()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, feed_files(&path)?));
        }
    }
    for (name, place) in [("GHSA", "ghsa"), ("CVE", "cve"), ("KEV", "kev"), ("EPSS", "epss")] {
        let path = folder.join(place);
        if path.is_dir() {
            found.push((name.to_owned(), feed_files(&path)?));
        }
    }
    found.retain(|(_, files)| !files.is_empty());
    if found.is_empty() {
        return Err(FeedError::Empty { path: folder.to_owned() });
    }
    Ok(found)
}

fn feed_files(folder: &Path) -> Result<Vec<PathBuf>, FeedError> {
    let is_feed = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        [".json", ".zip", ".csv", ".csv.gz"].iter().any(|end| name.ends_with(end)) && path.is_file()
    };
    Ok(list(folder)?.into_iter().filter(is_feed).collect())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, FeedError> {
    let io = |source| FeedError::Io { path: folder.to_owned(), source };
    let entries: Result<Vec<_>, _> =
        std::fs::read_dir(folder).map_err(io)?.map(|entry| entry.map(|e| e.path())).collect();
    let mut entries = entries.map_err(io)?;
    entries.sort();
    Ok(entries)
}
