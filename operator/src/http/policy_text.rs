//! Policies as callers send them: YAML, JSON or Rego, whole documents.

use axum::http::{HeaderMap, header};
use stella_api::policy::{PolicyContent, PolicyIssue};
use stella_api::problem::FieldError;
use stella_domain::Timestamp;
use stella_policy::{Document, Format, Issue, IssueSeverity, Parsed, Waiver, lint, parse};

use super::error::ApiError;

/// A document with everything that is said of it.
#[derive(Debug)]
pub(super) struct Examined {
    pub document: Document,
    pub issues: Vec<Issue>,
}

impl Examined {
    pub fn of(text: &str, format: Format, now: Timestamp) -> Self {
        let Parsed { document, mut issues } = parse(text, format);
        issues.extend(lint(&document, now));
        Self { document, issues }
    }

    pub fn is_blocked(&self) -> bool {
        self.issues.iter().any(|issue| issue.blocking)
    }

    /// Takes it if it may become active.
    pub fn accept(self) -> Result<Self, ApiError> {
        let blocking = self.issues.iter().filter(|issue| issue.blocking);
        let errors = blocking.map(|issue| FieldError { path: issue.path.clone(), msg: issue.message.clone() });
        let mut errors: Vec<FieldError> = errors.collect();
        for (at, waiver) in self.document.waivers.iter().enumerate() {
            errors.extend(incomplete(waiver, &format!("$.waivers[{at}]")));
        }
        if errors.is_empty() { Ok(self) } else { Err(ApiError::fields("the policy cannot become active", errors)) }
    }

    pub fn wire_issues(&self) -> Vec<PolicyIssue> {
        self.issues.iter().map(wire_issue).collect()
    }

    pub fn count(&self, severity: IssueSeverity) -> usize {
        self.issues.iter().filter(|issue| issue.severity == severity).count()
    }
}

/// What every waiver has to say (policy.md) and this one does not.
pub(super) fn incomplete(waiver: &Waiver, path: &str) -> Vec<FieldError> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    let fields = [
        ("justification", given(&waiver.justification)),
        ("owner", given(&waiver.owner)),
        ("ticket", given(&waiver.ticket)),
        ("expires", waiver.expires.is_some()),
    ];
    let missing = fields.into_iter().filter(|(_, given)| !given);
    missing
        .map(|(name, _)| FieldError { path: format!("{path}.{name}"), msg: "A waiver needs it".to_owned() })
        .collect()
}

pub(super) fn wire_issue(issue: &Issue) -> PolicyIssue {
    PolicyIssue {
        code: issue.code.name().to_owned(),
        message: issue.message.clone(),
        severity: format!("{:?}", issue.severity),
        path: issue.path.clone(),
        line: issue.position.map(|position| position.line),
        column: issue.position.map(|position| position.column),
    }
}

/// The policy that a request's body is.
pub(super) fn body(headers: &HeaderMap, bytes: &[u8], now: Timestamp) -> Result<Examined, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::invalid("the policy is not UTF-8"))?;
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = match named.as_str() {
        "application/json" => Format::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Format::Yaml,
        "" | "text/plain" | "application/octet-stream" | "application/x-www-form-urlencoded" => told(text),
        other if other.contains("rego") => Format::Rego,
        other => {
            let message = format!("{other} is no policy; send YAML, JSON or Rego");
            return Err(ApiError::unsupported_media_type(message));
        }
    };
    Ok(Examined::of(text, format, now))
}

/// The policy inside a question.
pub(super) fn content(policy: &PolicyContent, now: Timestamp) -> Result<Examined, ApiError> {
    let format = match policy.format.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => told(&policy.content),
        Some("yaml") => Format::Yaml,
        Some("json") => Format::Json,
        Some("rego") => Format::Rego,
        Some(_) => return Err(ApiError::field("$.policy.format", "yaml, json and rego are taken")),
    };
    Ok(Examined::of(&policy.content, format, now))
}

/// The format of a text: JSON begins with a brace, Rego with its package.
fn told(text: &str) -> Format {
    let code = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    match code {
        Some(line) if line.starts_with("package ") => Format::Rego,
        Some(line) if line.starts_with('{') => Format::Json,
        _ => Format::Yaml,
    }
}
