//! One look at what is attached to an image, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stella_domain::{Digest, Tenant, Timestamp};
use stella_signature::TrustRoot;
use stella_store::{SignatureCheck, StoreError};

use super::demand::{Authority, Demand};
use super::evidence::{Evidence, weigh};
use super::gather::{Gathered, gather, names};
use super::kept::{Found, differs, partly, told};
use crate::app::App;

/// Seconds after a look before which nobody has an image looked at again by asking for it.
const SETTLED: i64 = 60;

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
    let held = app.store.signature_checks(tenant, image).await?;
    let known = |id: &Digest| held.iter().find(|check| check.authority == *id);
    // Another replica may have been faster.
    if questions.ids().all(|id| known(id).is_some_and(|check| check.retry_at > app.clock.now())) {
        return Ok(false);
    }
    let names = names(app, tenant, image).await?;
    let answer = match gather(app, tenant, image, &names).await {
        Ok(gathered) => weighed(app, gathered, questions).await,
        Err(error) => Err(error.to_string()),
    };
    let now = app.clock.now();
    let (found, failures) = match answer {
        Ok((found, failures)) => (found, failures),
        Err(failure) => (questions.ids().map(|id| (*id, Found::default())).collect(), vec![failure]),
    };
    let open = questions.open(&found);
    let failure = failures.join("; ");
    let check = |(id, found): (&Digest, &Found)| {
        let open = open.contains(id);
        // What is missing may be where nobody answered.
        if failures.is_empty() {
            told(*image, *id, found, open, known(id), now)
        } else {
            partly(*image, *id, found, open, &failure, known(id), now)
        }
    };
    let checks: Vec<SignatureCheck> = found.iter().map(check).collect();
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
    app.store.put_signature_checks(tenant, &checks).await?;
    Ok(checks.iter().any(|check| known(&check.authority).is_none_or(|old| differs(old, check, now))))
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
    let is_known = |name: &String| held.iter().any(|it| it.signed_names.contains(name) || it.sbom_names.contains(name));
    Ok(!app.store.image_names(tenant, image).await?.iter().all(is_known))
}

/// Whether the last look is some time ago and went well. After others the next one is soon.
fn is_settled(held: &[SignatureCheck], now: Timestamp) -> bool {
    let newest = held.iter().filter_map(|check| check.checked_at).max();
    held.iter().all(|check| check.failure.is_empty()) && newest.is_some_and(|at| now.seconds_since(at) >= SETTLED)
}

/// What was gathered, weighed on a thread of its own, as SBOMs are large; and what the places said that did not answer.
async fn weighed(
    app: &App,
    gathered: Gathered,
    questions: &Questions,
) -> Result<(BTreeMap<Digest, Found>, Vec<String>), String> {
    let (questions, limits) = (questions.clone(), app.settings.limits);
    let weighed = tokio::task::spawn_blocking(move || {
        let (ids, authorities): (Vec<Digest>, Vec<&Authority>) =
            questions.authorities.iter().map(|(id, authority)| (*id, authority)).unzip();
        let found = weigh(&gathered.parts, &gathered.subjects, &authorities, questions.root.as_deref(), &limits);
        let found = found.into_iter().map(|evidence| named(evidence, &gathered));
        (ids.into_iter().zip(found).collect(), gathered.failures.clone())
    });
    weighed.await.map_err(|error| format!("weighing was broken off: {error}"))
}

/// Evidence by the names of the image that it is of.
fn named(evidence: Evidence, gathered: &Gathered) -> Found {
    let left_out = gathered.left_out.iter();
    Found {
        signed: gathered.names_of(&evidence.signed),
        sbom: gathered.names_of(&evidence.sbom),
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
        let old = SignatureCheck { checked_at: Some(at(0)), ..check.clone() };
        assert!(!is_settled(&[], at(99)), "nobody has looked yet");
        assert!(!is_settled(&[check.clone(), old.clone()], at(69)));
        assert!(is_settled(&[check, old.clone()], at(70)));
        assert!(!is_settled(&[SignatureCheck { failure: "no answer".to_owned(), ..old }], at(99)));
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
