//! `stellopsctl findings`.

use std::collections::BTreeSet;

use stella_api::client::{Client, FindingQuery};
use stella_api::console::ConsoleFinding;
use stella_domain::Severity;

use super::CtlError;
use super::args::FindingsArgs;
use super::workload::users;
use crate::exit::Outcome;
use crate::render::Grid;
use crate::terminal;

/// Users and paths that are named in a row; the rest is counted.
const NAMED: usize = 3;

/// Lists the findings that the flags ask for.
pub(super) async fn list(client: &Client, wanted: &FindingsArgs, json: bool) -> Result<Outcome, CtlError> {
    let query = FindingQuery {
        severity: wanted.severity.clone(),
        in_use: wanted.in_use,
        namespace: wanted.namespace.clone(),
        image: wanted.image.clone(),
    };
    let findings = client.findings(&query).await?;
    if json {
        terminal::print_json(&findings)?;
    } else {
        terminal::print(table(&findings).as_bytes())?;
    }
    Ok(Outcome::Passed)
}

fn table(findings: &[ConsoleFinding]) -> String {
    if findings.is_empty() {
        return "no findings\n".to_owned();
    }
    let mut grid =
        Grid::new(&["severity", "finding", "package", "fixed in", "in use by", "evidence", "image", "verdict"]);
    for finding in findings {
        grid.row(row(finding));
    }
    let count = if findings.len() == 1 { "1 finding".to_owned() } else { format!("{} findings", findings.len()) };
    format!("{}\n{count}\n", grid.render())
}

fn row(finding: &ConsoleFinding) -> Vec<String> {
    let evidence = &finding.reachability.evidence;
    let paths: BTreeSet<&str> = evidence.iter().map(|used| used.path.as_str()).collect();
    let exploited = if finding.kev { " (exploited)" } else { "" };
    vec![
        capitalised(&finding.severity),
        format!("{}{exploited}", finding.coordinates.advisory_id),
        finding.coordinates.package.clone(),
        some_of(&finding.fixed_in),
        if evidence.is_empty() { finding.reachability.status.clone() } else { some_of(&users(evidence)) },
        some_of(&paths.into_iter().map(str::to_owned).collect::<Vec<String>>()),
        finding.coordinates.image.clone(),
        finding.policy_badge.clone(),
    ]
}

fn some_of(texts: &[String]) -> String {
    match texts.len() {
        0 => "-".to_owned(),
        count if count <= NAMED => texts.join(", "),
        count => format!("{} and {} more", texts[..NAMED].join(", "), count - NAMED),
    }
}

fn capitalised(word: &str) -> String {
    word.parse::<Severity>().map_or_else(|_| word.to_owned(), |level| level.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_counted() {
        let texts = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<String>>();
        assert_eq!(some_of(&texts(0)), "-");
        assert_eq!(some_of(&texts(3)), "0, 1, 2");
        assert_eq!(some_of(&texts(5)), "0, 1, 2 and 2 more");
    }
}
