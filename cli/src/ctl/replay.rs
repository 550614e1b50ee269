//! `stellopsctl runtime policy replay`: recorded admission decisions, made again.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stella_webhook::decision::{Outcome as Ended, RECORD_SCHEMA, Record};
use stella_webhook::verdicts::{self, Bundle, BundleError, DiskError, View};

use super::CtlError;
use super::args::KeyArg;
use crate::exit::Outcome;
use crate::terminal;

/// Longest line in bytes: a decision on an object with thousands of images.
const LONGEST: usize = 32 * 1024 * 1024;
/// What stands before a record in the webhook's log.
const IN_LOG: &str = " stella_webhook::decision: decision record=";

/// Why decisions cannot be made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read '{path}'")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no record.
    #[error("line {line} of '{path}' is no recorded decision: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// There is no record in the file.
    #[error("there is no recorded decision in '{0}'")]
    None(PathBuf),
    /// The verdicts to compare with cannot be read.
    #[error("--against: {0}")]
    Verdicts(#[from] DiskError),
    /// The bundle to compare with does not hold.
    #[error("--against: {0}")]
    Bundle(#[from] BundleError),
    /// The key of a bundle cannot be read.
    #[error(transparent)]
    Key(#[from] stella_attest::key_file::KeyFileError),
    /// A record cannot be written.
    #[error("a record cannot be written")]
    Json(#[from] serde_json::Error),
}

/// Prints each record as it follows from its inputs today. The answer no when one differs from what is recorded.
pub(super) fn replay(file: &Path) -> Result<Outcome, CtlError> {
    let (mut count, mut differing) = (0_usize, 0_usize);
    each_record(file, &mut |recorded| {
        let replayed = recorded.replayed();
        count += 1;
        if replayed.conclusion != recorded.conclusion {
            differing += 1;
            let Record { uid, at, .. } = recorded;
            terminal::note(format!("differs: {} of {at}", terminal::printable(uid)));
        }
        let mut line = serde_json::to_vec(&replayed).map_err(ReplayError::from)?;
        line.push(b'\n');
        Ok(terminal::print(&line)?)
    })?;
    terminal::note(format!("{count} decisions, {differing} differ"));
    Ok(Outcome::of(differing == 0))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    at: stella_domain::Timestamp,
    namespace: &'a str,
    name: &'a str,
    user: &'a str,
    before: &'static str,
    after: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Prints what would have ended otherwise by the verdicts in `against`, those of a proposed policy. It is not a question
/// with yes or no: the exit code says only that it was answered.
pub(super) fn compare(file: &Path, against: &Path, keys: &[KeyArg], json: bool) -> Result<Outcome, CtlError> {
    let view = proposed(against, keys)?;
    let (mut count, mut refused, mut opened, mut other) = (0_usize, 0_usize, 0_usize, 0_usize);
    each_record(file, &mut |recorded| {
        count += 1;
        let after = recorded.against(&view);
        if after.conclusion.outcome == recorded.conclusion.outcome {
            return Ok(());
        }
        match (recorded.conclusion.outcome, after.conclusion.outcome) {
            (_, Ended::Denied) => refused += 1,
            (Ended::Denied, _) => opened += 1,
            _ => other += 1,
        }
        let change = Change {
            at: recorded.at,
            namespace: &recorded.inputs.namespace,
            name: &recorded.name,
            user: &recorded.user,
            before: recorded.conclusion.outcome.name(),
            after: after.conclusion.outcome.name(),
            message: after.conclusion.message.as_deref(),
        };
        print(&change, json)
    })?;
    let same = count - refused - opened - other;
    terminal::note(format!(
        "{count} decisions: {refused} refused now, {opened} let in now, {other} otherwise, {same} the same"
    ));
    Ok(Outcome::Passed)
}

fn print(change: &Change<'_>, json: bool) -> Result<(), CtlError> {
    if json {
        let mut line = serde_json::to_vec(change).map_err(ReplayError::from)?;
        line.push(b'\n');
        return Ok(terminal::print(&line)?);
    }
    let Change { at, namespace, name, before, after, .. } = change;
    let message = change.message.map(|message| format!(": {message}")).unwrap_or_default();
    let text = format!("{at} {namespace}/{name} {before} -> {after}{message}");
    Ok(terminal::print(format!("{}\n", terminal::printable(&text)).as_bytes())?)
}

/// The verdicts to compare with: a bundle where a key is given, else a file of updates.
fn proposed(path: &Path, keys: &[KeyArg]) -> Result<View, ReplayError> {
    if keys.is_empty() {
        let file = || ReplayError::File { path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
        return Ok(verdicts::load(path)?.ok_or_else(file)?.view);
    }
    let known = super::verdicts::load(keys)?;
    Ok(Bundle::verified(&verdicts::read_bundle(path)?, &known)?.bundled()?.view)
}

/// Gives each record of a file to `take`: one a line, bare or as it stands in the webhook's log. Other lines of a log are
/// passed over.
fn each_record(path: &Path, take: &mut impl FnMut(&Record) -> Result<(), CtlError>) -> Result<(), CtlError> {
    let failed = |source| ReplayError::File { path: path.to_owned(), source };
    let file = if path == Path::new("-") {
        Box::new(io::stdin()) as Box<dyn io::Read>
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    let (mut reader, mut line, mut number, mut found) = (BufReader::new(file), Vec::new(), 0, false);
    loop {
        line.clear();
        number += 1;
        let limited = &mut io::Read::take(&mut reader, LONGEST as u64 + 1);
        if limited.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let wrong = |reason: String| ReplayError::Line { path: path.to_owned(), line: number, reason };
        if line.len() > LONGEST {
            return Err(wrong(format!("more than {LONGEST} bytes")).into());
        }
        if let Some(record) = record(&line).map_err(wrong)? {
            found = true;
            take(&record)?;
        }
    }
    if found { Ok(()) } else { Err(ReplayError::None(path.to_owned()).into()) }
}

/// What is wanted of a line of the log in JSON.
#[derive(Deserialize)]
struct Logged {
    level: Option<String>,
    record: Option<String>,
}

/// The record in a line; `None` in lines that have none.
fn record(line: &[u8]) -> Result<Option<Record>, String> {
    // Records are written in ASCII; what others said need not be UTF-8 at all.
    let Ok(text) = std::str::from_utf8(line) else { return Ok(None) };
    let text = text.trim();
    let bare = if text.starts_with('{') {
        match serde_json::from_str::<Logged>(text) {
            Ok(Logged { level: Some(_), record: Some(record) }) => record,
            // About something else.
            Ok(Logged { level: Some(_), record: None }) => return Ok(None),
            _ => text.to_owned(),
        }
    } else {
        let Some((_, logged)) = text.split_once(IN_LOG) else { return Ok(None) };
        match serde_json::Deserializer::from_str(logged).into_iter::<String>().next() {
            Some(Ok(record)) => record,
            _ => return Err("the log has changed it".to_owned()),
        }
    };
    let record: Record = serde_json::from_str(&bare).map_err(|error| error.to_string())?;
    if record.schema_version == RECORD_SCHEMA {
        Ok(Some(record))
    } else {
        Err(format!("its schema is not {RECORD_SCHEMA}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_decisions_are_passed_over_and_broken_ones_are_not() {
        for other in [
            &b"2026-01-01T00:00:00.000Z  INFO stella_webhook: break-glass asked for user=a record=b"[..],
            b"2026-01-01T00:00:00.000Z  WARN stella_webhook::server: review not answered uid=\" record=x\"",
            br#"{"timestamp":"2026-01-01T00:00:00.000Z","level":"INFO","message":"ready"}"#,
            b"\xff\xfe",
            b"",
        ] {
            assert!(record(other).unwrap().is_none(), "{}", String::from_utf8_lossy(other));
        }
        for broken in [
            &b"x stella_webhook::decision: decision record=\"{\\\"schemaVersion"[..],
            br#"{"schemaVersion":"zastava.admission.decision@v1"}"#,
            br#"{"level":"INFO","message":"decision","record":"{\"schemaVersion\":\"other\"}"}"#,
            b"{}",
        ] {
            assert!(record(broken).is_err(), "{}", String::from_utf8_lossy(broken));
        }
    }
}
