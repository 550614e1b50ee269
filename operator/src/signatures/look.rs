//! One look at what is attached to an image, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_registry::credentials::Keyring;
use stella_registry::{Attachment, PullError, Reference};
use stella_signature::TrustRoot;
use stella_store::{SignatureCheck, StoreError};

use super::demand::{Authority, Demand};
use super::evidence::{Evidence, is_evidence, weigh};
use crate::app::App;
use crate::scanning::{RegistryError, keyring_for};

/// Seconds for which what was found counts.
const GOOD_FOR: i64 = 7 * 86_400;
/// Seconds after which it is looked for again.
const AGAIN: i64 = 12 * 3600;
/// Seconds until what was not found is looked for again: twice as long each time.
const SOON: i64 = 15;
/// The longest of these.
const LATE: i64 = 3600;
/// Time for one repository.
const TIME: Duration = Duration::from_secs(30);
/// Repositories of an image that are asked.
const REPOSITORIES: usize = 8;
/// Indexes of an image that are looked up in a repository.
const INDEXES: usize = 4;
/// Characters of a reason that are kept.
const FAILURE: usize = 500;

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
    fn open(&self, found: &BTreeMap<Digest, Evidence>) -> BTreeSet<Digest> {
        let root = self.root.as_deref();
        let mut open = BTreeSet::new();
        for demand in self.demands.iter() {
            let ids: Vec<Digest> = demand.authorities().map(|authority| authority.id(root)).collect();
            let any = |of: fn(&Evidence) -> bool| ids.iter().filter_map(|id| found.get(id)).any(of);
            let content = (!demand.signature || any(|it| it.signed)) && (!demand.sbom || any(|it| it.sbom));
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
    let gathered = match gather(app, tenant, image, &names).await {
        Ok(gathered) => weighed(app, gathered, questions).await,
        Err(error) => Err(error.to_string()),
    };
    let now = app.clock.now();
    let (checks, outcome): (Vec<SignatureCheck>, _) = match &gathered {
        Ok((found, failures)) => {
            let open = questions.open(found);
            let check = |(id, evidence): (&Digest, &Evidence)| {
                let (open, nothing) = (open.contains(id), !evidence.signed && !evidence.sbom);
                if open && nothing && !failures.is_empty() {
                    // What a registry that did not answer has may be what is missing.
                    failed(*image, *id, &failures.join("; "), known(id), now)
                } else {
                    told(*image, *id, evidence, open, known(id), now)
                }
            };
            let outcome = match (open.is_empty(), failures.is_empty()) {
                (true, _) => "found",
                (false, true) => "missing",
                (false, false) => "failed",
            };
            (found.iter().map(check).collect(), outcome)
        }
        Err(failure) => (questions.ids().map(|id| failed(*image, *id, failure, known(id), now)).collect(), "failed"),
    };
    app.metrics.signature_checks.with_label_values(&[outcome]).inc();
    for failure in gathered.as_ref().map_or_else(std::slice::from_ref, |(_, failures)| failures.as_slice()) {
        tracing::warn!(%image, failure, "signatures of an image cannot be looked at everywhere");
    }
    tracing::debug!(%image, outcome, "the signatures of an image were looked at");
    app.store.put_signature_checks(tenant, &checks).await?;
    Ok(checks.iter().any(|check| known(&check.authority).is_none_or(|old| differs(old, check, now))))
}

/// What is attached to an image, and the digests that stand for it.
#[derive(Default)]
struct Gathered {
    parts: Vec<Attachment>,
    images: Vec<Digest>,
    left_out: Option<String>,
    /// What the places said that did not answer.
    failures: Vec<String>,
}

/// The names of an image, the one that it was last read by first: whoever may ask for scans may give it others.
async fn names(app: &App, tenant: &Tenant, image: &Digest) -> Result<Vec<String>, StoreError> {
    let read_by = app.store.image_summary(tenant, image).await?.and_then(|summary| summary.reference);
    Ok(read_by.into_iter().chain(app.store.image_names(tenant, image).await?).collect())
}

/// Asks every place at the same time: one that does not answer holds up no other.
async fn gather(app: &App, tenant: &Tenant, image: &Digest, names: &[String]) -> Result<Gathered, RegistryError> {
    let places = repositories(names);
    if places.is_empty() {
        return Err(RegistryError::NoRepository);
    }
    let keyring = keyring_for(app, tenant, image).await?;
    let others: Vec<Digest> =
        names.iter().filter_map(|name| name.parse::<Digest>().ok()).filter(|name| name != image).collect();
    let asked: Vec<_> = places.iter().map(|place| ask(app, place, image, &others, &keyring)).collect();
    let mut gathered = Gathered { images: vec![*image], ..Gathered::default() };
    for answer in join_all(asked).await {
        match answer {
            Ok(found) => {
                gathered.parts.extend(found.parts);
                gathered.images.extend(found.images);
                gathered.left_out = gathered.left_out.or(found.left_out);
            }
            Err(failure) => gathered.failures.push(failure),
        }
    }
    Ok(gathered)
}

/// What is attached in one repository, within its time.
async fn ask(
    app: &App,
    place: &Reference,
    image: &Digest,
    others: &[Digest],
    keyring: &Keyring,
) -> Result<Gathered, String> {
    match tokio::time::timeout(TIME, at_place(app, place, image, others, keyring)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{}: not finished after {} s", place.registry(), TIME.as_secs())),
    }
}

/// What is attached in one repository: to the image, and to the indexes that list it. Who signs an index signs what it lists.
async fn at_place(
    app: &App,
    place: &Reference,
    image: &Digest,
    others: &[Digest],
    keyring: &Keyring,
) -> Result<Gathered, PullError> {
    let mut gathered = Gathered { images: vec![*image], ..Gathered::default() };
    // An image goes by its configuration, too, and some registries fail when they are asked for a manifest of that name.
    let configuration = match others {
        [] => None,
        _ => app.registries.configuration(place, *image, keyring).await?,
    };
    for index in others.iter().filter(|other| Some(**other) != configuration).take(INDEXES) {
        if app.registries.lists(place, *index, *image, keyring).await? {
            gathered.images.push(*index);
        }
    }
    for subject in &gathered.images {
        let attached = app.registries.attachments(place, *subject, keyring, &is_evidence).await?;
        gathered.parts.extend(attached.parts);
        gathered.left_out = gathered.left_out.or(attached.left_out);
    }
    Ok(gathered)
}

/// The repositories that an image goes by, each by one of its names.
fn repositories(names: &[String]) -> Vec<Reference> {
    let mut seen = BTreeSet::new();
    let references = names.iter().filter(|name| name.parse::<Digest>().is_err());
    references
        .filter_map(|name| name.parse::<Reference>().ok())
        .filter(|name| seen.insert((name.registry().to_owned(), name.repository().to_owned())))
        .take(REPOSITORIES)
        .collect()
}

/// The registry that an image comes from, for taking turns.
pub(super) fn host(names: &[String]) -> String {
    repositories(names).first().map(|place| place.registry().to_owned()).unwrap_or_default()
}

/// What was gathered, weighed on a thread of its own, as SBOMs are large; and what the places said that did not answer.
async fn weighed(
    app: &App,
    gathered: Gathered,
    questions: &Questions,
) -> Result<(BTreeMap<Digest, Evidence>, Vec<String>), String> {
    let (questions, limits) = (questions.clone(), app.settings.limits);
    let weighed = tokio::task::spawn_blocking(move || {
        let (ids, authorities): (Vec<Digest>, Vec<&Authority>) =
            questions.authorities.iter().map(|(id, authority)| (*id, authority)).unzip();
        let found = weigh(&gathered.parts, &gathered.images, &authorities, questions.root.as_deref(), &limits);
        let with_rest = |mut evidence: Evidence| {
            if let Some(left_out) = &gathered.left_out {
                evidence.detail = format!("{}; {left_out}", evidence.detail);
            }
            evidence
        };
        (ids.into_iter().zip(found.into_iter().map(with_rest)).collect(), gathered.failures)
    });
    weighed.await.map_err(|error| format!("weighing was broken off: {error}"))
}

/// A look that told something.
fn told(
    image: Digest,
    authority: Digest,
    evidence: &Evidence,
    open: bool,
    old: Option<&SignatureCheck>,
    now: Timestamp,
) -> SignatureCheck {
    let failures = if open { old.map_or(0, |old| old.failures) + 1 } else { 0 };
    SignatureCheck {
        image,
        authority,
        signed: evidence.signed,
        sbom: evidence.sbom,
        detail: evidence.detail.chars().take(FAILURE).collect(),
        failure: String::new(),
        failures,
        checked_at: Some(now),
        expires_at: now.plus_seconds(GOOD_FOR),
        retry_at: now.plus_seconds(if open { wait(failures) } else { AGAIN }),
    }
}

/// A look that told nothing: what was found before counts until it expires.
fn failed(
    image: Digest,
    authority: Digest,
    failure: &str,
    old: Option<&SignatureCheck>,
    now: Timestamp,
) -> SignatureCheck {
    let failures = old.map_or(0, |old| old.failures) + 1;
    let blank = || SignatureCheck {
        image,
        authority,
        signed: false,
        sbom: false,
        detail: String::new(),
        failure: String::new(),
        failures: 0,
        checked_at: None,
        expires_at: Timestamp::from_millis(0),
        retry_at: now,
    };
    SignatureCheck {
        failure: failure.chars().take(FAILURE).collect(),
        failures,
        retry_at: now.plus_seconds(wait(failures)),
        ..old.cloned().unwrap_or_else(blank)
    }
}

/// Seconds until the next look after so many in vain.
fn wait(failures: i64) -> i64 {
    let doublings = u32::try_from(failures.clamp(1, 16) - 1).unwrap_or_default();
    (SOON << doublings).min(LATE)
}

/// Whether a verdict may rest on the difference.
fn differs(old: &SignatureCheck, new: &SignatureCheck, now: Timestamp) -> bool {
    (old.signed, old.sbom, &old.detail, &old.failure, old.checked_at.is_some())
        != (new.signed, new.sbom, &new.detail, &new.failure, new.checked_at.is_some())
        || (old.expires_at <= now && now < new.expires_at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn evidence(signed: bool) -> Evidence {
        Evidence { signed, sbom: false, detail: "d".to_owned() }
    }

    #[test]
    fn what_was_not_found_is_looked_for_again_soon_and_then_ever_later() {
        let (image, authority) = (Digest::of("image"), Digest::of("authority"));
        let mut check = told(image, authority, &evidence(false), true, None, at(0));
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(check.retry_at.seconds_since(at(0)));
            check = told(image, authority, &evidence(false), true, Some(&check), at(0));
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]);
        assert_eq!(wait(i64::MAX), LATE);
        let found = told(image, authority, &evidence(true), false, Some(&check), at(10));
        assert_eq!((found.failures, found.retry_at, found.expires_at), (0, at(10 + AGAIN), at(10 + GOOD_FOR)));
    }

    #[test]
    fn a_look_that_failed_leaves_what_was_found() {
        let (image, authority) = (Digest::of("image"), Digest::of("authority"));
        let found = told(image, authority, &evidence(true), false, None, at(10));
        let after = failed(image, authority, &"x".repeat(1000), Some(&found), at(20));
        assert_eq!((after.signed, after.checked_at, after.expires_at), (true, Some(at(10)), found.expires_at));
        assert_eq!((after.failure.len(), after.retry_at), (FAILURE, at(35)));
        let first = failed(image, authority, "no answer", None, at(20));
        assert_eq!((first.signed, first.checked_at, first.failures), (false, None, 1));
        assert!(differs(&found, &after, at(20)));
        let renewed = |now| told(image, authority, &evidence(true), false, Some(&found), now);
        assert!(!differs(&found, &renewed(at(11)), at(11)));
        let late = found.expires_at.plus_seconds(1);
        assert!(differs(&found, &renewed(late), late), "it had expired");
    }

    #[test]
    fn repositories_are_asked_once_each_and_digests_are_none() {
        let names =
            ["r.example/a:1", "r.example/a:2", "r.example/b@sha256:00", "s.example/a", &Digest::of("x").to_string()]
                .map(str::to_owned);
        let found: Vec<String> = repositories(&names).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["r.example/a:1", "s.example/a:latest"]);
        assert_eq!(host(&names), "r.example");
        assert_eq!(host(&[]), "");
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
        let found = |signed: [bool; 2]| ids.iter().copied().zip(signed.map(evidence)).collect();
        assert!(questions.open(&found([true, true])).is_empty());
        assert_eq!(questions.open(&found([false, true])), BTreeSet::from([ids[0]]));
        assert_eq!(questions.open(&found([false, false])).len(), 2);
    }
}
