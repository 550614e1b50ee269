//! Verdicts on disk: what a restart begins with while the operator is away.
//!
//! The file is NDJSON: a first line of its own, then the updates of a snapshot from `begin` to `ready`. A file of updates
//! alone, as saved from the stream, reads as well. A file without its `ready` was cut off and is refused whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stella_api::admission::AdmissionUpdate;
use stella_domain::Timestamp;

use super::cache::Held;
use super::feed::{Feed, FeedError};

const FORMAT: &str = "stella.webhook.verdicts@v1";

/// Why verdicts cannot be read from a file, or written to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no update.
    #[error("line {line} is no update: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A line does not follow on the ones before it.
    #[error("line {line}: {source}")]
    Order {
        /// Counted from 1.
        line: usize,
        /// Why.
        source: FeedError,
    },
    /// The end is missing.
    #[error("the snapshot is cut off: no ready stands at its end")]
    CutOff,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    format: String,
    heard_at: Option<Timestamp>,
    cursor: Option<String>,
}

/// Reads what [`save`] wrote, or a file of updates. `None` when there is no file.
///
/// # Errors
/// A file that cannot be read, or is not whole.
pub fn load(path: &Path) -> Result<Option<Held>, DiskError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DiskError::Read { path: path.to_owned(), source }),
    }
}

/// Reads the text of such a file.
///
/// # Errors
/// A line that is no update, or a missing end.
pub fn parse(text: &str) -> Result<Held, DiskError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let header = lines.peek().and_then(|(_, line)| serde_json::from_str::<Header>(line).ok());
    let header = header.filter(|header| header.format == FORMAT);
    let mut feed = Feed::default();
    for (number, line) in lines.skip(usize::from(header.is_some())) {
        let line_number = number + 1;
        let update = serde_json::from_str(line).map_err(|source| DiskError::Line { line: line_number, source })?;
        feed.apply(update).map_err(|source| DiskError::Order { line: line_number, source })?;
    }
    if feed.in_snapshot() || feed.view().policy_revision.is_none() {
        return Err(DiskError::CutOff);
    }
    let view = feed.view().clone();
    let sent_at = view.sent_at;
    let (heard_at, cursor) = header.map_or((None, None), |header| (header.heard_at, header.cursor));
    Ok(Held { view, heard_at: heard_at.or(sent_at), cursor, content: 0 })
}

/// Writes the verdicts beside `path` and puts them in its place, so that a reader finds the old file or the new one.
///
/// # Errors
/// The folder cannot be written; the old file stays.
pub fn save(path: &Path, held: &Held) -> Result<(), DiskError> {
    replace(path, |file| write_lines(file, held)).map_err(|source| DiskError::Write { path: path.to_owned(), source })
}

/// Writes a file beside `path` and puts it in its place, durably: a reader finds the old file or the new one.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let beside = path.with_extension("writing");
    let mut file = io::BufWriter::new(File::create(&beside)?);
    write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_lines(out: &mut impl io::Write, held: &Held) -> io::Result<()> {
    let header = Header { format: FORMAT.to_owned(), heard_at: held.heard_at, cursor: held.cursor.clone() };
    line(out, &header)?;
    line(out, &AdmissionUpdate::Begin)?;
    for namespace in held.view.namespaces() {
        line(out, &AdmissionUpdate::Namespace(namespace.clone()))?;
    }
    for image in held.view.images() {
        line(out, &AdmissionUpdate::Image(image.clone()))?;
    }
    let policy_revision = held.view.policy_revision.clone().unwrap_or_default();
    line(out, &AdmissionUpdate::Ready { policy_revision, at: held.view.sent_at.unwrap_or_default() })
}

fn line(out: &mut impl io::Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn held() -> Held {
        let images = [fixture::blocked("a:1"), fixture::passing("b:1")];
        let view = fixture::view(&[fixture::namespace("*"), fixture::namespace("shop")], &images);
        Held { view, heard_at: Some(fixture::now()), cursor: Some("41".to_owned()), content: 0 }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verdicts.ndjson");
        assert!(load(&path).unwrap().is_none());
        save(&path, &held()).unwrap();
        save(&path, &held()).unwrap();
        let loaded = load(&path).unwrap().unwrap();
        assert_eq!((loaded.heard_at, loaded.cursor.as_deref()), (Some(fixture::now()), Some("41")));
        assert_eq!(loaded.view.images(), held().view.images());
        assert_eq!(loaded.view.namespaces(), held().view.namespaces());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verdicts.ndjson");
        save(&path, &held()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for end in (0..text.len() - 1).step_by(7) {
            assert!(parse(&text[..end]).is_err(), "cut at {end}");
        }
        assert!(parse(&text).is_ok());
    }

    #[test]
    fn updates_alone_are_verdicts_too() {
        let text = r#"{"type":"begin"}
            {"type":"ready","body":{"policyRevision":"3","at":"2026-01-01T00:00:00Z"}}"#;
        let held = parse(text).unwrap();
        assert_eq!(held.heard_at.unwrap().to_string(), "2026-01-01T00:00:00.000Z");
        assert!(held.cursor.is_none());
    }
}
