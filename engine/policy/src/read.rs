//! From a decoded tree to the typed model, noting every issue with its JSONPath.

mod action;
mod fields;
pub(crate) use fields::{MAX_TEXT_BYTES, MAX_TEXTS};
mod rule;
mod scoring;
mod waiver;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::{DOCUMENT_VERSION, Document};
use crate::issue::{Issue, IssueCode};
use crate::parse::MAX_DOCUMENT_BYTES;
use fields::Fields;

/// Most rules, and most waivers, of a document.
pub(crate) const MAX_ENTRIES: usize = 2000;

pub(crate) fn document(value: &Value, issues: &mut Vec<Issue>) -> Document {
    const KNOWN: &[&str] = &["version", "description", "environments", "rules", "rego", "scoring", "waivers"];
    let Some(mut fields) = Fields::of(value, "$".to_owned(), KNOWN, issues) else {
        return Document::default();
    };
    version(&mut fields);
    let rego = rego(&mut fields);
    Document {
        version: DOCUMENT_VERSION.to_owned(),
        description: fields.text("description"),
        environments: fields.texts("environments"),
        rules: if rego.is_some() { Vec::new() } else { rules(&mut fields) },
        rego,
        scoring: scoring::scoring(&mut fields),
        waivers: waivers(&mut fields),
    }
}

/// `version: 1.0` without quotes is a number in YAML and means the same.
fn version(fields: &mut Fields<'_, '_>) {
    let path = fields.path_of("version");
    match fields.get("version") {
        None => {
            let message = format!("No version is given; {DOCUMENT_VERSION} is assumed");
            fields.note(IssueCode::VersionMissing, path, message);
        }
        Some(Value::String(text)) if text == DOCUMENT_VERSION => {}
        Some(Value::Number(number)) if number.as_f64() == Some(1.0) => {}
        Some(other) => {
            let message = format!("Unsupported version {other}; this release reads \"{DOCUMENT_VERSION}\"");
            fields.note(IssueCode::VersionUnsupported, path, message);
        }
    }
}

/// A Rego source in place of rules.
fn rego(fields: &mut Fields<'_, '_>) -> Option<String> {
    let source = fields.long_text("rego", MAX_DOCUMENT_BYTES)?;
    fields.issues().extend(crate::rego::check(&source));
    if fields.get("rules").is_some_and(|rules| rules.as_array().is_none_or(|rules| !rules.is_empty())) {
        let path = fields.path_of("rules");
        fields.note(IssueCode::RegoWithRules, path, "A document has either rules or rego");
    }
    Some(source)
}

fn rules(fields: &mut Fields<'_, '_>) -> Vec<crate::Rule> {
    let entries = fields.entries("rules", MAX_ENTRIES);
    if entries.is_empty() {
        let path = fields.path_of("rules");
        fields.note(IssueCode::RulesEmpty, path, "There is no rule; every finding passes");
    }
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for (path, value) in entries {
        let found = rule::rule(value, &path, fields.issues());
        if let Some(rule) = &found
            && !names.insert(rule.name.clone())
        {
            let message = format!("Another rule is named '{}'", rule.name);
            fields.note(IssueCode::RuleNameDuplicate, format!("{path}.name"), message);
        }
        rules.extend(found);
    }
    rules
}

fn waivers(fields: &mut Fields<'_, '_>) -> Vec<crate::Waiver> {
    let mut ids = BTreeSet::new();
    let mut waivers = Vec::new();
    for (path, value) in fields.entries("waivers", MAX_ENTRIES) {
        let found = waiver::waiver(value, &path, fields.issues());
        if let Some(waiver) = &found
            && !ids.insert(waiver.id.clone())
        {
            let message = format!("Another waiver has the id '{}'", waiver.id);
            fields.note(IssueCode::WaiverIdDuplicate, format!("{path}.id"), message);
        }
        waivers.extend(found);
    }
    waivers
}
