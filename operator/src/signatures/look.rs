//! One look at what is attached to an image, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stella_domain::{Digest, Tenant, Timestamp};
use stella_signature::TrustRoot;
use stella_store::{SignatureCheck, StoreError};

use super::demand::{Authority, Demand};
use super::evidence::{Evidence, weigh};
use super::gather::{Gathered, Worth, gather, names};
use super::kept::{Found, Untold, differs, partly, told};
use crate::app::App;

/// Seconds after a look before which nobody has an image looked at again by asking for it.
const SETTLED: i64 = 60;
/// How often what was found is joined to what others wrote meanwhile.
const JOINED: usize = 5;

/// Who is asked about: the authorities of all demands of a tenant, each once.
#[derive(Debug, Clone)]
pub(super) struct Questions {
    demands: Arc<Vec<Arc<Demand>>>,
    authorities: BTreeMap<Digest, Authority>,
    root: Option<Arc<TrustRoot>>,
}

impl Questions {
    pub(super) fn new(demands: Vec<Arc<Demand>>, root: Option<Arc<TrustRoot>>) -> Self {
        let all = demands.iter().flat_map(|demand| demand.authorities());
        let authorities = all.map(|authority| (authority.id(root.as_deref()), authority.clone())).collect();
        Self { demands: Arc::new(demands), authorities, root }
    }

    /// The names of who is asked about.
    pub(super) fn ids(&self) -> impl Iterator<Item = &Digest> {
        self.authorities.keys()
    }

    /// Authorities that have to be asked again soon: a policy that believes them is not content with what was found.
    fn open(&self, found: &BTreeMap<Digest, Found>) -> BTreeSet<Digest> {
        let root = self.root.as_deref();
        let mut open = BTreeSet::new();
        for demand in self.demands.iter() {
            let ids: Vec<Digest> = demand.authorities().map(|authority| authority.id(root)).collect();
            let any = |of: fn(&Found) -> bool| ids.iter().filter_map(|id| found.get(id)).any(of);
            let content = (!demand.signature || any(Found::is_signed)) && (!demand.sbom || any(Found::has_sbom));
            if !content {
                open.extend(ids);
            }
        }
        open
    }
}

/// Looks for what policies demand of an image, where that is due, and keeps what it finds. Whether anything differs from before.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(
    app: &App,
    tenant: &Tenant,
    image: &Digest,
    questions: &Questions,
) -> Result<bool, StoreError> {
    let first = app.store.signature_checks(tenant, image).await?;
    let begun = app.clock.now();
    // Another replica may have been faster.
    if questions.ids().all(|id| of(&first, id).is_some_and(|check| check.retry_at > begun)) {
        return Ok(false);
    }
    let names = names(app, tenant, image).await?;
    let answer = match gather(app, tenant, image, &names, &Worth::of(&first)).await {
        Ok(gathered) => weighed(app, gathered, questions).await,
        Err(error) => Err(error.to_string()),
    };
    let (found, failures, untold) = answer.unwrap_or_else(|failure| {
        let found = questions.ids().map(|id| (*id, Found::default())).collect();
        (found, vec![failure], Untold { everything: true, ..Untold::default() })
    });
    let untold = Untold { failure: failures.join("; "), names: names.iter().cloned().collect(), ..untold };
    let open = questions.open(&found);
    let outcome = match (open.is_empty(), failures.is_empty()) {
        (true, _) => "found",
        (false, true) => "missing",
        (false, false) => "failed",
    };
    app.metrics.signature_checks.with_label_values(&[outcome]).inc();
    for failure in &failures {
        tracing::warn!(%image, failure, "signatures of an image cannot be looked at everywhere");
    }
    tracing::debug!(%image, outcome, "the signatures of an image were looked at");
    // A name that it was given meanwhile nobody has looked at.
    let has_grown = app.store.image_names(tenant, image).await?.iter().any(|name| !untold.names.contains(name));
    let looked = Looked { image: *image, found, open, untold, has_grown, begun, now: app.clock.now() };
    let mut held = first.clone();
    for _ in 0..JOINED {
        let checks = looked.checks(&first, &held);
        if app.store.put_signature_checks(tenant, &held, &checks).await? {
            let is_new =
                |check: &SignatureCheck| of(&first, &check.authority).is_none_or(|old| differs(old, check, looked.now));
            return Ok(checks.len() < looked.found.len() || checks.iter().any(is_new));
        }
        held = app.store.signature_checks(tenant, image).await?;
    }
    tracing::warn!(%image, "what was found of signatures is not kept: others write of the image all the time");
    Ok(true)
}

