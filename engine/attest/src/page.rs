//! A report for people: what is in use first, then by severity, each with what to do about it.

mod html;
mod markdown;
mod text;

use std::cmp::Reverse;

use serde_json::Value;
use stella_domain::{Reachability, Severity};

use crate::finding::ReportFinding;
use crate::report::{Evidence, Report, ReportError};

/// What stands on the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What was looked at: an image's name or digest.
    pub subject: String,
    /// `pass`, `warn` or `blocked`.
    pub verdict: String,
    /// What else is to be known, as name and value.
    pub facts: Vec<(&'static str, String)>,
    /// A warning that stands above everything.
    pub note: Option<&'static str>,
    /// Findings by how close they are to running. None of them is empty.
    pub sections: Vec<Section>,
}

/// Findings of one degree of use, worst first.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// What that means.
    pub meaning: &'static str,
    /// Whether people need not look at it at once.
    pub folded: bool,
    /// The findings.
    pub rows: Vec<Row>,
}

/// A finding with its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is.
    pub finding: ReportFinding,
    /// What policy says, such as `Blocked`.
    pub status: String,
    /// The rule or waiver that decided.
    pub rule: Option<String>,
}

const SECTIONS: [(&str, &str); 5] = [
    ("In use", "Running containers have loaded these packages."),
    ("May be reached", "Something in the image depends on these packages."),
    ("Use unknown", "Nobody has watched these packages long enough to say."),
    ("Not used", "Watched, and not loaded by any container."),
    ("Hidden by policy", "A rule, a waiver or a vendor's statement says that these do not count."),
];

impl Page {
    /// The page of a report.
    ///
    /// # Errors
    /// When the report has not the fields of one.
    pub fn of(report: &Report) -> Result<Self, ReportError> {
        let body = report.body()?;
        let mut findings: std::collections::BTreeMap<String, ReportFinding> =
            body.findings.into_iter().map(|finding| (finding.finding_id.clone(), finding)).collect();
        let rows = body.verdicts.iter().map(|verdict| {
            let id = text_of(verdict, "findingId").unwrap_or_default();
            let unknown = || ReportFinding::new(id.clone(), Severity::Unknown);
            Row::of(findings.remove(&id).unwrap_or_else(unknown), verdict)
        });
        let rows = rows.collect();
        let (note, source) = match body.evidence {
            Evidence::Supplied => {
                let note = "The findings were supplied by whoever asked for this report; no scan confirms them.";
                (Some(note), None)
            }
            Evidence::Scanned { scan_id } => (None, Some(scan_id)),
        };
        let mut facts = vec![("Report", report.id().to_owned()), ("Policy", body.policy.revision_id.clone())];
        facts.extend(source.map(|scan| ("Scan", scan)));
        Ok(Self { note, ..Self::new(body.image_digest.to_string(), body.verdict, facts, rows) })
    }

    /// A page of findings in any order.
    #[must_use]
    pub fn new(subject: String, verdict: String, facts: Vec<(&'static str, String)>, rows: Vec<Row>) -> Self {
        let mut by_section: [Vec<Row>; SECTIONS.len()] = Default::default();
        for row in rows {
            by_section[section_of(&row)].push(row);
        }
        let sections = SECTIONS.iter().zip(by_section).filter(|(_, rows)| !rows.is_empty());
        let sections = sections.map(|((title, meaning), mut rows)| {
            rows.sort_by(|a, b| rank(a).cmp(&rank(b)));
            Section { title, meaning, folded: *title == SECTIONS[4].0, rows }
        });
        Self { subject, verdict, facts, note: None, sections: sections.collect() }
    }

    /// One HTML file: style within, no scripts, nothing fetched.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The same as GitHub Flavored Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// Findings that count, by severity, worst first; levels without any are left out.
    fn counts(&self) -> Vec<(Severity, usize)> {
        let rows = || self.sections.iter().filter(|section| !section.folded).flat_map(|section| &section.rows);
        let count = |level: &Severity| (*level, rows().filter(|row| row.finding.severity == *level).count());
        let mut levels = Severity::ALL;
        levels.sort_by_key(|level| Reverse(urgency(*level)));
        levels.iter().map(count).filter(|(_, n)| *n > 0).collect()
    }

    /// The verdict as a sentence.
    fn sentence(&self) -> &'static str {
        match self.verdict.as_str() {
            "pass" => "Policy lets this image pass.",
            "warn" => "Policy lets this image pass with warnings.",
            "blocked" => "Policy refuses this image.",
            _ => "The verdict on this image is not known.",
        }
    }
}

impl Row {
    /// A finding with what policy wrote of it. Policy may count the use in another image of the repository as this one's.
    #[must_use]
    pub fn of(mut finding: ReportFinding, verdict: &Value) -> Self {
        if let Some(reach) = text_of(verdict, "reachability").and_then(|text| text.parse().ok()) {
            finding.reachability = reach;
        }
        let rule = text_of(verdict, "ruleName").or_else(|| text_of(verdict, "quietedBy"));
        Self { finding, status: text_of(verdict, "status").unwrap_or_default(), rule }
    }

    /// What to do about it. `written` writes a name or a version of others.
    fn remedy(&self, written: fn(&str) -> String) -> String {
        let ReportFinding { package, fixed_in, fix_available, .. } = &self.finding;
        let name = if package.is_empty() { "the package".to_owned() } else { written(package) };
        match fixed_in.as_slice() {
            [] if *fix_available => format!("Update {name}: a fixed version exists."),
            [] => "No fixed version is known yet.".to_owned(),
            [only] => format!("Update {name} to {} or later.", written(only)),
            several => format!("Update {name} to the first of its release line: {}.", first_of(several, written)),
        }
    }
}

/// The first ten of `names`, and how many there are beyond them.
fn first_of(names: &[String], written: fn(&str) -> String) -> String {
    let first: Vec<String> = names.iter().take(10).map(|name| written(name)).collect();
    let more = names.len() - first.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    first.join(", ") + &rest
}

fn text_of(verdict: &Value, field: &str) -> Option<String> {
    verdict.get(field)?.as_str().map(str::to_owned)
}

fn section_of(row: &Row) -> usize {
    if matches!(row.status.as_str(), "Ignored" | "Quieted") {
        return 4;
    }
    match row.finding.reachability {
        Reachability::Entrypoint | Reachability::Runtime => 0,
        Reachability::Direct | Reachability::Indirect => 1,
        Reachability::Unknown => 2,
        Reachability::Unreachable => 3,
    }
}

/// Severity, whether it is exploited, score, then names so that the same findings stand in the same order.
fn rank(row: &Row) -> (Reverse<u8>, Reverse<bool>, Reverse<i64>, &str, &str, &str) {
    let finding = &row.finding;
    let score = (finding.score.unwrap_or_default().clamp(0.0, 10.0) * 10.0) as i64;
    (
        Reverse(urgency(finding.severity)),
        Reverse(finding.kev),
        Reverse(score),
        finding.name(),
        &finding.package,
        &finding.finding_id,
    )
}

/// An unrated finding may be a bad one, so it stands before the medium ones.
const fn urgency(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 6,
        Severity::High => 5,
        Severity::Unknown => 4,
        Severity::Medium => 3,
        Severity::Low => 2,
        Severity::Informational => 1,
        Severity::None => 0,
    }
}

#[cfg(test)]
mod tests;
