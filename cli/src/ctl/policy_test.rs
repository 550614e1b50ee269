//! `stellopsctl policy test`: what a folder says of the policies in it, without a server.
//!
//! `NAME_test.json`, `.yaml` and `.yml` hold cases, `NAME_test.rego` tests as `opa test` runs them; `NAME` is the policy beside
//! the file. Folders within the folder are looked through.

mod cases;

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Serialize;
use stella_policy::{RegoTestOutcome, rego_tests};
use stella_service::clock::Clock;

use super::CtlError;
use crate::exit::Outcome;
use crate::terminal;

/// The largest file of tests that is read, in bytes.
const MOST: u64 = 16 * 1024 * 1024;
/// How deep folders within folders are looked through.
const DEPTH: usize = 32;

/// Why tests cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyTestError {
    /// The folder or a file.
    #[error("cannot read '{path}'")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of tests is malformed.
    #[error("'{path}' is no file of tests: {reason}")]
    Cases {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A policy cannot be used.
    #[error("policy '{path}' cannot be used: {reason}")]
    Policy {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The folder has none.
    #[error("there is no *_test.json, *_test.yaml or *_test.rego in '{0}'")]
    None(PathBuf),
    /// No test has such a name.
    #[error("no test has a name that '{0}' matches")]
    Filtered(String),
}

/// What came of a test.
#[derive(Serialize)]
struct Ran {
    file: String,
    case: String,
    /// What `--run` is compared with.
    #[serde(skip)]
    path: String,
    passed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skipped: bool,
    /// Whether it could not be run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    broken: bool,
    failures: Vec<String>,
}

impl Ran {
    const fn word(&self) -> &'static str {
        match self {
            Self { passed: true, .. } => "PASS",
            Self { skipped: true, .. } => "SKIPPED",
            Self { broken: true, .. } => "ERROR",
            _ => "FAIL",
        }
    }
}

/// Runs every test whose name `only` matches, of Rego the whole name with the package; one that fails is the answer no.
pub(super) fn run(folder: &Path, only: Option<&Regex>, json: bool) -> Result<Outcome, CtlError> {
    let now = Clock::system().now();
    let mut ran = Vec::new();
    for file in files(folder)? {
        let shown = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        if file.extension().is_some_and(|extension| extension == "rego") {
            ran.extend(rego(&file, &shown)?);
        } else {
            ran.extend(cases::run(&file, &shown, now)?);
        }
    }
    if let Some(only) = only {
        ran.retain(|ran| only.is_match(&ran.path));
        if ran.is_empty() {
            return Err(PolicyTestError::Filtered(only.to_string()).into());
        }
    }
    if json {
        terminal::print_json(&ran)?;
    } else {
        terminal::print(told(&ran).as_bytes())?;
    }
    Ok(Outcome::of(ran.iter().all(|ran| ran.passed || ran.skipped)))
}

fn told(ran: &[Ran]) -> String {
    let mut text = String::new();
    for ran in ran {
        let (file, case) = (terminal::printable(&ran.file), terminal::printable(&ran.case));
        text.push_str(&format!("{}: {file}: {case}\n", ran.word()));
        for failure in &ran.failures {
            text.push_str(&format!("  {}\n", terminal::printable(failure)));
        }
    }
    let passed = ran.iter().filter(|ran| ran.passed).count();
    let skipped = ran.iter().filter(|ran| ran.skipped).count();
    let also = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    text.push_str(&format!("{passed} of {} passed{also}\n", ran.len()));
    text
}

/// Runs the tests of a file in Rego.
fn rego(file: &Path, shown: &str) -> Result<Vec<Ran>, PolicyTestError> {
    let path = beside(file, &["rego"])?;
    let ran = rego_tests(&text(&path)?, &text(file)?);
    let ran = ran.map_err(|error| PolicyTestError::Cases { path: file.to_owned(), reason: error.to_string() })?;
    let told = ran.into_iter().map(|test| Ran {
        file: shown.to_owned(),
        case: test.name,
        path: test.path,
        passed: test.outcome == RegoTestOutcome::Passed,
        skipped: test.outcome == RegoTestOutcome::Skipped,
        broken: matches!(test.outcome, RegoTestOutcome::Broken(_)),
        failures: match test.outcome {
            RegoTestOutcome::Broken(reason) => vec![reason],
            RegoTestOutcome::Passed | RegoTestOutcome::Failed | RegoTestOutcome::Skipped => Vec::new(),
        },
    });
    Ok(told.collect())
}

/// Every file of tests in `folder` and in the folders within it, by path. Links to folders and hidden folders are left alone.
fn files(folder: &Path) -> Result<Vec<PathBuf>, PolicyTestError> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let unreadable = |source| PolicyTestError::Read { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().map_err(unreadable)?.is_dir() {
                if depth < DEPTH && !name.starts_with('.') {
                    folders.push((path, depth + 1));
                }
            } else if name.rsplit_once('.').is_some_and(|(stem, extension)| {
                stem.ends_with("_test") && ["json", "yaml", "yml", "rego"].contains(&extension)
            }) {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() { Err(PolicyTestError::None(folder.to_owned())) } else { Ok(files) }
}

/// The policy of `NAME_test.EXTENSION`: `NAME` with the first of `extensions` that is there.
fn beside(file: &Path, extensions: &[&str]) -> Result<PathBuf, PolicyTestError> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = stem.strip_suffix("_test").unwrap_or(&stem);
    let candidates = extensions.iter().map(|extension| file.with_file_name(format!("{name}.{extension}")));
    candidates.into_iter().find(|path| path.exists()).ok_or_else(|| PolicyTestError::Cases {
        path: file.to_owned(),
        reason: format!("no policy lies beside it: {name}.{}", extensions.join(&format!(", {name}."))),
    })
}

fn text(file: &Path) -> Result<String, PolicyTestError> {
    let unreadable = |source| PolicyTestError::Read { path: file.to_owned(), source };
    if std::fs::metadata(file).map_err(unreadable)?.len() > MOST {
        let reason = format!("larger than {MOST} bytes");
        return Err(PolicyTestError::Cases { path: file.to_owned(), reason });
    }
    std::fs::read_to_string(file).map_err(unreadable)
}
