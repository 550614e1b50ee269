//! The findings of a scan as a page for people.

use stella_api::finding::{Finding, ScanDocument};
use stella_attest::ReportFinding;
use stella_attest::page::{Page, Row};

/// The page of a scan's result.
#[must_use]
pub fn page_of(document: &ScanDocument) -> Page {
    let mut facts = vec![("Digest", document.digest.to_string()), ("Engine", document.engine.clone())];
    let feeds: Vec<String> = document
        .feeds
        .iter()
        .map(|feed| match feed.date {
            Some(date) => format!("{} of {date}", feed.name),
            None => feed.name.clone(),
        })
        .collect();
    if !feeds.is_empty() {
        facts.push(("Feeds", feeds.join(", ")));
    }
    let rows = document.findings.iter().map(row).collect();
    Page::new(document.target.clone(), document.policy_status.clone(), facts, rows)
}

fn row(finding: &Finding) -> Row {
    let package = &finding.package;
    let shown = ReportFinding {
        advisory_id: Some(finding.advisory_id.clone()),
        score: finding.cvss.as_ref().map(|cvss| cvss.score),
        kev: finding.kev,
        epss: finding.epss,
        package: package.name.clone(),
        version: package.version.clone(),
        purl: Some(package.purl.clone()).filter(|purl| !purl.is_empty()),
        path: Some(finding.location.path.clone()).filter(|path| !path.is_empty()),
        fix_available: !finding.fixed_in.is_empty(),
        fixed_in: finding.fixed_in.clone(),
        summary: finding.summary.clone(),
        reachability: finding.reachability.status,
        used_by: finding.reachability.users(),
        ..ReportFinding::new(finding.finding_id.clone(), finding.severity)
    };
    Row::of(shown, &finding.verdict)
}
