//! Writing the log: one thread, many lines per flush to disk, nothing acknowledged before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use stella_domain::{Digest, Timestamp};
use stella_service::clock::Clock;
use tokio::sync::oneshot;

use super::MAX_LINE;
use super::entry::{Entry, Event, Head, Outcome, What};
use super::verify::{read_line, verify_files};
use crate::keys::replace_private;

/// The file that is written.
pub const CURRENT: &str = "audit.jsonl";
/// The file with the head, where no other place is named.
pub const HEAD: &str = "audit.head";
/// The file that is locked by whoever writes.
const LOCK: &str = "audit.lock";
/// How long the end of another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines that wait to be written, before more have to wait to be taken.
const WAITING: usize = 4096;
/// Lines flushed at a time.
const BATCH: usize = 512;

/// Why nothing can be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file system refused.
    #[error("audit log '{path}': {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The last whole line is no entry, or was changed.
    #[error("audit log '{path}': the last line {reason}; verify the log, and move it away before going on")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process writes to it: each replica needs a folder of its own.
    #[error("audit log in '{0}' is written by another process")]
    Taken(PathBuf),
    /// The thread that writes is gone.
    #[error("the audit log is closed")]
    Closed,
}

/// Where the log is kept.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder of the files.
    pub folder: PathBuf,
    /// The file with the head; in the folder when absent. Best on another volume.
    pub head: Option<PathBuf>,
    /// Bytes after which a file is put aside and a new one begun.
    pub rotate_at: u64,
}

impl Place {
    /// In `folder`, rotated at 64 MiB.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), head: None, rotate_at: 64 * 1024 * 1024 }
    }

    fn current(&self) -> PathBuf {
        self.folder.join(CURRENT)
    }

    fn head_file(&self) -> PathBuf {
        self.head.clone().unwrap_or_else(|| self.folder.join(HEAD))
    }

    /// Every file of the log, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("audit-") && name.ends_with(".jsonl") {
                files.push(self.folder.join(&*name));
            }
        }
        files.sort();
        if self.current().exists() {
            files.push(self.current());
        }
        Ok(files)
    }

    /// The head that was kept, if any.
    #[must_use]
    pub fn kept_head(&self) -> Option<Head> {
        serde_json::from_slice(&fs::read(self.head_file()).ok()?).ok()
    }
}

type Waiting = (Event, oneshot::Sender<Result<Head, AuditError>>);

/// The log. Clones write to the same one.
#[derive(Debug, Clone)]
pub struct AuditLog(mpsc::SyncSender<Waiting>);

impl AuditLog {
    /// Opens the log at `place`. An unfinished last line of a process that was killed is cut off, and the log says so.
    ///
    /// # Errors
    /// When it cannot be read or written, or its last line was tampered with.
    pub fn open(place: Place, clock: Clock) -> Result<Self, AuditError> {
        let mut writer = Writer::open(place, clock)?;
        let (sender, receiver) = mpsc::sync_channel::<Waiting>(WAITING);
        let run = move || {
            while let Ok(first) = receiver.recv() {
                let mut batch = vec![first];
                batch.extend(std::iter::from_fn(|| receiver.try_recv().ok()).take(BATCH - 1));
                writer.take(batch);
            }
        };
        let started = std::thread::Builder::new().name("audit".to_owned()).spawn(run);
        started.map_err(|error| AuditError::Io { path: CURRENT.into(), reason: error.to_string() })?;
        Ok(Self(sender))
    }

    /// Writes `event`; it is on disk when this returns.
    ///
    /// # Errors
    /// When it is not. Who asked for something must then not get it.
    pub async fn write(&self, event: Event) -> Result<Head, AuditError> {
        let (done, answer) = oneshot::channel();
        let mut waiting = (event, done);
        loop {
            match self.0.try_send(waiting) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Disconnected(_)) => return Err(AuditError::Closed),
                Err(mpsc::TrySendError::Full(back)) => waiting = back,
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        answer.await.map_err(|_| AuditError::Closed)?
    }
}

struct Writer {
    place: Place,
    clock: Clock,
    _lock: File,
    file: File,
    /// Bytes of the file that are whole lines.
    length: u64,
    first: u64,
    last: Head,
}