/// What is in store by one authority.
fn of<'a>(checks: &'a [SignatureCheck], authority: &Digest) -> Option<&'a SignatureCheck> {
    checks.iter().find(|check| check.authority == *authority)
}

/// What a look found.
struct Looked {
    image: Digest,
    found: BTreeMap<Digest, Found>,
    /// Authorities that have to be asked again soon.
    open: BTreeSet<Digest>,
    untold: Untold,
    /// Whether the image has got further names since the look began.
    has_grown: bool,
    begun: Timestamp,
    /// When it ended.
    now: Timestamp,
}

impl Looked {
    /// What is to be kept, where `first` was in store before the look, and `held` is by now.
    fn checks(&self, first: &[SignatureCheck], held: &[SignatureCheck]) -> Vec<SignatureCheck> {
        let check = |(id, found): (&Digest, &Found)| {
            let old = of(held, id);
            let meanwhile = old.filter(|old| of(first, id) != Some(*old));
            // Another replica told all there is while this one looked: that stands.
            if meanwhile.is_some_and(|old| old.failure.is_empty() && old.looked_at >= self.begun) {
                return None;
            }
            let open = self.open.contains(id);
            let check = if self.untold.failure.is_empty() {
                told(self.image, *id, found, open, old, self.now)
            } else {
                partly(self.image, *id, found, open, &self.untold, old, self.now)
            };
            // Somebody has asked for another look since this one began.
            let is_due = self.has_grown || meanwhile.is_some_and(|old| old.retry_at <= self.now);
            Some(if is_due { SignatureCheck { retry_at: self.now, ..check } } else { check })
        };
        self.found.iter().filter_map(check).collect()
    }
}

/// Has an image looked at again that somebody asks for by a name that no signature was of: by now one may be. At most once a minute.
///
/// # Errors
/// When the database does not answer.
pub async fn look_again(app: &App, tenant: &Tenant, image: &Digest) -> Result<(), StoreError> {
    let (held, now) = (app.store.signature_checks(tenant, image).await?, app.clock.now());
    if is_settled(&held, now) {
        app.store.recheck_image(tenant, image, now).await?;
        app.signatures.want();
    }
    Ok(())
}

/// Whether an image that was found signed, or to have an SBOM, goes by names that were not among those that this is of.
///
/// # Errors
/// When the database does not answer.
pub async fn has_further_names(app: &App, tenant: &Tenant, image: &Digest) -> Result<bool, StoreError> {
    let held = app.store.signature_checks(tenant, image).await?;
    if !held.iter().any(|check| check.signed || check.sbom) {
        return Ok(false);
    }
    let known: BTreeSet<&String> =
        held.iter().flat_map(|it| [&it.signed_names, &it.sbom_names]).flatten().flatten().collect();
    let is_known = |name: &String| known.contains(name);
    Ok(!app.store.image_names(tenant, image).await?.iter().all(is_known))
}

/// Whether the last look, whatever it told and whoever was believed, is some time ago.
fn is_settled(held: &[SignatureCheck], now: Timestamp) -> bool {
    let newest = held.iter().map(|check| check.looked_at).max();
    newest.is_some_and(|at| now.seconds_since(at) >= SETTLED)
}

/// What was gathered, weighed on a thread of its own, as SBOMs are large; what the places said that did not answer, and what these left
/// untold.
async fn weighed(
    app: &App,
    gathered: Gathered,
    questions: &Questions,
) -> Result<(BTreeMap<Digest, Found>, Vec<String>, Untold), String> {
    let (questions, limits) = (questions.clone(), app.settings.limits);
    let weighed = tokio::task::spawn_blocking(move || {
        let (ids, authorities): (Vec<Digest>, Vec<&Authority>) =
            questions.authorities.iter().map(|(id, authority)| (*id, authority)).unzip();
        let found = weigh(&gathered.parts, &gathered.subjects, &authorities, questions.root.as_deref(), &limits);
        let found: Vec<Found> = found.into_iter().map(|evidence| named(evidence, &gathered)).collect();
        let found = ids.into_iter().zip(found).collect();
        let Gathered { failures, away: places, resolved, stands_at, .. } = gathered;
        (found, failures, Untold { places, resolved, stands_at, ..Untold::default() })
    });
    weighed.await.map_err(|error| format!("weighing was broken off: {error}"))
}

