use serde_json::json;
use stella_domain::Digest;

use super::*;
use crate::finding::tests::sample;
use crate::report::{ReportBody, ReportPolicy, ReportSummary};

const HOSTILE: &str = "</style><script>alert(1)</script>\"'&|](javascript:x)\n\u{202e}";

fn finding(id: &str, severity: Severity, reachability: Reachability) -> ReportFinding {
    ReportFinding { finding_id: id.into(), advisory_id: None, severity, reachability, kev: false, ..sample() }
}

fn row(id: &str, severity: Severity, reachability: Reachability, status: &str) -> Row {
    Row { finding: finding(id, severity, reachability), status: status.into(), rule: None }
}

fn report(evidence: Evidence, findings: Vec<ReportFinding>) -> Report {
    let verdicts =
        findings.iter().map(|finding| json!({"findingId": finding.finding_id, "status": "Blocked", "ruleName": "r"}));
    Report::new(&ReportBody {
        image_digest: Digest::of("image"),
        verdict: "blocked".to_owned(),
        policy: ReportPolicy { revision_id: "rev-1".to_owned(), digest: Digest::of("policy").hex() },
        summary: ReportSummary::default(),
        verdicts: verdicts.collect(),
        issues: Vec::new(),
        findings,
        evidence,
    })
    .unwrap()
}

#[test]
fn what_is_in_use_stands_first_then_the_worst() {
    use Reachability::{Runtime, Unknown, Unreachable};
    let rows = vec![
        row("e", Severity::Critical, Unreachable, "Pass"),
        row("d", Severity::Critical, Unknown, "Blocked"),
        row("b", Severity::Unknown, Runtime, "Warned"),
        row("c", Severity::Medium, Runtime, "Warned"),
        row("a", Severity::High, Runtime, "Blocked"),
        row("f", Severity::Critical, Runtime, "Ignored"),
    ];
    let page = Page::new("image".into(), "blocked".into(), Vec::new(), rows.clone());
    let titles: Vec<_> = page.sections.iter().map(|section| (section.title, section.folded)).collect();
    assert_eq!(titles, [("In use", false), ("Use unknown", false), ("Not used", false), ("Hidden by policy", true)]);
    let order = |page: &Page| -> Vec<String> {
        page.sections.iter().flat_map(|section| &section.rows).map(|row| row.finding.finding_id.clone()).collect()
    };
    assert_eq!(order(&page), ["a", "b", "c", "d", "e", "f"]);
    let reversed = Page::new("image".into(), "blocked".into(), Vec::new(), rows.into_iter().rev().collect());
    assert_eq!((page.html(), page.markdown()), (reversed.html(), reversed.markdown()));
    let counts = [(Severity::Critical, 2), (Severity::High, 1), (Severity::Unknown, 1), (Severity::Medium, 1)];
    assert_eq!(page.counts(), counts, "what is hidden does not count");
}

#[test]
fn remedies_say_what_to_do() {
    let remedy = |fixed_in: &[&str], fix_available| {
        let fixed_in = fixed_in.iter().map(ToString::to_string).collect();
        let finding = ReportFinding { fixed_in, fix_available, ..sample() };
        Row { finding, status: String::new(), rule: None }.remedy(str::to_owned)
    };
    assert_eq!(remedy(&["1.2"], false), "Update openssl to 1.2 or later.");
    assert_eq!(remedy(&["1.2", "2.1"], false), "Update openssl to the first of its release line: 1.2, 2.1.");
    assert_eq!(remedy(&[], true), "Update openssl: a fixed version exists.");
    assert_eq!(remedy(&[], false), "No fixed version is known yet.");
    let many = remedy(&["1"; 12], true);
    assert_eq!(many, "Update openssl to the first of its release line: 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 and 2 more.");
}

#[test]
fn foreign_text_is_never_markup() {
    let text = || HOSTILE.to_owned();
    let hostile = ReportFinding {
        finding_id: text(),
        advisory_id: Some(text()),
        package: text(),
        version: text(),
        purl: Some(text()),
        path: Some(text()),
        fixed_in: vec![text()],
        summary: text(),
        used_by: vec![text()],
        ..sample()
    };
    let row = Row { finding: hostile, status: text(), rule: Some(text()) };
    let page = Page::new(text(), text(), vec![("Target", text())], vec![row]);
    let html = page.html();
    assert!(!html.contains("<script") && !html.contains('\u{202e}'), "{html}");
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(!html.contains("href") && !html.contains("src="), "{html}");
    assert_eq!(html.matches("javascript:").count(), html.matches("](javascript:x)").count(), "only as text");
    let markdown = page.markdown();
    assert!(!markdown.contains("<script") && !markdown.contains("](") && !markdown.contains('\u{202e}'), "{markdown}");
    let rows = markdown.lines().filter(|line| line.starts_with("| Critical |"));
    assert_eq!(rows.map(|line| line.matches('|').count()).collect::<Vec<_>>(), [6], "{markdown}");
}

/// Else a name in Hebrew would take the version behind it to its other side.
#[test]
fn foreign_text_keeps_its_direction_to_itself() {
    let name = "חבילה";
    let finding = ReportFinding { package: name.into(), version: "1.2".into(), ..sample() };
    let row = Row { finding, status: "Blocked".into(), rule: Some(name.into()) };
    let html = Page::new("image".into(), "blocked".into(), Vec::new(), vec![row]).html();
    for part in [
        "Update <bdi>חבילה</bdi> to <bdi>3.0.14-1</bdi> or later.",
        "<b><bdi>חבילה</bdi></b> <bdi>1.2</bdi>",
        "Blocked by “<bdi>חבילה</bdi>”",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
}

#[test]
fn a_finding_stands_where_policy_counted_its_use() {
    let finding = ReportFinding { reachability: Reachability::Unknown, ..sample() };
    let verdict =
        serde_json::json!({"findingId": "f", "status": "Blocked", "reachability": "runtime", "ruleName": "in use"});
    let row = Row::of(finding.clone(), &verdict);
    assert_eq!((section_of(&row), row.status.as_str(), row.rule.as_deref()), (0, "Blocked", Some("in use")));
    assert_eq!(section_of(&Row::of(finding, &serde_json::json!({}))), 2);
}

#[test]
fn the_page_is_one_file_without_scripts() {
    let html = Page::of(&report(Evidence::Scanned { scan_id: "s".into() }, vec![sample()])).unwrap().html();
    for part in [
        "width=device-width",
        "prefers-color-scheme: dark",
        "overflow-wrap: anywhere",
        "CVE-2026-0001",
        "<bdi>3.0.14-1</bdi> or later",
    ] {
        assert!(html.contains(part), "{part}");
    }
    for part in ["<script", "<link", "<img", "http://", "https://", "url(", "@import"] {
        assert!(!html.contains(part), "{part}");
    }
}

#[test]
fn supplied_findings_are_said_to_be_so() {
    let page = Page::of(&report(Evidence::Supplied, vec![sample()])).unwrap();
    assert!(page.html().contains("no scan confirms them") && page.markdown().contains("no scan confirms them"));
    assert!(
        !Page::of(&report(Evidence::Scanned { scan_id: "s".into() }, vec![]))
            .unwrap()
            .html()
            .contains("no scan confirms")
    );
}
