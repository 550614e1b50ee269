//! Checking a chain, from outside.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::MAX_LINE;
use super::entry::{Head, canonical, hash};

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Number of lines.
    pub lines: u64,
    /// What the first line follows: [`Head::start`] for a whole log.
    pub after: Head,
    /// The last line.
    pub last: Head,
    /// Bytes of a line that was being written when the process ended.
    pub torn: usize,
}

/// A chain that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Broken {
    /// The line of the file, from 1.
    pub line: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(String),
    /// It is no entry at all.
    #[error("is no entry: {0}")]
    NoEntry(&'static str),
    /// Its content has another hash.
    #[error("was changed: its content does not have the hash {0}")]
    Changed(String),
    /// It does not follow the line before.
    #[error("does not follow the line before: a line was removed, inserted or moved (number {got}, expected {wanted})")]
    Unlinked {
        /// Its number.
        got: u64,
        /// The number expected.
        wanted: u64,
    },
    /// The end is missing.
    #[error("is the last one, number {last}, and number {head} was written: the end was cut off")]
    Truncated {
        /// Number of the last line.
        last: u64,
        /// Number that was kept elsewhere.
        head: u64,
    },
    /// The line that was kept elsewhere is another one.
    #[error("number {0} has another hash than the one kept elsewhere: the log was written anew")]
    Rewritten(u64),
}

/// Checks the chain in `input`. It has to follow `after` where that is given, and to hold the line `head` where that was
/// kept elsewhere. A last line without its end is no fault: nobody was told that it is there.
///
/// # Errors
/// The first line that does not hold.
pub fn verify(input: impl BufRead, after: Option<&Head>, head: Option<&Head>) -> Result<Checked, Broken> {
    verify_to(input, after, head, true)
}

/// Checks files that follow each other, as rotation leaves them.
///
/// # Errors
/// The file, and the first line in it that does not hold.
pub fn verify_files(paths: &[PathBuf], head: Option<&Head>) -> Result<Checked, (PathBuf, Broken)> {
    let mut whole: Option<Checked> = None;
    for (at, path) in paths.iter().enumerate() {
        let wrong = |broken| (path.clone(), broken);
        let input = open(path).map_err(|error| wrong(Broken { line: 0, fault: Fault::Io(error.to_string()) }))?;
        let last = at + 1 == paths.len();
        let after = whole.as_ref().map(|checked| &checked.last);
        // A head of an earlier file was checked there.
        let checked = verify_to(input, after, head, last).map_err(wrong)?;
        if !last && checked.torn > 0 {
            return Err(wrong(Broken { line: checked.lines + 1, fault: Fault::NoEntry("it has no end") }));
        }
        whole = Some(match whole {
            None => checked,
            Some(before) => Checked { lines: before.lines + checked.lines, after: before.after, ..checked },
        });
    }
    Ok(whole.unwrap_or(Checked { lines: 0, after: Head::start(), last: Head::start(), torn: 0 }))
}

fn open(path: &Path) -> io::Result<BufReader<File>> {
    File::open(path).map(BufReader::new)
}

fn verify_to(
    mut input: impl BufRead,
    after: Option<&Head>,
    head: Option<&Head>,
    is_end: bool,
) -> Result<Checked, Broken> {
    let mut first = after.cloned();
    let mut last = after.cloned();
    let mut line = 0;
    let mut torn = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let broken = |fault| Broken { line: line + 1, fault };
        let limit = MAX_LINE as u64 + 1;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut bytes);
        if read.map_err(|error| broken(Fault::Io(error.to_string())))? == 0 {
            break;
        }
        if bytes.pop_if(|end| *end == b'\n').is_none() {
            if bytes.len() as u64 >= limit {
                return Err(broken(Fault::NoEntry("it is too long")));
            }
            torn = bytes.len();
            break;
        }
        let (entry, prev) = read_line(&bytes).map_err(broken)?;
        let before = last.get_or_insert_with(|| Head { seq: entry.seq.saturating_sub(1), hash: prev.clone() });
        if entry.seq == 0 || before.seq.checked_add(1) != Some(entry.seq) || before.hash != prev {
            return Err(broken(Fault::Unlinked { got: entry.seq, wanted: before.seq.saturating_add(1) }));
        }
        // The very first line follows nothing.
        if entry.seq == 1 && *before != Head::start() {
            return Err(broken(Fault::Unlinked { got: 1, wanted: 1 }));
        }
        first.get_or_insert_with(|| before.clone());
        if head.is_some_and(|head| head.seq == entry.seq && head.hash != entry.hash) {
            return Err(broken(Fault::Rewritten(entry.seq)));
        }
        *before = entry;
        line += 1;
    }
    let last = last.unwrap_or_else(Head::start);
    if let Some(head) = head.filter(|head| is_end && head.seq > last.seq) {
        return Err(Broken { line, fault: Fault::Truncated { last: last.seq, head: head.seq } });
    }
    Ok(Checked { lines: line, after: first.unwrap_or_else(Head::start), last, torn })
}

/// Number and hash of a line, and the hash of the one before.
pub(super) fn read_line(bytes: &[u8]) -> Result<(Head, String), Fault> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Fault::NoEntry("it is no JSON"))?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(given), Some(prev), Some(seq)) = (text("hash"), text("prev"), value.get("seq").and_then(Value::as_u64))
    else {
        return Err(Fault::NoEntry("it has no number or no hash"));
    };
    // Another spelling of the same content, or a member twice, is a change as well.
    if canonical(&value) != bytes || hash(&value) != given {
        return Err(Fault::Changed(given.chars().take(64).collect()));
    }
    Ok((Head { seq, hash: given }, prev))
}
