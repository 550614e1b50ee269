//! The page as one HTML file.

use std::fmt::Write as _;

use stella_domain::Severity;

use super::text::{apart, html as safe};
use super::{Page, Row, Section, first_of};

/// Colours and places; there is nothing else to load.
const STYLE: &str = include_str!("style.css");

/// Writing to a string does not fail.
pub(super) fn page(page: &Page) -> String {
    let mut out = String::with_capacity(4096);
    let (subject, verdict) = (safe(&page.subject), safe(&page.verdict));
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Security report: {verdict}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    let class = verdict_class(&page.verdict);
    let _ = write!(
        out,
        "<header>\n<p class=\"kind\">Security report</p>\n<h1><span class=\"verdict {class}\">{verdict}</span> {}</h1>\n",
        page.sentence()
    );
    if let Some(note) = page.note {
        let _ = writeln!(out, "<p class=\"note\">{note}</p>");
    }
    let _ = write!(out, "<dl>\n<div><dt>Image</dt><dd class=\"id\">{subject}</dd></div>\n");
    for (name, value) in &page.facts {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd class=\"id\">{}</dd></div>", safe(value));
    }
    out.push_str("</dl>\n");
    counts(&mut out, page);
    out.push_str("</header>\n<main>\n");
    if page.sections.is_empty() {
        out.push_str("<p class=\"empty\">Nothing was found.</p>\n");
    }
    for part in &page.sections {
        section(&mut out, part);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn counts(out: &mut String, page: &Page) {
    let counts = page.counts();
    if counts.is_empty() {
        return;
    }
    out.push_str("<ul class=\"counts\">\n");
    for (level, n) in counts {
        let _ = writeln!(out, "<li class=\"{}\"><b>{n}</b> {}</li>", class_of(level), level.name().to_lowercase());
    }
    out.push_str("</ul>\n");
}

fn section(out: &mut String, section: &Section) {
    let (title, meaning, n) = (section.title, section.meaning, section.rows.len());
    let open = if section.folded { "" } else { " open" };
    let _ = write!(
        out,
        "<details{open}>\n<summary><h2>{title} <span class=\"n\">{n}</span></h2></summary>\n<p class=\"meaning\">{meaning}</p>\n"
    );
    for finding in &section.rows {
        row(out, finding);
    }
    out.push_str("</details>\n");
}

fn row(out: &mut String, row: &Row) {
    let finding = &row.finding;
    let level = class_of(finding.severity);
    let _ = write!(
        out,
        "<article class=\"{level}\">\n<h3><span class=\"level\">{}</span> <span class=\"name\">{}</span>",
        finding.severity.name(),
        safe(finding.name())
    );
    if finding.kev {
        out.push_str(" <span class=\"kev\">exploited</span>");
    }
    out.push_str("</h3>\n");
    if !finding.summary.is_empty() {
        let _ = writeln!(out, "<p class=\"summary\">{}</p>", safe(&finding.summary));
    }
    let _ = writeln!(out, "<p class=\"fix\">{}</p>", row.remedy(apart));
    out.push_str("<p class=\"more\">");
    let mut parts = Vec::new();
    match (finding.package.as_str(), &finding.purl) {
        ("", Some(purl)) => parts.push(format!("<span class=\"id\">{}</span>", apart(purl))),
        ("", None) => {}
        (package, _) => parts.push(format!("<b>{}</b> {}", apart(package), apart(&finding.version))),
    }
    parts.extend(finding.path.as_deref().map(|path| format!("<span class=\"id\">{}</span>", apart(path))));
    parts.extend(finding.score.map(|score| format!("CVSS\u{a0}{score:.1}")));
    parts.extend(finding.epss.map(|epss| format!("exploit probability {:.1}\u{a0}%", epss * 100.0)));
    let rule = row.rule.as_deref().map(|rule| format!(" by “{}”", apart(rule))).unwrap_or_default();
    parts.push(format!("<span class=\"status\">{}{rule}</span>", safe(&row.status)));
    let _ = writeln!(out, "{}</p>", parts.join(" · "));
    if !finding.used_by.is_empty() {
        let _ = writeln!(out, "<p class=\"more\">Used by {}</p>", first_of(&finding.used_by, apart));
    }
    out.push_str("</article>\n");
}

fn verdict_class(verdict: &str) -> &'static str {
    match verdict {
        "pass" => "pass",
        "warn" => "warn",
        "blocked" => "blocked",
        _ => "unknown",
    }
}

const fn class_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
        Severity::Informational | Severity::None => "info",
        Severity::Unknown => "unknown",
    }
}