impl Writer {
    fn open(place: Place, clock: Clock) -> Result<Self, AuditError> {
        let path = place.current();
        let failed = |error: io::Error| AuditError::Io { path: path.clone(), reason: error.to_string() };
        fs::create_dir_all(&place.folder).map_err(failed)?;
        let lock = lock(&place.folder)?;
        let mut file = append(&path).map_err(failed)?;
        let (end, torn) = End::read(&mut file).map_err(failed)?;
        let (last, fresh) = match &end.line {
            Some(line) => (head_of(line, &path)?, false),
            // Killed between putting a file aside and beginning the next: the chain goes on from the old one.
            None => match place.files().map_err(failed)?.iter().rev().find(|old| **old != path) {
                Some(old) => (End::last_of(old)?, false),
                None => (Head::start(), true),
            },
        };
        let kept = place.kept_head();
        file.set_len(end.length).and_then(|()| file.sync_all()).map_err(failed)?;
        let first = match &end.line {
            Some(_) => End::first_of(&path).unwrap_or(last.seq),
            None => last.seq + 1,
        };
        let mut writer = Self { place, clock, _lock: lock, file, length: end.length, first, last };
        let mut tell = Vec::new();
        if fresh {
            tell.push(Event::new(What::Started, Outcome::Success));
        }
        if !torn.is_empty() {
            let detail = format!("{} bytes of an unfinished line were cut off, {}", torn.len(), Digest::of(&torn));
            tracing::warn!(detail, "the audit log was not closed in order");
            tell.push(Event::new(What::Recovered, Outcome::Success).detail(detail));
        }
        let wrong = match &kept {
            Some(kept) if kept.seq > writer.last.seq => {
                Some(format!("the log ends at {} and {} was written: its end was cut off", writer.last.seq, kept.seq))
            }
            // Behind after a crash, or of another log: only then is all of it read.
            Some(kept) if *kept != writer.last => {
                let checked = verify_files(&writer.place.files().map_err(failed)?, Some(kept));
                checked.err().map(|(path, broken)| format!("{}: {broken}", path.display()))
            }
            _ => None,
        };
        if let Some(detail) = wrong {
            tracing::error!(detail, "the audit log was tampered with, or its disk lost what it had confirmed");
            tell.push(Event::new(What::Recovered, Outcome::Refused).detail(detail));
        }
        for event in tell {
            writer
                .append(vec![event])
                .map_err(|error| AuditError::Io { path: writer.place.current(), reason: error.to_string() })?;
        }
        Ok(writer)
    }

    fn take(&mut self, batch: Vec<Waiting>) {
        let (events, waiting): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match self.append(events) {
            Ok(heads) => heads.into_iter().zip(waiting).for_each(|(head, waiting)| {
                let _ = waiting.send(Ok(head));
            }),
            Err(error) => {
                tracing::error!(%error, path = %self.place.current().display(), "the audit log cannot be written");
                let error = AuditError::Io { path: self.place.current(), reason: error.to_string() };
                waiting.into_iter().for_each(|waiting| {
                    let _ = waiting.send(Err(error.clone()));
                });
            }
        }
    }

    fn append(&mut self, events: Vec<Event>) -> io::Result<Vec<Head>> {
        let at: Timestamp = self.clock.now();
        let mut last = self.last.clone();
        let (mut bytes, mut heads) = (Vec::new(), Vec::new());
        for event in events {
            let entry = Entry::after(&last, event, at);
            last = entry.head();
            bytes.extend(entry.line());
            heads.push(last.clone());
        }
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // Half a batch must not stand before the next one.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.last = last;
        self.keep_head();
        if self.length >= self.place.rotate_at
            && let Err(error) = self.rotate()
        {
            tracing::warn!(%error, "the audit log cannot be rotated; it goes on in the same file");
        }
        Ok(heads)
    }

    /// The head may lag behind after a crash, and is never ahead.
    fn keep_head(&self) {
        let bytes = serde_json::to_vec(&self.last).unwrap_or_default();
        if let Err(error) = replace_private(&self.place.head_file(), &bytes) {
            tracing::warn!(%error, "the head of the audit log cannot be kept");
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let aside = self.place.folder.join(format!("audit-{:012}.jsonl", self.first));
        fs::rename(self.place.current(), aside)?;
        // From here on this is the file, whatever becomes of the folder: it must not be put aside under the old name again.
        self.file = append(&self.place.current())?;
        (self.length, self.first) = (0, self.last.seq + 1);
        File::open(&self.place.folder)?.sync_all()
    }
}

/// Two writers would each follow the same line.
fn lock(folder: &Path) -> Result<File, AuditError> {
    let path = folder.join(LOCK);
    let failed = |error: io::Error| AuditError::Io { path: path.clone(), reason: error.to_string() };
    let file = append(&path).map_err(failed)?;
    let began = Instant::now();
    while let Err(error) = file.try_lock() {
        if let fs::TryLockError::Error(error) = error {
            return Err(failed(error));
        }
        if began.elapsed() >= PATIENCE {
            return Err(AuditError::Taken(folder.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(file)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn head_of(line: &[u8], path: &Path) -> Result<Head, AuditError> {
    let read = read_line(line).map(|(head, _)| head);
    read.map_err(|fault| AuditError::Damaged { path: path.to_owned(), reason: fault.to_string() })
}

/// The end of a file.
struct End {
    line: Option<Vec<u8>>,
    length: u64,
}

impl End {
    /// The last whole line, and what stands after it.
    fn read(file: &mut File) -> io::Result<(Self, Vec<u8>)> {
        let length = file.metadata()?.len();
        // A batch is written at once: what is torn may be long.
        let from = length.saturating_sub((MAX_LINE * (BATCH + 2)) as u64);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(length - from).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let torn = bytes.split_off(whole);
        let line = bytes.strip_suffix(b"\n").map(|lines| {
            let start = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            lines[start..].to_vec()
        });
        Ok((Self { line, length: from + whole as u64 }, torn))
    }

    fn last_of(path: &Path) -> Result<Head, AuditError> {
        let failed = |error: io::Error| AuditError::Io { path: path.to_owned(), reason: error.to_string() };
        let (end, _) = Self::read(&mut File::open(path).map_err(failed)?).map_err(failed)?;
        head_of(&end.line.unwrap_or_default(), path)
    }

    fn first_of(path: &Path) -> Option<u64> {
        let mut start = Vec::new();
        File::open(path).ok()?.take(MAX_LINE as u64).read_to_end(&mut start).ok()?;
        let line = start.split(|byte| *byte == b'\n').next()?;
        read_line(line).ok().map(|(head, _)| head.seq)
    }
}
