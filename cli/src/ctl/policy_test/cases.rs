//! Cases as data: findings of an image, and what a policy should say of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stella_domain::{Digest, Timestamp};
use stella_policy::{CompileError, Compiled, Context, FindingInput, evaluate, parse};

use super::{PolicyTestError, Ran, beside, text};
use crate::ctl::CtlError;
use crate::stella::PolicyText;

/// A file of cases: `NAME_test.json`, `.yaml` or `.yml`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cases {
    /// The policy, relative to the file; what lies beside it under the same name without it.
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
    environment: Option<String>,
    /// Paths of the processes that its containers were started with.
    #[serde(default)]
    entrypoints: Vec<String>,
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

/// Runs the cases of `file`, shown as `shown`; `now` is the instant of those that name none.
pub(super) fn run(file: &Path, shown: &str, now: Timestamp) -> Result<Vec<Ran>, CtlError> {
    let (cases, policy) = load(file)?;
    let ran = cases.into_iter().map(|case| {
        let failures = failures(&policy, &case, now);
        Ran {
            file: shown.to_owned(),
            path: case.name.clone(),
            case: case.name,
            passed: failures.is_empty(),
            skipped: false,
            broken: false,
            failures,
        }
    });
    Ok(ran.collect())
}

fn load(file: &Path) -> Result<(Vec<Case>, Compiled), CtlError> {
    let malformed = |reason: String| PolicyTestError::Cases { path: file.to_owned(), reason };
    let text = text(file)?;
    let json = file.extension().is_some_and(|extension| extension == "json");
    let cases: Result<Cases, String> = if json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        serde_saphyr::from_str(&text).map_err(|error| error.to_string())
    };
    let cases = cases.map_err(malformed)?;
    let path = match &cases.policy {
        Some(path) => file.with_file_name(path),
        None => beside(file, &["yaml", "yml", "json", "rego"])?,
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

fn failures(policy: &Compiled, case: &Case, now: Timestamp) -> Vec<String> {
    let context = Context {
        repository: case.image.as_deref().map(|image| crate::stella::repository(image).to_owned()),
        image: case.image.clone(),
        digests: case.digest.into_iter().collect(),
        environment: case.environment.clone(),
        entrypoints: case.entrypoints.clone(),
        now: case.now.unwrap_or(now),
    };
    let evaluation = evaluate(&[policy], &case.findings, &context);
    let mut failures: Vec<String> =
        evaluation.failures.iter().map(|failure| format!("the policy gave no answer: {}", failure.error)).collect();
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
