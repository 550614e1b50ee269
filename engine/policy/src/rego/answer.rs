//! What the answers of a Rego policy mean.

use regorus::Value;

use super::guard::weight;
use super::{REGO_IMAGE, REGO_VERDICT, RegoError};
use crate::verdict::{ImageVerdict, Status};

const VERDICTS: &str =
    "expected one of pass, ignore, warn, defer, escalate, requireVex, block, quiet, or an object with it as `action`";
const IMAGES: &str = "expected one of pass, warn, blocked, or an object with it as `verdict`";

/// What `verdict` says of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictAnswer {
    /// The status.
    pub status: Status,
    /// The action, as on the wire.
    pub action: &'static str,
    /// The name that the policy gives to its decision.
    pub rule: Option<String>,
}

/// What `image` says of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageAnswer {
    /// The verdict; it never makes that of the findings milder.
    pub verdict: ImageVerdict,
    /// The name that the policy gives to its decision.
    pub rule: Option<String>,
}

const ACTIONS: [(&str, Status); 8] = [
    ("pass", Status::Pass),
    ("ignore", Status::Ignored),
    ("warn", Status::Warned),
    ("defer", Status::Deferred),
    ("escalate", Status::Escalated),
    ("requireVex", Status::RequiresVex),
    ("block", Status::Blocked),
    ("quiet", Status::Quieted),
];

const IMAGE_VERDICTS: [ImageVerdict; 3] = [ImageVerdict::Pass, ImageVerdict::Warn, ImageVerdict::Blocked];

pub(super) fn verdict(value: &Value, limit: usize) -> Result<Option<VerdictAnswer>, RegoError> {
    let Some((word, rule)) = worded(value, "action", REGO_VERDICT, VERDICTS, limit)? else { return Ok(None) };
    let known = ACTIONS.iter().find(|(name, _)| *name == word);
    let (action, status) = known.ok_or_else(|| wrong(REGO_VERDICT, &word, VERDICTS))?;
    Ok(Some(VerdictAnswer { status: *status, action, rule }))
}

pub(super) fn image(value: &Value, limit: usize) -> Result<Option<ImageAnswer>, RegoError> {
    let Some((word, rule)) = worded(value, "verdict", REGO_IMAGE, IMAGES, limit)? else { return Ok(None) };
    let known = IMAGE_VERDICTS.into_iter().find(|verdict| verdict.name() == word);
    Ok(Some(ImageAnswer { verdict: known.ok_or_else(|| wrong(REGO_IMAGE, &word, IMAGES))?, rule }))
}

/// The word of an answer and the name of its rule.
fn worded(
    value: &Value,
    field: &str,
    entrypoint: &'static str,
    expected: &'static str,
    limit: usize,
) -> Result<Option<(String, Option<String>)>, RegoError> {
    if weight(value, limit).is_none() {
        return Err(RegoError::Output { entrypoint, limit });
    }
    match value {
        Value::Undefined => Ok(None),
        Value::String(word) => Ok(Some((word.to_string(), None))),
        Value::Object(_) => {
            let word = text(&value[field]).ok_or_else(|| wrong(entrypoint, &value.to_string(), expected))?;
            Ok(Some((word, text(&value["rule"]))))
        }
        other => Err(wrong(entrypoint, &other.to_string(), expected)),
    }
}

fn text(value: &Value) -> Option<String> {
    if let Value::String(text) = value { Some(text.to_string()) } else { None }
}

fn wrong(entrypoint: &'static str, found: &str, expected: &'static str) -> RegoError {
    RegoError::Answer { entrypoint, found: found.chars().take(100).collect(), expected }
}

/// The answer as JSON, whatever it means; sets become sorted lists.
pub(super) fn value(value: &Value, limit: usize) -> Result<Option<serde_json::Value>, RegoError> {
    let entrypoint = REGO_VERDICT;
    if weight(value, limit).is_none() {
        return Err(RegoError::Output { entrypoint, limit });
    }
    if *value == Value::Undefined {
        return Ok(None);
    }
    let read = serde_json::to_value(value);
    read.map(Some).map_err(|error| RegoError::Failed { entrypoint, message: error.to_string() })
}
