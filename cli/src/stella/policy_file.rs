//! The policy of `--policy-file`, and what it says of findings.

use std::path::{Path, PathBuf};

use stella_api::finding::Finding;
use stella_domain::{Digest, Timestamp};
use stella_policy::{
    CompileError, Compiled, Context, Document, FindingInput, Format, ImageVerdict, Issue, VexStatement, evaluate, lint,
    parse,
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
    document: Document,
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
            let place = |issue: &Issue| issue.position.map(|at| format!(" (line {}, column {})", at.line, at.column));
            let told = |issue: &Issue| format!("{}{}: {}", issue.path, place(issue).unwrap_or_default(), issue.message);
            let issues: Vec<String> = issues.iter().map(told).collect();
            PolicyFileError::Invalid { path: path.to_owned(), issues: issues.join("; ") }
        })?;
        for issue in odd.into_iter().chain(lint(&document, now)) {
            terminal::note(format!("policy {}: {}", issue.path, issue.message));
        }
        let compiled = Compiled::new(path.display().to_string(), 0, &document)
            .map_err(|source| PolicyFileError::Compile { path: path.to_owned(), source })?;
        Ok(Self { document, compiled })
    }

    /// The first rule, or the Rego, that asks for licences, which findings on the wire do not carry.
    #[must_use]
    pub fn rule_on_licences(&self) -> Option<&str> {
        let rego = self.document.rego.as_deref().filter(|source| source.contains("licenses")).map(|_| "verdict");
        self.document.rules.iter().find(|rule| !rule.licenses.is_empty()).map(|rule| rule.name.as_str()).or(rego)
    }

    /// Writes a verdict into each finding; `licences` are those of the findings' packages, in the same order.
    ///
    /// # Errors
    /// When a verdict has no JSON form.
    pub fn judge(
        &self,
        findings: &mut [Finding],
        licences: Vec<Vec<String>>,
        context: &Context,
    ) -> Result<ImageVerdict, PolicyFileError> {
        let licences = licences.into_iter().chain(std::iter::repeat(Vec::new()));
        let inputs: Vec<FindingInput> =
            findings.iter().zip(licences).map(|(finding, licences)| input(finding, licences)).collect();
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
fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn input(finding: &Finding, licences: Vec<String>) -> FindingInput {
    let statement = finding.vex.as_ref().and_then(|vex| serde_json::from_value::<VexStatement>(vex.clone()).ok());
    FindingInput {
        advisory_ids: finding.aliases.iter().chain([&finding.advisory_id]).cloned().collect(),
        source: finding.sources.first().cloned(),
        package: finding.package.name.clone(),
        version: finding.package.version.clone(),
        purl: Some(finding.package.purl.clone()),
        path: Some(finding.location.path.clone()),
        layer: finding.location.layer,
        licenses: licences,
        reachability: finding.reachability.status,
        kev: finding.kev,
        epss: finding.epss,
        fix_available: !finding.fixed_in.is_empty(),
        vex: statement.into_iter().collect(),
        ..FindingInput::new(finding.finding_id.as_str(), finding.severity)
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
