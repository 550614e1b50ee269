//! `stellopsctl policy export|validate|history`.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use stella_api::client::Client;
use stella_policy::{Compiled, Issue, Parsed, lint, parse};
use stella_service::clock::Clock;

use super::CtlError;
use crate::exit::Outcome;
use crate::stella::PolicyText;
use crate::{render, terminal};

/// What the history shows of a revision; the difference between two is for JSON.
const COLUMNS: [&str; 5] = ["revision", "digest", "actor", "time", "description"];

/// Prints the live rules, or those of one policy, as the server writes them.
pub(super) async fn export(client: &Client, name: Option<&str>) -> Result<Outcome, CtlError> {
    terminal::print(&client.export_policy(name).await?)?;
    Ok(Outcome::Passed)
}

/// Lists the revisions.
pub(super) async fn history(client: &Client, json: bool) -> Result<Outcome, CtlError> {
    let revisions = client.policy_history().await?;
    if json {
        terminal::print_json(&revisions)?;
    } else {
        let rows: Vec<Value> = revisions.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect();
        terminal::print(render::records(&rows, &COLUMNS).as_bytes())?;
    }
    Ok(Outcome::Passed)
}

#[derive(Serialize)]
struct Validation {
    valid: bool,
    rules: usize,
    issues: Vec<Issue>,
}

/// Checks a file with the engine that will evaluate it. An invalid one is the answer no.
pub(super) fn validate(file: &Path, json: bool) -> Result<Outcome, CtlError> {
    let PolicyText { text, format } = PolicyText::read(file)?;
    let Parsed { document, mut issues } = parse(&text, format);
    issues.extend(lint(&document, Clock::system().now()));
    let compiled = Compiled::new("validation", 0, &document);
    let valid = compiled.is_ok() && !issues.iter().any(|issue| issue.blocking);
    let validation = Validation { valid, rules: document.rules.len(), issues };
    if json {
        terminal::print_json(&validation)?;
    } else {
        let uncompiled = compiled.err().map(|error| format!("error: {error}\n"));
        terminal::print(format!("{}{}", uncompiled.unwrap_or_default(), tell(&validation)).as_bytes())?;
    }
    Ok(Outcome::of(valid))
}

fn tell(validation: &Validation) -> String {
    let mut text = String::new();
    for issue in &validation.issues {
        let severity = format!("{:?}", issue.severity).to_ascii_lowercase();
        let message = terminal::printable(&issue.message);
        text.push_str(&format!(
            "{severity}: {}: {message} ({})\n",
            terminal::printable(&issue.place()),
            issue.code.name()
        ));
    }
    let word = if validation.valid { "valid" } else { "invalid" };
    let rules = if validation.rules == 1 { "rule" } else { "rules" };
    text.push_str(&format!("{word}: {} {rules}\n", validation.rules));
    text
}
