//! What webhooks are told of one image in one scope, and under which of its names.

use std::collections::BTreeMap;

use stella_api::admission::{ImageAdmission, ImageDecision, ImageVerdict};
use stella_domain::{Digest, Timestamp};
use stella_store::ImageSummary;

use super::findings::Judged;
use super::scopes::Scope;
use super::survey::KnownImage;
use crate::signatures::Provenance;

/// The entry of an image, with the grace of namespaces.
pub(super) fn entry(
    scope: &Scope,
    image: &KnownImage,
    judged: Judged,
    grace: BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> ImageAdmission {
    let refused = refuses(&judged.decision, &grace);
    let (digests, references) = told_names(scope, &image.names, &image.provenance, refused, now);
    // What follows a refusal is milder, and would hold for names that nobody signed: it is worked out when its time has come.
    let is_strict = |next: &ImageDecision| next.verdict == ImageVerdict::Blocked;
    let all_may = !refused || covers(scope, &image.names, &image.provenance, now);
    ImageAdmission {
        scope: scope.id.clone(),
        image: image.summary.digest,
        digests,
        references,
        decision: judged.decision,
        valid_until: judged.valid_until,
        next: judged.next.filter(|next| all_may || is_strict(next)),
        confirmed_at: confirmed_at(scope, &image.summary),
        grace,
    }
}

/// Whether a verdict refuses the image everywhere.
pub(super) fn refuses(decision: &ImageDecision, grace: &BTreeMap<String, Timestamp>) -> bool {
    decision.verdict == ImageVerdict::Blocked && grace.is_empty()
}

/// Digests and references under which a verdict is told. A refusal holds for every name of the image. Anything milder, where policies
/// demand signatures or SBOMs, only for those that these are of: an index may list others beside the image that somebody signed, and
/// whoever reads images may give them names. The other names are as if nobody had scanned them.
pub(super) fn told_names(
    scope: &Scope,
    names: &[String],
    provenance: &Provenance,
    refused: bool,
    now: Timestamp,
) -> (Vec<Digest>, Vec<String>) {
    let covered = if refused { None } else { provenance.names(scope.demands(), now) };
    let is_told = |name: &&String| covered.as_ref().is_none_or(|covered| covered.contains(name.as_str()));
    let (mut digests, mut references) = (Vec::new(), Vec::new());
    for name in names.iter().filter(is_told) {
        match name.parse() {
            Ok(digest) => digests.push(digest),
            Err(_) => references.push(name.clone()),
        }
    }
    (digests, references)
}

/// Whether what policies demand is of every name of the image.
fn covers(scope: &Scope, names: &[String], provenance: &Provenance, now: Timestamp) -> bool {
    let covered = provenance.names(scope.demands(), now);
    covered.is_none_or(|covered| names.iter().all(|name| covered.contains(name.as_str())))
}

/// When the verdict was last confirmed, where that is told.
pub(super) fn confirmed_at(scope: &Scope, summary: &ImageSummary) -> Option<Timestamp> {
    scope.stale_after_seconds().and(summary.matched_at)
}
