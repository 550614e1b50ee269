//! One waiver.

use serde_json::Value;
use stella_domain::Digest;

use super::fields::Fields;
use crate::glob::Dialect;
use crate::issue::{Issue, IssueCode, IssueSeverity};
use crate::waiver::Waiver;

const KNOWN: &[&str] =
    &["id", "cve", "advisory", "images", "digests", "purls", "justification", "owner", "ticket", "expires"];

/// Reads a waiver; one with an error in it is left out, because half of its scope would cover more than all of it.
pub(super) fn waiver(value: &Value, path: &str, issues: &mut Vec<Issue>) -> Option<Waiver> {
    let before = issues.len();
    let mut fields = Fields::of(value, path.to_owned(), KNOWN, issues)?;
    let waiver = Waiver {
        id: id(&mut fields),
        advisory: advisory(&mut fields),
        images: fields.globs("images", Dialect::Path, IssueCode::WaiverGlobInvalid),
        digests: fields.levels("digests", IssueCode::WaiverDigestInvalid, str::parse::<Digest>),
        purls: fields.globs("purls", Dialect::Text, IssueCode::WaiverGlobInvalid),
        justification: fields.text("justification"),
        owner: fields.text("owner"),
        ticket: fields.text("ticket"),
        expires: fields.instant("expires", IssueCode::WaiverInstantInvalid),
    };
    let broken = issues[before..].iter().any(|issue| issue.severity == IssueSeverity::Error);
    (!broken).then_some(waiver)
}

fn id(fields: &mut Fields<'_, '_>) -> String {
    let id = fields.text("id").filter(|id| !id.trim().is_empty());
    if id.is_none() {
        let path = fields.path_of("id");
        fields.note(IssueCode::WaiverIdMissing, path, "A waiver needs an id");
    }
    id.unwrap_or_default()
}

fn advisory(fields: &mut Fields<'_, '_>) -> String {
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    match (given(fields.text("cve")), given(fields.text("advisory"))) {
        (Some(id), None) | (None, Some(id)) => id,
        _ => {
            let path = fields.path().to_owned();
            fields.note(IssueCode::WaiverAdvisoryInvalid, path, "A waiver names either a cve or an advisory");
            String::new()
        }
    }
}
