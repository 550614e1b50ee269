//! `stellopsctl policy test`: cases of a folder against the policies beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Timestamp};
use stella_policy::{CompileError, Compiled, Context, FindingInput, evaluate, parse};
use stella_service::clock::Clock;

use super::CtlError;
use crate::exit::Outcome;
use crate::stella::PolicyText;
use crate::terminal;

/// The largest file of cases that is read, in bytes.
const MOST: u64 = 16 * 1024 * 1024;

/// Why cases cannot be run.
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
    /// A file of cases is malformed.
    #[error("'{path}' is no file of cases: {reason}")]
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
    /// The folder has no cases.
    #[error("there is no *_test.json in '{0}'")]
    None(PathBuf),
}

/// A file of cases: `NAME_test.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cases {
    /// The policy, relative to the file; `NAME.yaml`, `NAME.yml` or `NAME.json` without it.
    #[serde(default)]
    policy: Option<PathBuf>,
    cases: Vec<Case>,
}

/// One case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    now: Option<Timestamp>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    digest: Option<Digest>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    findings: Vec<FindingInput>,
    expect: Expect,
}

/// What is expected; what is not named is not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expect {
    /// `pass`, `warn` or `blocked`.
    #[serde(default)]
    image: Option<String>,
    /// Status by finding's id.
    #[serde(default)]
    findings: BTreeMap<String, String>,
    /// Name of the deciding rule by finding's id.
    #[serde(default)]
    rules: BTreeMap<String, String>,
}

/// What came of a case.
#[derive(Serialize)]
struct Ran {
    file: String,
    case: String,
    passed: bool,
    failures: Vec<String>,
}

/// Runs every case; one that fails is the answer no.
pub(super) fn run(folder: &Path, json: bool) -> Result<Outcome, CtlError> {
    let now = Clock::system().now();
    let mut ran = Vec::new();
    for file in files(folder)? {
        let (cases, policy) = load(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for case in cases {
            let failures = failures(&policy, &case, now);
            ran.push(Ran { file: name.clone(), case: case.name, passed: failures.is_empty(), failures });
        }
    }
    let failed = ran.iter().filter(|ran| !ran.passed).count();
    if json {
        terminal::print_json(&ran)?;
    } else {
        let mut text = String::new();
        for ran in &ran {
            let word = if ran.passed { "PASS" } else { "FAIL" };
            text.push_str(&format!("{word}: {}: {}\n", terminal::printable(&ran.file), terminal::printable(&ran.case)));
            for failure in &ran.failures {
                text.push_str(&format!("  {}\n", terminal::printable(failure)));
            }
        }
        text.push_str(&format!("{} of {} passed\n", ran.len() - failed, ran.len()));
        terminal::print(text.as_bytes())?;
    }
    Ok(Outcome::of(failed == 0))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, PolicyTestError> {
    let unreadable = |source| PolicyTestError::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_test.json")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(PolicyTestError::None(folder.to_owned())) } else { Ok(files) }
}

fn load(file: &Path) -> Result<(Vec<Case>, Compiled), CtlError> {
    let malformed = |reason: String| PolicyTestError::Cases { path: file.to_owned(), reason };
    let unreadable = |source| PolicyTestError::Read { path: file.to_owned(), source };
    if std::fs::metadata(file).map_err(unreadable)?.len() > MOST {
        return Err(malformed(format!("larger than {MOST} bytes")).into());
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let cases: Cases = serde_json::from_str(&text).map_err(|e| malformed(e.to_string()))?;
    let path = match &cases.policy {
        Some(path) => file.with_file_name(path),
        None => {
            beside(file).ok_or_else(|| malformed("it names no policy, and none of its name lies beside it".into()))?
        }
    };
    let text = PolicyText::read(&path)?;
    let unusable = |reason: String| PolicyTestError::Policy { path: path.clone(), reason };
    let document = parse(&text.text, text.format).accept().map_err(|issues| {
        let issues: Vec<String> = issues.iter().map(|issue| format!("{}: {}", issue.place(), issue.message)).collect();
        unusable(issues.join("; "))
    })?;
    let compiled = Compiled::new(path.display().to_string(), 0, &document);
    Ok((cases.cases, compiled.map_err(|e: CompileError| unusable(e.to_string()))?))
}

/// `NAME.yaml`, `NAME.yml` or `NAME.json` of `NAME_test.json`.
fn beside(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_string_lossy().into_owned();
    let stem = name.strip_suffix("_test.json")?;
    let candidates = ["yaml", "yml", "json"].map(|extension| file.with_file_name(format!("{stem}.{extension}")));
    candidates.into_iter().find(|path| path.exists())
}

fn failures(policy: &Compiled, case: &Case, now: Timestamp) -> Vec<String> {
    let context = Context {
        repository: case.image.as_deref().map(|image| crate::stella::repository(image).to_owned()),
        image: case.image.clone(),
        digests: case.digest.into_iter().collect(),
        namespace: case.namespace.clone(),
        environment: case.environment.clone(),
        now: case.now.unwrap_or(now),
        ..Context::default()
    };
    let evaluation = evaluate(&[policy], &case.findings, &context);
    let mut failures = Vec::new();
    if let Some(wanted) = case.expect.image.as_deref().filter(|wanted| *wanted != evaluation.image.name()) {
        failures.push(format!("image: expected {wanted}, got {}", evaluation.image.name()));
    }
    let verdict = |id: &str| evaluation.verdicts.iter().find(|verdict| verdict.finding_id == id);
    for (id, wanted) in &case.expect.findings {
        let got = verdict(id).map_or("no such finding", |verdict| verdict.status.name());
        if got != wanted {
            failures.push(format!("{id}: expected {wanted}, got {got}"));
        }
    }
    for (id, wanted) in &case.expect.rules {
        let got = verdict(id).and_then(|verdict| verdict.rule_name.as_deref()).unwrap_or("no rule");
        if got != wanted {
            failures.push(format!("{id}: expected rule '{wanted}', got '{got}'"));
        }
    }
    failures
}
