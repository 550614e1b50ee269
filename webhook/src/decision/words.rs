//! What people read: which image, which rule, what is worst, and what mends it.

use std::collections::BTreeSet;

use stella_api::admission::{ImageDecision, ImageVerdict, WorstFinding};

use super::conclude::{Effect, effect};
use super::inputs::{Inputs, JudgedImage, Stale, Standing};
use crate::review::{BREAK_GLASS, Place};

/// A refusal stays one short paragraph.
const REFUSAL_CHARS: usize = 900;
/// The API server cuts a warning after 256 bytes once all of them come to 4096.
const WARNING_CHARS: usize = 250;
/// Findings told of one image.
const FINDINGS: usize = 3;

/// Why an object is refused: the first refused image in full, the others by name.
pub(super) fn refusal(inputs: &Inputs) -> String {
    let mut refused = inputs.images.iter().filter(|image| effect(inputs, image) == Effect::Deny);
    let Some(first) = refused.next() else { return String::new() };
    let others: Vec<&str> = refused.map(|image| image.used.image.as_str()).filter(|i| *i != first.used.image).collect();
    let text = match others.as_slice() {
        [] => sentence(inputs, first),
        others => format!("{}; also refused: {}", sentence(inputs, first), others.join(", ")),
    };
    cut(text, REFUSAL_CHARS)
}

/// Why an object is refused although nothing is known against its images, and who can mend that.
pub(super) fn failing(inputs: &Inputs) -> String {
    let Inputs { namespace, .. } = inputs;
    let images: BTreeSet<&str> = inputs.images.iter().map(|image| image.used.image.as_str()).collect();
    let text = format!(
        "there is nothing to judge images by ({}), and a policy that holds in namespace {namespace} says failurePolicy: \
         Fail; the operator has to be reached again, or the webhook needs a bundle that has not expired; whoever may break \
         the glass gets past this with the annotation {BREAK_GLASS}; refused: {}",
        missing(inputs),
        images.into_iter().collect::<Vec<_>>().join(", "),
    );
    cut(text, REFUSAL_CHARS)
}

/// Said of an object that is let in because there is nothing to judge by.
pub(super) fn unchecked(inputs: &Inputs) -> String {
    format!("stella: images were not checked: {}", missing(inputs))
}

fn missing(inputs: &Inputs) -> &str {
    inputs.missing.as_deref().unwrap_or("nobody vouches for the verdicts")
}

/// One warning for each image with exactly this effect.
pub(super) fn warnings(inputs: &Inputs, only: Effect) -> Vec<String> {
    let images = inputs.images.iter().filter(|image| effect(inputs, image) == only);
    images.map(|image| cut(format!("stella: {}", sentence(inputs, image)), WARNING_CHARS)).collect()
}

/// One warning for each image that something speaks against, worst first.
pub(super) fn all_warnings(inputs: &Inputs) -> Vec<String> {
    [Effect::Deny, Effect::Warn].into_iter().flat_map(|only| warnings(inputs, only)).collect()
}

/// Everything that speaks against the object, for the audit log.
pub(super) fn violations(inputs: &Inputs) -> String {
    let images = inputs.images.iter().filter(|image| effect(inputs, image) > Effect::Pass);
    let sentences: Vec<_> = images.map(|image| sentence(inputs, image)).collect();
    cut(sentences.join("; "), 4 * REFUSAL_CHARS)
}

fn sentence(inputs: &Inputs, image: &JudgedImage) -> String {
    let place =
        format!("image {} ({} {}, {})", image.used.image, role(image.used.place), image.used.holder, image.used.path);
    match &image.standing {
        Standing::Unscanned { reason } => {
            let namespace = &inputs.namespace;
            let rule = match effect(inputs, image) {
                Effect::Deny => format!("namespace {namespace} takes scanned images only, try again after its scan"),
                _ => "it is not known what it holds".to_owned(),
            };
            format!("{place}: {reason}; {rule}")
        }
        Standing::Scanned { decision, stale: Some(stale), .. } if decision.verdict == ImageVerdict::Pass => {
            format!("{place}: {}", old(inputs, image, *stale))
        }
        Standing::Scanned { decision, grace_until, stale, .. } => {
            let grace = grace_until.map(|end| format!("; refused from {end} on")).unwrap_or_default();
            // What is refused anyway is not mended by a new scan.
            let stale = stale.filter(|_| decision.verdict != ImageVerdict::Blocked || grace_until.is_some());
            let stale = stale.map(|stale| format!("; {}", old(inputs, image, stale))).unwrap_or_default();
            format!("{place} {}{}{grace}{stale}", rule(decision), findings(decision))
        }
    }
}

/// What is said of a verdict that is stale.
fn old(inputs: &Inputs, image: &JudgedImage, stale: Stale) -> String {
    let Stale { age_seconds, after_seconds } = stale;
    let namespace = &inputs.namespace;
    let refused = match effect(inputs, image) {
        Effect::Deny => ", try again after it",
        _ => "",
    };
    format!(
        "its verdict was confirmed {age_seconds} s ago and is stale in namespace {namespace} from {after_seconds} s on: it \
         needs a new scan{refused}"
    )
}

const fn role(place: Place) -> &'static str {
    match place {
        Place::Container => "container",
        Place::InitContainer => "init container",
        Place::EphemeralContainer => "ephemeral container",
        Place::Volume => "volume",
    }
}

fn rule(decision: &ImageDecision) -> String {
    let verb = if decision.verdict == ImageVerdict::Blocked { "is blocked" } else { "has findings" };
    let policy = decision.policy.as_ref().map(|policy| format!(" of policy {policy}")).unwrap_or_default();
    match (&decision.rule, decision.reasons.first()) {
        (Some(rule), _) => format!("{verb} by rule '{rule}'{policy}"),
        // No finding: a policy gave no answer, or demands what the image has not.
        (None, Some(reason)) => {
            let verb = if decision.verdict == ImageVerdict::Blocked { verb } else { "is warned about" };
            let policy = decision.policy.as_ref().map(|policy| format!(" by policy {policy}")).unwrap_or_default();
            format!("{verb}{policy}: {reason}")
        }
        (None, None) => format!("{verb}{policy}"),
    }
}

fn findings(decision: &ImageDecision) -> String {
    if decision.worst.is_empty() {
        return String::new();
    }
    let told: Vec<_> = decision.worst.iter().take(FINDINGS).map(finding).collect();
    let more = (decision.count as usize).saturating_sub(told.len());
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!(": {}{rest}", told.join("; "))
}

fn finding(worst: &WorstFinding) -> String {
    let used = match (worst.in_use, worst.inherited) {
        (true, false) => ", in use",
        (true, true) => ", in use by an earlier image",
        (false, _) => "",
    };
    let fix = match worst.fixed_in.as_slice() {
        [] => "no fix yet".to_owned(),
        versions => format!("fixed in {}", versions.join(" or ")),
    };
    let WorstFinding { advisory_id, package, version, severity, .. } = worst;
    format!("{advisory_id} ({severity}{used}) in {package} {version}, {fix}")
}

fn cut(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
