//! The page as Markdown.

use std::fmt::Write as _;

use super::text::markdown as safe;
use super::{Page, Row};

/// Writing to a string does not fail.
pub(super) fn page(page: &Page) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# Security report\n\n**{}** {}\n", safe(&page.verdict), page.sentence());
    if let Some(note) = page.note {
        let _ = writeln!(out, "> {note}\n");
    }
    let _ = writeln!(out, "- Image: {}", safe(&page.subject));
    for (name, value) in &page.facts {
        let _ = writeln!(out, "- {name}: {}", safe(value));
    }
    let counts: Vec<String> =
        page.counts().iter().map(|(level, n)| format!("{n} {}", level.name().to_lowercase())).collect();
    let counted = if counts.is_empty() { "none that counts".to_owned() } else { counts.join(", ") };
    let _ = writeln!(out, "- Findings: {counted}");
    for section in &page.sections {
        let _ = writeln!(out, "\n## {} ({})\n\n{}\n", section.title, section.rows.len(), section.meaning);
        let _ = writeln!(out, "| Severity | Vulnerability | Package | How to fix | Verdict |\n|---|---|---|---|---|");
        for finding in &section.rows {
            row(&mut out, finding);
        }
    }
    out
}

fn row(out: &mut String, row: &Row) {
    let finding = &row.finding;
    let mut name = safe(finding.name());
    if finding.kev {
        name.push_str(" **exploited**");
    }
    if !finding.summary.is_empty() {
        let _ = write!(name, "<br>{}", safe(&finding.summary));
    }
    let package = match finding.package.as_str() {
        "" => safe(finding.purl.as_deref().unwrap_or("-")),
        package => format!("{} {}", safe(package), safe(&finding.version)),
    };
    let rule = row.rule.as_deref().map(|rule| format!("<br>{}", safe(rule))).unwrap_or_default();
    let (level, remedy, status) = (finding.severity.name(), row.remedy(safe), safe(&row.status));
    let _ = writeln!(out, "| {level} | {name} | {package} | {remedy} | {status}{rule} |");
}
