//! Reading a folder of feeds: OSV records, CVE records and the list of known exploited vulnerabilities.
//!
//! ```text
//!   FEEDS/osv/ECOSYSTEM/{all.zip,*.json}   FEEDS/ghsa/{all.zip,*.json}   FEEDS/cve/{all.zip,*.json}   FEEDS/kev/*.json
//! ```
//!
//! A document that cannot be read is set aside with its error and does not stop the rest. Unknown fields are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Hasher, Timestamp};

use crate::osv::Record;

/// The largest single document that is read, in bytes.
pub const MAX_DOCUMENT: u64 = 16 * 1024 * 1024;
/// The most documents one archive may hold.
pub const MAX_DOCUMENTS: usize = 1_000_000;

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
    #[error("{path} holds no feed: expected folders such as osv/PyPI, cve or kev in it")]
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
    /// `PyPI`, `Debian`, `GHSA`, `CVE`, `KEV`.
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
    pub records: Vec<(String, Record)>,
    /// Facts by CVE.
    pub cves: BTreeMap<String, CveFacts>,
    /// CVEs known to be exploited.
    pub kev: BTreeSet<String>,
    /// The feeds, sorted by name.
    pub info: Vec<FeedInfo>,
    /// Documents set aside, sorted by place.
    pub set_aside: Vec<SetAside>,
}

/// A name for the present state of a folder of feeds, from names, sizes and modification times of its files.
///
/// # Errors
/// When the folder cannot be listed.
pub fn fingerprint(folder: &Path) -> Result<Digest, FeedError> {
    let mut hasher = Hasher::new();
    for path in sources(folder)?.into_iter().flat_map(|(_, files)| files) {
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
            for document in documents(file)? {
                match take(&mut feeds, &name, &document) {
                    Ok((count, date)) => {
                        info.advisories += count;
                        info.date = info.date.max(date);
                    }
                    Err(reason) => {
                        info.set_aside += 1;
                        feeds.set_aside.push(SetAside { place: document.place, reason });
                    }
                }
            }
        }
        feeds.info.push(info);
    }
    feeds.records.sort_by(|a, b| (&a.0, &a.1.id).cmp(&(&b.0, &b.1.id)));
    feeds.info.sort_by(|a, b| a.name.cmp(&b.name));
    feeds.set_aside.sort();
    Ok(feeds)
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
    for (name, place) in [("GHSA", "ghsa"), ("CVE", "cve"), ("KEV", "kev")] {
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
    let is_feed = |path: &PathBuf| path.extension().is_some_and(|e| e == "json" || e == "zip") && path.is_file();
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

struct Document {
    place: String,
    content: Result<Vec<u8>, String>,
}

/// The documents of one file: itself, or the entries of an archive.
fn documents(path: &Path) -> Result<Vec<Document>, FeedError> {
    let io = |source| FeedError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    if path.extension().is_some_and(|e| e == "json") {
        return Ok(vec![Document { place: path.display().to_string(), content: read_limited(file) }]);
    }
    let broken = |reason: String| FeedError::Archive { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    std::io::BufReader::new(file).read_to_end(&mut bytes).map_err(io)?;
    let archive = zip::ZipArchive::new(std::io::Cursor::new(bytes.as_slice())).map_err(|e| broken(e.to_string()))?;
    if archive.len() > MAX_DOCUMENTS {
        return Err(broken(format!("{} entries, at most {MAX_DOCUMENTS} are read", archive.len())));
    }
    let entries: Vec<Option<Document>> = (0..archive.len())
        .into_par_iter()
        .map_init(
            || archive.clone(),
            |archive, at| {
                let entry = match archive.by_index(at) {
                    Ok(entry) => entry,
                    Err(error) => {
                        let place = format!("{}#{at}", path.display());
                        return Some(Document { place, content: Err(error.to_string()) });
                    }
                };
                if !entry.name().ends_with(".json") {
                    return None;
                }
                let place = format!("{}#{}", path.display(), entry.name());
                Some(Document { place, content: read_limited(entry) })
            },
        )
        .collect();
    Ok(entries.into_iter().flatten().collect())
}

fn read_limited(source: impl std::io::Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(format!("larger than {MAX_DOCUMENT} bytes"));
    }
    Ok(bytes)
}

/// Takes one document into `feeds`; tells how many advisories it held and its date.
fn take(feeds: &mut Feeds, feed: &str, document: &Document) -> Result<(u64, Option<Timestamp>), String> {
    let bytes = document.content.as_ref().map_err(Clone::clone)?;
    match feed {
        "KEV" => take_kev(feeds, bytes),
        "CVE" => take_cve(feeds, bytes),
        _ => take_osv(feeds, feed, bytes),
    }
}

fn take_osv(feeds: &mut Feeds, feed: &str, bytes: &[u8]) -> Result<(u64, Option<Timestamp>), String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if record.id.is_empty() || record.id.len() > 200 {
        return Err("id is empty or longer than 200 characters".to_owned());
    }
    let published = record.published.as_deref().and_then(plausible);
    let date = plausible(&record.modified).max(published);
    feeds.records.push((feed.to_owned(), record));
    Ok((1, date))
}

