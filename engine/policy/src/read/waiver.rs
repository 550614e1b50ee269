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
        justification: required(&mut fields, "justification", IssueCode::WaiverJustificationMissing),
        owner: required(&mut fields, "owner", IssueCode::WaiverOwnerMissing),
        ticket: required(&mut fields, "ticket", IssueCode::WaiverTicketMissing),
        expires: fields.instant("expires", IssueCode::WaiverInstantInvalid),
    };
    if fields.get("expires").is_none() {
        let path = fields.path_of("expires");
        fields.note(IssueCode::WaiverExpiresMissing, path, "A waiver needs an end");
    }
    if waiver.images.is_empty() && waiver.digests.is_empty() && waiver.purls.is_empty() {
        let path = fields.path().to_owned();
        fields.note(
            IssueCode::WaiverUnscoped,
            path,
            "The waiver names no images, digests or purls; it hides the advisory everywhere",
        );
    }
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

fn required(fields: &mut Fields<'_, '_>, name: &str, code: IssueCode) -> Option<String> {
    let text = fields.text(name).filter(|text| !text.trim().is_empty());
    if text.is_none() {
        let path = fields.path_of(name);
        fields.note(code, path, format!("A waiver needs a {name}"));
    }
    text
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
