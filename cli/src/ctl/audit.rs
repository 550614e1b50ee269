//! `stellopsctl audit verify`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use stella_authority::audit::{Head, Place, verify_files};

use super::CtlError;
use crate::exit::Outcome;
use crate::terminal;

/// Why there is no log to verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFileError {
    /// A file or folder cannot be read.
    #[error("cannot read '{path}'")]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no log in the folder.
    #[error("there is no audit log in '{0}'")]
    Empty(PathBuf),
    /// It is no head.
    #[error("'{0}' holds no head of an audit log")]
    Head(PathBuf),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Head>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Head>,
    #[serde(skip_serializing_if = "Option::is_none")]
    torn_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Checks the chain in `paths`. One that does not hold is the answer no.
pub(super) fn verify(paths: &[PathBuf], head: Option<&Path>, json: bool) -> Result<Outcome, CtlError> {
    let (files, beside) = files(paths)?;
    let head = head.map(read_head).transpose()?.or(beside);
    let checked = verify_files(&files, head.as_ref());
    let verification = match &checked {
        Ok(good) => Verification {
            verified: true,
            lines: Some(good.lines),
            after: Some(good.after.clone()),
            last: Some(good.last.clone()),
            torn_bytes: (good.torn > 0).then_some(good.torn),
            reason: None,
        },
        Err((path, broken)) => Verification {
            verified: false,
            lines: None,
            after: None,
            last: None,
            torn_bytes: None,
            reason: Some(format!("{}: {broken}", path.display())),
        },
    };
    if json {
        terminal::print_json(&verification)?;
    } else {
        terminal::print(told(&verification, head.is_some()).as_bytes())?;
    }
    Ok(Outcome::of(verification.verified))
}

fn told(of: &Verification, compared: bool) -> String {
    let (Some(lines), Some(after), Some(last)) = (of.lines, &of.after, &of.last) else {
        let reason = of.reason.as_deref().unwrap_or_default();
        return format!("not verified: {}\n", terminal::printable(reason));
    };
    let mut text = format!(
        "verified: {lines} lines, numbers {} to {}, the last with hash {}\n",
        after.seq + 1,
        last.seq,
        last.hash
    );
    if after.seq > 0 {
        text += &format!("the log begins after number {}: earlier files were not given\n", after.seq);
    }
    if let Some(bytes) = of.torn_bytes {
        text += &format!("{bytes} bytes follow of a line that was never finished, nor confirmed to anybody\n");
    }
    if !compared {
        text += "nothing was kept elsewhere to compare with: an end that was cut off would not be found (--head)\n";
    }
    text
}

/// The files of a log, and the head beside them where a folder is given.
fn files(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Option<Head>), AuditFileError> {
    let [folder] = paths else { return Ok((paths.to_vec(), None)) };
    if !folder.is_dir() {
        return Ok((paths.to_vec(), None));
    }
    let place = Place::new(folder);
    let files = place.files().map_err(|source| AuditFileError::Read { path: folder.clone(), source })?;
    if files.is_empty() {
        return Err(AuditFileError::Empty(folder.clone()));
    }
    Ok((files, place.kept_head()))
}

fn read_head(path: &Path) -> Result<Head, AuditFileError> {
    let text = std::fs::read(path).map_err(|source| AuditFileError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|_| AuditFileError::Head(path.to_owned()))
}