/// Evidence by the names of the image that it is of.
fn named(evidence: Evidence, gathered: &Gathered) -> Found {
    let left_out = gathered.left_out.iter();
    Found {
        signed: gathered.names_of(&evidence.signed),
        sbom: gathered.names_of(&evidence.sbom),
        signed_places: evidence.signed_places,
        sbom_places: evidence.sbom_places,
        detail: [evidence.detail].iter().chain(left_out).map(String::as_str).collect::<Vec<_>>().join("; "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found_signed(signed: bool) -> Found {
        let signed = if signed { BTreeSet::from(["i".to_owned()]) } else { BTreeSet::new() };
        Found { signed, ..Found::default() }
    }

    #[test]
    fn who_asks_has_an_image_looked_at_again_when_the_last_look_is_over() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let (image, authority) = (Digest::of("image"), Digest::of("authority"));
        let check = told(image, authority, &found_signed(true), false, None, at(10));
        let old = SignatureCheck { looked_at: at(0), checked_at: Some(at(0)), ..check.clone() };
        assert!(!is_settled(&[], at(99)), "nobody has looked yet");
        assert!(!is_settled(&[check.clone(), old.clone()], at(69)));
        assert!(is_settled(&[check.clone(), old.clone()], at(70)));
        // One place that fails for ever keeps nobody from asking.
        let failing = SignatureCheck { failure: "no answer".to_owned(), ..check };
        assert!(!is_settled(&[failing.clone(), old.clone()], at(69)));
        assert!(is_settled(&[failing, old], at(70)));
    }

    #[test]
    fn what_others_wrote_meanwhile_is_joined_and_not_written_over() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let (image, authority) = (Digest::of("image"), Digest::of("authority"));
        let looked = |found: Found, failure: &str, has_grown: bool| Looked {
            image,
            open: if found.is_signed() { BTreeSet::new() } else { BTreeSet::from([authority]) },
            found: BTreeMap::from([(authority, found)]),
            untold: Untold { failure: failure.to_owned(), everything: true, ..Untold::default() },
            has_grown,
            begun: at(100),
            now: at(130),
        };
        let in_vain = looked(found_signed(false), "no answer", false);
        let good = told(image, authority, &found_signed(true), false, None, at(120));
        assert!(in_vain.checks(&[], std::slice::from_ref(&good)).is_empty(), "another replica told all");
        let before = told(image, authority, &found_signed(true), false, None, at(90));
        let joined = in_vain.checks(&[], std::slice::from_ref(&before)).remove(0);
        assert_eq!((joined.signed, joined.failure.as_str(), joined.looked_at), (true, "no answer", at(130)));
        // Somebody asked for another look.
        let held = SignatureCheck { retry_at: at(95), ..before.clone() };
        let whole = looked(found_signed(true), "", false);
        let retry = |looked: &Looked, first: &SignatureCheck, held: &SignatureCheck| {
            looked.checks(std::slice::from_ref(first), std::slice::from_ref(held)).remove(0).retry_at
        };
        assert_eq!(retry(&whole, &before, &held), at(130));
        assert!(retry(&whole, &held, &held) > at(130), "it was due before");
        assert_eq!(retry(&looked(found_signed(true), "", true), &held, &held), at(130), "it has another name");
    }

    #[test]
    fn a_signer_that_nobody_waits_for_is_not_asked_again_soon() {
        let spec = |key: &str| {
            let admission = json!({"requireSignature": true, "signers": [{"name": "a", "key": key}]});
            serde_json::from_value(json!({ "admission": admission })).unwrap()
        };
        let key = |seed| stella_attest::SigningKey::from_seed("k", &[seed; 32]).verifying().to_pem().unwrap();
        let (one, two) = (Demand::of("n/a", &spec(&key(1))).unwrap(), Demand::of("n/b", &spec(&key(2))).unwrap());
        let questions = Questions::new(vec![Arc::new(one.clone()), Arc::new(one), Arc::new(two)], None);
        let ids: Vec<Digest> = questions.ids().copied().collect();
        assert_eq!(ids.len(), 2, "each once");
        let found = |signed: [bool; 2]| -> BTreeMap<Digest, Found> {
            ids.iter().copied().zip(signed.map(found_signed)).collect()
        };
        assert!(questions.open(&found([true, true])).is_empty());
        assert_eq!(questions.open(&found([false, true])), BTreeSet::from([ids[0]]));
        assert_eq!(questions.open(&found([false, false])).len(), 2);
    }
}
