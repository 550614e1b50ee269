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
    let Judged { decision, valid_until, next, .. } = judged;
    let (digests, references) = told_names(scope, &image.names, &image.provenance, &decision, &grace, now);
    // What follows a refusal is milder, and may not hold for every name that a refusal is told of: it is worked out in its time.
    let may_follow =
        |next: &ImageDecision| !refuses(&decision, &grace) || refuses(next, &grace) || !rests_on_evidence(next);
    let next = next.filter(may_follow);
    ImageAdmission {
        scope: scope.id.clone(),
        image: image.summary.digest,
        digests,
        references,
        decision,
        valid_until,
        next,
        confirmed_at: confirmed_at(scope, &image.summary),
        grace,
    }
}

/// Whether a verdict refuses the image everywhere.
fn refuses(decision: &ImageDecision, grace: &BTreeMap<String, Timestamp>) -> bool {
    decision.verdict == ImageVerdict::Blocked && grace.is_empty()
}

/// Whether a signature or SBOM that is demanded was found.
const fn rests_on_evidence(decision: &ImageDecision) -> bool {
    decision.signed || decision.sbom
}

/// Digests and references under which a verdict is told. A refusal holds for every name of the image. Anything milder, where policies
/// demand signatures or SBOMs, only for those that these are of: an index may list others beside the image that somebody signed, and
/// whoever reads images may give them names. The other names are as if nobody had scanned them.
pub(super) fn told_names(
    scope: &Scope,
    names: &[String],
    provenance: &Provenance,
    decision: &ImageDecision,
    grace: &BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> (Vec<Digest>, Vec<String>) {
    let covered = if refuses(decision, grace) || !rests_on_evidence(decision) {
        None
    } else {
        // What the verdict rested on when it was worked out may have gone since.
        Some(provenance.names(scope.demands(), now))
    };
    let is_told = |name: &&String| covered.as_ref().is_none_or(|covered| covered.contain(name));
    let (mut digests, mut references) = (Vec::new(), Vec::new());
    for name in names.iter().filter(is_told) {
        match name.parse() {
            Ok(digest) => digests.push(digest),
            Err(_) => references.push(name.clone()),
        }
    }
    (digests, references)
}

/// When the verdict was last confirmed, where that is told.
pub(super) fn confirmed_at(scope: &Scope, summary: &ImageSummary) -> Option<Timestamp> {
    scope.stale_after_seconds().and(summary.matched_at)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use stella_domain::Tenant;
    use stella_policy::Document;
    use stella_store::{PolicyRevision, SignatureCheck};

    use super::super::policies::LoadedPolicy;
    use super::*;
    use crate::signatures::Authority;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    /// A scope whose policy says this of admission.
    fn scope(admission: &serde_json::Value) -> Scope {
        let revision = PolicyRevision {
            tenant: Tenant::default(),
            number: 1,
            name: "shop/p".to_owned(),
            digest: String::new(),
            source: String::new(),
            actor: String::new(),
            at: at(0),
            priority: 0,
            body: String::new(),
            active: true,
            description: String::new(),
        };
        let spec = serde_json::from_value(json!({ "admission": admission })).unwrap();
        let policies = vec![LoadedPolicy::new(revision, spec, Document::default()).unwrap()];
        Scope { id: "s".to_owned(), tenant: Tenant::default(), environment: None, policies, waivers: None }
    }

    /// An SBOM that anybody may have attached, of these names until second 100.
    fn with_sbom(names: &[&String]) -> Provenance {
        Provenance::of(vec![SignatureCheck {
            image: Digest::of("image"),
            authority: Authority::Anybody.id(None),
            signed: false,
            sbom: true,
            signed_names: Some(BTreeSet::new()),
            sbom_names: Some(names.iter().map(|name| (*name).clone()).collect()),
            signed_places: BTreeSet::new(),
            sbom_places: BTreeSet::new(),
            detail: String::new(),
            failure: String::new(),
            failures: 0,
            looked_at: at(0),
            checked_at: Some(at(0)),
            expires_at: at(100),
            retry_at: at(50),
        }])
    }

    #[test]
    fn a_verdict_that_rests_on_evidence_is_told_of_the_names_that_this_is_of() {
        use ImageVerdict::{Blocked, Pass, Warn};
        let [image, index] = ["image", "index"].map(Digest::of);
        let (own, several) = ("r.example/app:1".to_owned(), "r.example/app:several".to_owned());
        let names = [image.to_string(), index.to_string(), own.clone(), several.clone()];
        let provenance = with_sbom(&[&names[0], &own]);
        let told = |admission: serde_json::Value, verdict: ImageVerdict, sbom: bool, grace: &[&str], now: i64| {
            let decision = ImageDecision { sbom, ..ImageDecision::bare(verdict) };
            let grace: BTreeMap<String, Timestamp> =
                grace.iter().map(|namespace| ((*namespace).to_owned(), at(9))).collect();
            told_names(&scope(&admission), &names, &provenance, &decision, &grace, at(now))
        };
        let all = (vec![image, index], vec![own.clone(), several.clone()]);
        let covered = (vec![image], vec![own.clone()]);
        let (plain, demanding) = (json!({}), json!({"requireSbom": true}));
        assert_eq!(told(plain, Pass, false, &[], 1), all, "nothing is demanded");
        assert_eq!(told(demanding.clone(), Pass, true, &[], 1), covered);
        assert_eq!(told(demanding.clone(), Warn, true, &[], 1), covered);
        assert_eq!(told(demanding.clone(), Blocked, true, &[], 1), all, "a refusal is of every name");
        assert_eq!(told(demanding.clone(), Blocked, true, &["shop"], 1), covered, "in grace it lets in");
        assert_eq!(told(demanding.clone(), Pass, false, &[], 1), all, "as unscanned says, like what is not told");
        assert_eq!(told(demanding, Pass, true, &[], 100), (vec![], vec![]), "it has gone meanwhile");
    }
}
