//! `stellopsctl runtime policy replay`: recorded admission decisions, made again.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stella_api::client::{Body, Client};
use stella_domain::Timestamp;
use stella_service::clock::Clock;
use stella_webhook::decision::{Inputs, Outcome as Ended, RECORD_SCHEMA, Record};
use stella_webhook::verdicts::{self, Bundle, BundleError, DiskError, View};

use super::args::{KeyArg, ReplayArgs};
use super::{CtlError, policy_life};
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
    /// The verdicts that the server would give cannot be read.
    #[error("the verdicts of the proposed policy cannot be read")]
    Proposed(#[source] DiskError),
    /// The server sends no text.
    #[error("the server's answer is not UTF-8")]
    Text(#[from] std::str::Utf8Error),
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

/// What the server was asked for.
#[derive(Default)]
pub(super) struct Fetched {
    /// The records that it keeps; absent where a file has them.
    records: Option<Bytes>,
    /// The verdicts of a proposed policy; absent where verdicts are in a file.
    proposed: Option<View>,
}

/// The file with what is to be compared with, where it holds a policy and no verdicts.
fn policy_in(wanted: &ReplayArgs) -> Option<&Path> {
    let path = wanted.against.as_deref().filter(|_| wanted.key.is_empty())?;
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    ["yaml", "yml", "json", "rego"].contains(&extension.as_str()).then_some(path)
}

/// Whether files do not have all that is wanted.
pub(super) fn asks_server(wanted: &ReplayArgs) -> bool {
    wanted.file.is_none() || policy_in(wanted).is_some()
}

/// Asks the server for what is in no file.
pub(super) async fn fetch(client: &Client, wanted: &ReplayArgs) -> Result<Fetched, CtlError> {
    let mut fetched = Fetched::default();
    if let Some(policy) = policy_in(wanted) {
        fetched.proposed = Some(proposed(client, policy_life::document(policy)?, wanted.replaces.as_deref()).await?);
    }
    if wanted.file.is_none() {
        fetched.records = Some(client.decisions(since(wanted)).await?);
    }
    Ok(fetched)
}

/// The verdicts that the server would give by a policy.
async fn proposed(client: &Client, policy: Body, replaces: Option<&str>) -> Result<View, CtlError> {
    let bytes = client.policy_verdicts(policy, replaces).await?;
    let text = std::str::from_utf8(&bytes).map_err(ReplayError::from)?;
    Ok(verdicts::parse(text).map_err(ReplayError::Proposed)?.view)
}

fn since(wanted: &ReplayArgs) -> Option<Timestamp> {
    wanted.since.map(|since| since.at(Clock::system().now()))
}

/// Makes the decisions again, or compares them with what they would have been.
pub(super) fn run(wanted: &ReplayArgs, fetched: &Fetched, json: bool) -> Result<Outcome, CtlError> {
    let source = match (&wanted.file, &fetched.records) {
        (Some(file), _) => Source::File(file),
        (None, records) => Source::Kept(records.as_deref().unwrap_or_default()),
    };
    let records = Records { source, since: since(wanted) };
    match (&wanted.against, &fetched.proposed) {
        (_, Some(view)) => compare(&records, view, Concern::OwnTenant, json),
        (Some(path), None) => compare(&records, &held(path, &wanted.key)?, Concern::All, json),
        (None, None) => replay(&records),
    }
}

/// Prints each record as it follows from its inputs today. The answer no when one differs from what is recorded.
fn replay(records: &Records<'_>) -> Result<Outcome, CtlError> {
    let (mut count, mut differing) = (0_usize, 0_usize);
    records.each(&mut |recorded| {
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
    at: Timestamp,
    namespace: &'a str,
    name: &'a str,
    images: Vec<&'a str>,
    user: &'a str,
    before: &'static str,
    after: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Which records are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// All of them.
    All,
    /// Those of the tenant whose namespaces the verdicts know.
    OwnTenant,
}

impl Concern {
    fn has(self, record: &Record, view: &View) -> bool {
        let Inputs { namespace, tenant, .. } = &record.inputs;
        let known = view.namespace(namespace).map(|known| known.tenant.as_str());
        self == Self::All || known.is_some_and(|known| tenant.is_empty() || tenant == known)
    }
}

/// Prints what would have ended otherwise by the verdicts in `view`, those of a proposed policy. The answer no when there is any.
fn compare(records: &Records<'_>, view: &View, concern: Concern, json: bool) -> Result<Outcome, CtlError> {
    let (mut count, mut refused, mut opened, mut other, mut elsewhere) = (0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
    records.each(&mut |recorded| {
        if !concern.has(recorded, view) {
            elsewhere += 1;
            return Ok(());
        }
        count += 1;
        let after = recorded.against(view);
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
            images: recorded.turned(&after),
            user: &recorded.user,
            before: recorded.conclusion.outcome.name(),
            after: after.conclusion.outcome.name(),
            message: after.conclusion.message.as_deref(),
        };
        print(&change, json)
    })?;
    let changed = refused + opened + other;
    let same = count - changed;
    let more = if elsewhere > 0 { format!("; {elsewhere} of other tenants left out") } else { String::new() };
    terminal::note(format!(
        "{count} decisions: {refused} refused now, {opened} let in now, {other} otherwise, {same} the same{more}"
    ));
    Ok(Outcome::of(changed == 0))
}

fn print(change: &Change<'_>, json: bool) -> Result<(), CtlError> {
    if json {
        let mut line = serde_json::to_vec(change).map_err(ReplayError::from)?;
        line.push(b'\n');
        return Ok(terminal::print(&line)?);
    }
    let Change { at, namespace, name, images, before, after, .. } = change;
    let message = change.message.map(|message| format!(": {message}")).unwrap_or_default();
    let text = format!("{at} {namespace}/{name} {} {before} -> {after}{message}", images.join(","));
    Ok(terminal::print(format!("{}\n", terminal::printable(&text)).as_bytes())?)
}

/// The verdicts to compare with: a bundle where a key is given, else a file of updates.
fn held(path: &Path, keys: &[KeyArg]) -> Result<View, ReplayError> {
    if keys.is_empty() {
        let file = || ReplayError::File { path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
        return Ok(verdicts::load(path)?.ok_or_else(file)?.view);
    }
    let known = super::verdicts::load(keys)?;
    Ok(Bundle::verified(&verdicts::read_bundle(path)?, &known)?.bundled()?.view)
}

/// Where records are.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// In a file: one a line, bare or as it stands in the webhook's log. Other lines of a log are passed over.
    File(&'a Path),
    /// In what the server keeps. There may be none.
    Kept(&'a [u8]),
}

impl<'a> Source<'a> {
    fn path(self) -> &'a Path {
        match self {
            Self::File(path) => path,
            Self::Kept(_) => Path::new("(the server)"),
        }
    }

    fn open(self) -> io::Result<Box<dyn io::Read + 'a>> {
        let reader: Box<dyn io::Read + 'a> = match self {
            Self::File(path) if path == Path::new("-") => Box::new(io::stdin()),
            Self::File(path) => Box::new(std::fs::File::open(path)?),
            Self::Kept(bytes) => Box::new(bytes),
        };
        Ok(reader)
    }
}

/// Records, from some time on.
struct Records<'a> {
    source: Source<'a>,
    since: Option<Timestamp>,
}

impl Records<'_> {
    /// Gives each of them to `take`.
    fn each(&self, take: &mut impl FnMut(&Record) -> Result<(), CtlError>) -> Result<(), CtlError> {
        let path = self.source.path();
        let failed = |source| ReplayError::File { path: path.to_owned(), source };
        let mut reader = BufReader::new(self.source.open().map_err(failed)?);
        let (mut line, mut number, mut found) = (Vec::new(), 0, matches!(self.source, Source::Kept(_)));
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
                if self.since.is_none_or(|since| record.at >= since) {
                    take(&record)?;
                }
            }
        }
        if found { Ok(()) } else { Err(ReplayError::None(path.to_owned()).into()) }
    }
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
