//! Text to document: YAML or JSON, within limits, with everything that is wrong said at once.

use serde_json::Value;

use crate::document::Document;
use crate::issue::{Issue, IssueCode, Position};
use crate::json::Unique;
use crate::position::locate;
use crate::read::document;

/// Longest text of a policy document in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// YAML 1.2, one document, no merge keys, few aliases.
    Yaml,
    /// JSON (RFC 8259), no key twice.
    Json,
    /// Rego v1, package `stella.policy` (docs/rego.md).
    Rego,
}

/// What was understood of a text, and what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The parts that could be read; a rule with an error in it is left out.
    pub document: Document,
    /// In the order of the document.
    pub issues: Vec<Issue>,
}

impl Parsed {
    /// Whether an issue keeps the document from becoming active.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.issues.iter().any(|issue| issue.blocking)
    }

    /// The document, if it may become active.
    ///
    /// # Errors
    /// The blocking issues.
    pub fn accept(self) -> Result<Document, Vec<Issue>> {
        if self.is_blocked() {
            return Err(self.issues.into_iter().filter(|issue| issue.blocking).collect());
        }
        Ok(self.document)
    }
}

/// Parses `text`, of at most [`MAX_DOCUMENT_BYTES`].
#[must_use]
pub fn parse(text: &str, format: Format) -> Parsed {
    match value(text, format) {
        Ok(value) => {
            let mut parsed = parse_value(&value);
            if format != Format::Rego {
                // Those of Rego within count from where its source begins; their message keeps them.
                parsed.issues.iter_mut().for_each(|issue| issue.position = None);
                locate(&mut parsed.issues, text, yaml_limits());
            }
            parsed
        }
        Err(issue) => Parsed { document: Document::default(), issues: vec![issue] },
    }
}

/// Reads a document that was already decoded, for example the spec of an object of the cluster.
#[must_use]
pub fn parse_value(value: &Value) -> Parsed {
    let mut issues = Vec::new();
    let document = document(value, &mut issues);
    Parsed { document, issues }
}

fn value(text: &str, format: Format) -> Result<Value, Issue> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("The document has {} bytes; {MAX_DOCUMENT_BYTES} are allowed", text.len());
        return Err(Issue::new(IssueCode::TooLarge, "$", message));
    }
    match format {
        Format::Json => {
            let read = serde_json::from_str(text).map(|Unique(value)| value);
            read.map_err(|error| {
                let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                let at = Position { line: number(error.line()), column: number(error.column()) };
                Issue::new(IssueCode::JsonSyntax, "$", error.to_string()).at(at)
            })
        }
        Format::Yaml => {
            serde_saphyr::from_str_with_options(text, yaml_limits()).map(|Unique(value)| value).map_err(|error| {
                let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
                let issue = Issue::new(IssueCode::YamlSyntax, "$", error.to_string());
                let at = error.location().map(|at| Position { line: number(at.line()), column: number(at.column()) });
                Issue { position: at, ..issue }
            })
        }
        Format::Rego => Ok(serde_json::json!({"version": crate::DOCUMENT_VERSION, "rego": text})),
    }
}

/// A policy needs few aliases; a text that needs more than these is an attack on whoever reads it.
fn yaml_limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 100,
            max_anchors: 100,
            max_depth: 32,
            max_documents: 1,
            max_events: 400_000,
            max_nodes: 200_000,
            max_total_scalar_bytes: 2 * MAX_DOCUMENT_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 100,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests;