/// A date of a document; some feeds write the year 1 where they know none.
fn plausible(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().filter(|date| date.as_millis() > 0)
}

#[derive(Deserialize)]
struct KevList {
    #[serde(rename = "dateReleased", default)]
    date_released: String,
    vulnerabilities: Vec<KevEntry>,
}

#[derive(Deserialize)]
struct KevEntry {
    #[serde(rename = "cveID")]
    cve: String,
}

fn take_kev(feeds: &mut Feeds, bytes: &[u8]) -> Result<(u64, Option<Timestamp>), String> {
    let list: KevList = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let count = list.vulnerabilities.len() as u64;
    feeds.kev.extend(list.vulnerabilities.into_iter().map(|entry| entry.cve));
    Ok((count, list.date_released.parse().ok()))
}

#[derive(Deserialize)]
struct CveRecord {
    #[serde(rename = "cveMetadata")]
    metadata: CveMetadata,
    containers: CveContainers,
}

#[derive(Deserialize)]
struct CveMetadata {
    #[serde(rename = "cveId")]
    id: String,
    #[serde(rename = "dateUpdated", default)]
    updated: String,
}

#[derive(Deserialize)]
struct CveContainers {
    #[serde(default)]
    cna: CveContainer,
    #[serde(default)]
    adp: Vec<CveContainer>,
}

#[derive(Default, Deserialize)]
struct CveContainer {
    #[serde(default)]
    title: String,
    #[serde(default)]
    metrics: Vec<BTreeMap<String, serde_json::Value>>,
}

impl CveContainer {
    /// Vectors, those of the newest CVSS version first.
    fn vectors(&self) -> impl Iterator<Item = String> + '_ {
        ["cvssV4_0", "cvssV3_1", "cvssV3_0", "cvssV2_0"].into_iter().flat_map(|version| {
            let vector = |metric: &BTreeMap<String, serde_json::Value>| {
                metric.get(version)?.get("vectorString")?.as_str().map(str::to_owned)
            };
            self.metrics.iter().filter_map(vector).collect::<Vec<_>>()
        })
    }
}

fn take_cve(feeds: &mut Feeds, bytes: &[u8]) -> Result<(u64, Option<Timestamp>), String> {
    let record: CveRecord = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let containers = std::iter::once(&record.containers.cna).chain(&record.containers.adp);
    let facts = CveFacts {
        vectors: containers.flat_map(CveContainer::vectors).collect(),
        title: record.containers.cna.title.clone(),
    };
    let updated = &record.metadata.updated;
    // CVE records write their times in UTC, some of them without saying so.
    let date = updated.parse().or_else(|_| format!("{updated}Z").parse()).ok();
    feeds.cves.insert(record.metadata.id, facts);
    Ok((1, date))
}
