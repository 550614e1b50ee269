//! The policy of `--policy-file`, and what it says of findings.

use std::path::{Path, PathBuf};

use stella_api::finding::Finding;
use stella_domain::{Digest, Timestamp};
use stella_judged::policy_input;
use stella_policy::{
    CompileError, Compiled, Context, FindingInput, Format, ImageVerdict, Issue, evaluate, lint, parse,
};

use crate::terminal;

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("cannot read policy '{path}'")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("policy '{path}' is invalid: {issues}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Places and what is wrong there.
        issues: String,
    },
    /// It cannot be compiled.
    #[error("policy '{path}' cannot be used")]
    Compile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CompileError,
    },
    /// A verdict that is no JSON.
    #[error("cannot write a verdict")]
    Verdict(#[from] serde_json::Error),
}

/// A policy ready to judge.
#[derive(Debug)]
pub struct PolicyFile {
    compiled: Compiled,
}

/// A policy file as text, with its format.
#[derive(Debug)]
pub struct PolicyText {
    /// The text.
    pub text: String,
    /// How it is written.
    pub format: Format,
}

impl PolicyText {
    /// Reads `path`. JSON begins with a brace, Rego with its package.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self, PolicyFileError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyFileError::Read { path: path.to_owned(), source })?;
        if path.extension().is_some_and(|extension| extension == "rego") || begins_with_package(&text) {
            return Ok(Self { text, format: Format::Rego });
        }
        let format = if text.trim_start().starts_with('{') { Format::Json } else { Format::Yaml };
        Ok(Self { text, format })
    }
}

fn begins_with_package(text: &str) -> bool {
    let code = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    code.is_some_and(|line| line.starts_with("package "))
}

impl PolicyFile {
    /// Reads and compiles `path`; what is odd about it, but no error, is told on standard error.
    ///
    /// # Errors
    /// When it cannot be read, or something in it is wrong.
    pub fn read(path: &Path, now: Timestamp) -> Result<Self, PolicyFileError> {
        let PolicyText { text, format } = PolicyText::read(path)?;
        let parsed = parse(&text, format);
        let odd: Vec<Issue> = parsed.issues.iter().filter(|issue| !issue.blocking).cloned().collect();
        let document = parsed.accept().map_err(|issues| {
            let issues: Vec<String> =
                issues.iter().map(|issue| format!("{}: {}", issue.place(), issue.message)).collect();
            PolicyFileError::Invalid { path: path.to_owned(), issues: issues.join("; ") }
        })?;
        for issue in odd.into_iter().chain(lint(&document, now)) {
            terminal::note(format!("policy {}: {}", issue.path, issue.message));
        }
        let compiled = Compiled::new(path.display().to_string(), 0, &document)
            .map_err(|source| PolicyFileError::Compile { path: path.to_owned(), source })?;
        Ok(Self { compiled })
    }

    /// Writes a verdict into each finding.
    ///
    /// # Errors
    /// When a verdict has no JSON form.
    pub fn judge(&self, findings: &mut [Finding], context: &Context) -> Result<ImageVerdict, PolicyFileError> {
        let inputs: Vec<FindingInput> = findings.iter().map(policy_input).collect();
        let evaluation = evaluate(std::slice::from_ref(&self.compiled), &inputs, context);
        for failure in &evaluation.failures {
            terminal::note(format!("policy {}: {}: the image counts as blocked", failure.policy, failure.error));
        }
        for (finding, verdict) in findings.iter_mut().zip(&evaluation.verdicts) {
            finding.verdict = serde_json::to_value(verdict)?;
        }
        Ok(evaluation.image)
    }
}

/// What policy is told of where an image is judged: its names and the time.
#[must_use]
pub fn context(image: &str, digest: Digest, now: Timestamp) -> Context {
    Context {
        image: Some(image.to_owned()),
        repository: Some(repository(image).to_owned()),
        digests: vec![digest],
        now,
        ..Context::default()
    }
}

/// The reference without digest and tag; a colon before the last slash belongs to the registry's port.
#[must_use]
pub fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_has_neither_tag_nor_digest() {
        let cases = [
            ("registry.local:5000/team/app:1.2", "registry.local:5000/team/app"),
            ("registry.local:5000/team/app", "registry.local:5000/team/app"),
            ("app:1@sha256:00", "app"),
            ("app", "app"),
        ];
        for (reference, name) in cases {
            assert_eq!(repository(reference), name);
        }
    }

    #[test]
    fn rego_is_told_by_its_package() {
        assert!(begins_with_package("# a policy\n\npackage stella.policy\n"));
        assert!(!begins_with_package("version: \"1.0\"\nrules: []\n"));
    }
}
