//! `stellopsctl policy import|rollback|diff`.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use stella_api::client::{Body, Client};
use stella_api::policy::{Impact, ImpactCounts, PolicyInForce, RollbackRequest};
use stella_policy::Format;

use super::CtlError;
use crate::exit::Outcome;
use crate::stella::PolicyText;
use crate::{render, terminal};

/// Changes that are shown; JSON has them all.
const SHOWN: usize = 20;

/// The rules of a file, as the server takes them.
pub(super) fn document(file: &Path) -> Result<Body, CtlError> {
    let PolicyText { text, format } = PolicyText::read(file)?;
    let media_type = match format {
        Format::Json => "application/json",
        Format::Yaml => "application/yaml",
        Format::Rego => "application/vnd.stella.policy+rego",
    };
    Ok(Body::Bytes(media_type, text.into()))
}

/// Puts the rules of a file into force.
pub(super) async fn import(
    client: &Client,
    file: &Path,
    if_match: Option<&str>,
    description: Option<&str>,
    json: bool,
) -> Result<Outcome, CtlError> {
    in_force(client.import_policy(document(file)?, if_match, description).await?, json)
}

/// Puts an earlier revision into force again.
pub(super) async fn rollback(
    client: &Client,
    revision: &str,
    description: Option<&str>,
    json: bool,
) -> Result<Outcome, CtlError> {
    let request = RollbackRequest { revision: revision.to_owned(), description: description.map(str::to_owned) };
    in_force(client.roll_back_policy(&request).await?, json)
}

fn in_force(answer: PolicyInForce, json: bool) -> Result<Outcome, CtlError> {
    if json {
        terminal::print_json(&answer)?;
        return Ok(Outcome::Passed);
    }
    for issue in &answer.issues {
        terminal::note(format!("{}: {} ({})", issue.path, issue.message, issue.code));
    }
    let word = if answer.changed { "in force" } else { "in force already" };
    terminal::print(
        format!("{} {word}, {} rules, {}\n", answer.revision, answer.rule_count, answer.digest).as_bytes(),
    )?;
    Ok(Outcome::Passed)
}

/// A row of what changes.
#[derive(Serialize)]
struct Row {
    image: String,
    namespace: String,
    verdict: String,
    findings: usize,
    example: String,
}

/// Shows what the rules of a file would change over everything the server knows. That something would be newly blocked is the
/// answer no.
pub(super) async fn diff(
    client: &Client,
    file: &Path,
    replaces: Option<&str>,
    json: bool,
) -> Result<Outcome, CtlError> {
    let impact = client.policy_impact(document(file)?, replaces).await?;
    if json {
        terminal::print_json(&impact)?;
    } else {
        terminal::print(tell(&impact).as_bytes())?;
    }
    let blocked = impact.namespaces.iter().map(|namespace| namespace.counts.newly_blocked).sum::<usize>();
    Ok(Outcome::of(impact.totals.newly_blocked + blocked == 0))
}

fn tell(impact: &Impact) -> String {
    let counts = |counts: &ImpactCounts| {
        format!(
            "{} newly blocked, {} newly warned, {} freed, {} unchanged",
            counts.newly_blocked, counts.newly_warned, counts.freed, counts.unchanged
        )
    };
    let mut text = format!("{} images: {}\n", impact.images, counts(&impact.totals));
    for namespace in &impact.namespaces {
        let name = terminal::printable(&namespace.namespace);
        text.push_str(&format!("running in {name}: {}\n", counts(&namespace.counts)));
    }
    let rows: Vec<Value> = impact.changes.iter().take(SHOWN).map(row).collect();
    if !rows.is_empty() {
        text.push_str(&render::records(&rows, &["image", "namespace", "verdict", "findings", "example"]));
    }
    if impact.truncated || impact.changes.len() > SHOWN {
        text.push_str("more changes are in --json\n");
    }
    text
}

fn row(change: &stella_api::policy::ImageChange) -> Value {
    let example = change.examples.first();
    let example = example.map(|e| format!("{} {}: {} to {}", e.advisory_id, e.package, e.from, e.to));
    let row = Row {
        image: change.reference.clone().unwrap_or_else(|| change.image.to_string()),
        namespace: change.namespace.clone().unwrap_or_else(|| "(all)".to_owned()),
        verdict: format!("{} to {}", change.from, change.to),
        findings: change.findings,
        example: example.unwrap_or_default(),
    };
    serde_json::to_value(row).unwrap_or_default()
}
