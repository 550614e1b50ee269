//! The findings of a scan as a table.

use stella_api::finding::{FeedStamp, Finding, ScanDocument, SeveritySummary};
use stella_domain::{Reachability, Timestamp};
use stella_policy::Status;

use super::Grid;
use crate::stella::{Gate, status};

const SECONDS_A_DAY: i64 = 86_400;

/// Findings, worst first, and below them what they come to and how old the feeds are.
#[must_use]
pub fn table(document: &ScanDocument, gate: &Gate, now: Timestamp) -> Vec<u8> {
    let mut text = String::new();
    if !document.findings.is_empty() {
        text.push_str(&grid(&document.findings));
        text.push('\n');
    }
    text.push_str(&summary(&document.summary, document.findings.len()));
    text.push('\n');
    if !document.feeds.is_empty() {
        let feeds: Vec<String> = document.feeds.iter().map(|feed| age(feed, now)).collect();
        text.push_str(&format!("feeds: {}\n", feeds.join(", ")));
    }
    text.push_str(&format!("{gate}\n"));
    text.into_bytes()
}

fn grid(findings: &[Finding]) -> String {
    let judged = findings.iter().any(|finding| status(finding) != Status::Pass);
    let mut header = vec!["severity", "id", "package", "version", "fixed in", "location", "in use"];
    header.extend(judged.then_some("verdict"));
    let mut grid = Grid::new(&header);
    for finding in findings {
        let mut row = row(finding);
        row.extend(judged.then(|| status(finding).to_string()));
        grid.row(row);
    }
    grid.render()
}

fn row(finding: &Finding) -> Vec<String> {
    let exploited = if finding.kev { " (exploited)" } else { "" };
    vec![
        finding.severity.to_string(),
        format!("{}{exploited}", finding.advisory_id),
        finding.package.name.clone(),
        finding.package.version.clone(),
        or_dash(&finding.fixed_in.join(", ")),
        or_dash(&place(finding)),
        in_use(finding.reachability.status).to_owned(),
    ]
}

fn place(finding: &Finding) -> String {
    match &finding.location.layer {
        Some(layer) if finding.location.path.is_empty() => format!("layer {}", layer.short()),
        _ => finding.location.path.clone(),
    }
}

/// Whether a running container uses the package, as far as anybody looked.
fn in_use(level: Reachability) -> &'static str {
    match level {
        Reachability::Entrypoint | Reachability::Runtime => "yes",
        Reachability::Unreachable => "no",
        Reachability::Direct | Reachability::Indirect | Reachability::Unknown => "unknown",
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn summary(counts: &SeveritySummary, total: usize) -> String {
    let SeveritySummary { critical, high, medium, low, unknown } = counts;
    let findings = if total == 1 { "finding" } else { "findings" };
    format!("{total} {findings}: {critical} critical, {high} high, {medium} medium, {low} low, {unknown} unknown")
}

fn age(feed: &FeedStamp, now: Timestamp) -> String {
    let Some(date) = feed.date else {
        return format!("{} of unknown age", feed.name);
    };
    let days = now.seconds_since(date).max(0) / SECONDS_A_DAY;
    let unit = if days == 1 { "day" } else { "days" };
    format!("{} {days} {unit} old", feed.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_tells_its_age_in_days() {
        let feed = |date: Option<&str>| FeedStamp {
            name: "PyPI".to_owned(),
            date: date.map(|date| date.parse().unwrap()),
            advisories: 3,
        };
        let now: Timestamp = "2026-03-03T12:00:00Z".parse().unwrap();
        assert_eq!(age(&feed(Some("2026-03-02T11:00:00Z")), now), "PyPI 1 day old");
        assert_eq!(age(&feed(Some("2027-01-01T00:00:00Z")), now), "PyPI 0 days old");
        assert_eq!(age(&feed(None), now), "PyPI of unknown age");
    }
}
