//! What is kept of a look, and when the next one is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use stella_domain::{Digest, Timestamp};
use stella_registry::Reference;
use stella_store::SignatureCheck;

use super::gather::reference;

/// Seconds for which what was found counts.
const GOOD_FOR: i64 = 7 * 86_400;
/// Seconds after which it is looked for again.
const AGAIN: i64 = 12 * 3600;
/// Seconds until what was not found is looked for again: twice as long each time.
const SOON: i64 = 15;
/// The longest of these.
const LATE: i64 = 3600;
/// Seconds before the end of what was found, from which on a look does not count it any more: what is found then has a time of its
/// own, before that of the other is over.
const MARGIN: i64 = 3600;
/// Characters of a reason that are kept.
const LONGEST: usize = 500;

/// What a look found for one authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The names of the image that signatures are of; none without a signature.
    pub(super) signed: BTreeSet<String>,
    /// The same of SBOMs.
    pub(super) sbom: BTreeSet<String>,
    /// The places where these signatures lie.
    pub(super) signed_places: BTreeSet<String>,
    /// The same of SBOMs.
    pub(super) sbom_places: BTreeSet<String>,
    /// Why the rest does not count, for people.
    pub(super) detail: String,
}

impl Found {
    pub(super) fn is_signed(&self) -> bool {
        !self.signed.is_empty()
    }

    pub(super) fn has_sbom(&self) -> bool {
        !self.sbom.is_empty()
    }
}

/// What a look did not tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Untold {
    /// Why; empty when it told all there is.
    pub(super) failure: String,
    /// Whether it told nothing at all.
    pub(super) everything: bool,
    /// The places that did not answer, or not in full.
    pub(super) places: BTreeSet<String>,
    /// Names that these looked up all the same.
    pub(super) resolved: BTreeSet<String>,
    /// What references stand at, as far as anybody told.
    pub(super) stands_at: BTreeMap<String, Digest>,
    /// All names of the image.
    pub(super) names: BTreeSet<String>,
}

/// What is there of one kind, signatures or SBOMs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Evidence {
    is_there: bool,
    names: BTreeSet<String>,
    places: BTreeSet<String>,
}

impl Untold {
    /// What counts on of what was known before, where a look found `new`: evidence in the places that did not answer, and the names
    /// that these alone can tell. Whatever a place that answered says goes before what was known of it.
    fn joined(&self, new: Evidence, old: Option<(Option<&BTreeSet<String>>, &BTreeSet<String>)>) -> Evidence {
        let Some((names, places)) = old else { return new };
        // Where it lay is not known of what was found before names were kept.
        let lay = if names.is_some() { places & &self.places } else { self.places.clone() };
        if !new.is_there && lay.is_empty() {
            return new;
        }
        let names = names.unwrap_or(&self.names);
        let mut carried: BTreeSet<String> = names.iter().filter(|name| self.is_tag_of_one(name)).cloned().collect();
        // A place that has nothing to do with it keeps nothing alive.
        if !lay.is_empty() || !carried.is_empty() {
            let digests: BTreeSet<Digest> = names.iter().filter_map(|name| name.parse().ok()).collect();
            let at_one = self.stands_at.iter().filter(|(_, digest)| digests.contains(*digest));
            carried.extend(at_one.map(|(name, _)| name.clone()));
            carried.extend(digests.iter().map(ToString::to_string));
        }
        Evidence { is_there: true, names: &new.names | &carried, places: &new.places | &lay }
    }

    /// Whether it is a tag in a place that did not answer, and was not looked up.
    fn is_tag_of_one(&self, name: &str) -> bool {
        let is_away = |tag: Reference| tag.digest().is_none() && self.places.contains(&tag.place());
        !self.resolved.contains(name) && reference(name).is_some_and(is_away)
    }
}

/// A look that told all there is. It is `open` when a policy is not content with it.
pub(super) fn told(
    image: Digest,
    authority: Digest,
    found: &Found,
    open: bool,
    old: Option<&SignatureCheck>,
    now: Timestamp,
) -> SignatureCheck {
    let failures = if open { old.map_or(0, |old| old.failures) + 1 } else { 0 };
    SignatureCheck {
        image,
        authority,
        signed: found.is_signed(),
        sbom: found.has_sbom(),
        signed_names: Some(found.signed.clone()),
        sbom_names: Some(found.sbom.clone()),
        signed_places: found.signed_places.clone(),
        sbom_places: found.sbom_places.clone(),
        detail: found.detail.chars().take(LONGEST).collect(),
        failure: String::new(),
        failures,
        looked_at: now,
        checked_at: Some(now),
        expires_at: now.plus_seconds(GOOD_FOR),
        retry_at: now.plus_seconds(if open { wait(failures) } else { AGAIN }),
    }
}

/// A look that told a part, as some repository did not answer: what is missing may be there. What was found there before counts on
/// beside what was found now, until the earlier of both expires.
pub(super) fn partly(
    image: Digest,
    authority: Digest,
    found: &Found,
    open: bool,
    untold: &Untold,
    old: Option<&SignatureCheck>,
    now: Timestamp,
) -> SignatureCheck {
    if untold.everything {
        return failed(image, authority, &untold.failure, open, old, now);
    }
    let new = told(image, authority, found, open, old, now);
    let is_bare = !new.signed && !new.sbom;
    let valid = old.filter(|old| is_bare || now.plus_seconds(MARGIN) < old.expires_at);
    let evidence = |names: &BTreeSet<String>, places: &BTreeSet<String>| Evidence {
        is_there: !names.is_empty(),
        names: names.clone(),
        places: places.clone(),
    };
    let (new_signed, new_sbom) =
        (evidence(&found.signed, &found.signed_places), evidence(&found.sbom, &found.sbom_places));
    let old_signed = valid.filter(|old| old.signed).map(|old| (old.signed_names.as_ref(), &old.signed_places));
    let old_sbom = valid.filter(|old| old.sbom).map(|old| (old.sbom_names.as_ref(), &old.sbom_places));
    let signed = untold.joined(new_signed.clone(), old_signed);
    let sbom = untold.joined(new_sbom.clone(), old_sbom);
    let rests_on_old = (&signed, &sbom) != (&new_signed, &new_sbom);
    // That there is none is known from a look that told all, unless that one found some.
    let lapsed = old.is_some_and(|old| (old.signed && !signed.is_there) || (old.sbom && !sbom.is_there));
    let checked_at = old.filter(|_| !lapsed).and_then(|old| old.checked_at);
    let detail = old.filter(|_| is_bare && !lapsed).map_or_else(|| new.detail.clone(), |old| old.detail.clone());
    let (expires_at, retry_at) = match valid.filter(|_| rests_on_old) {
        Some(old) if is_bare => (old.expires_at, new.retry_at),
        Some(old) => (old.expires_at, new.retry_at.min(old.expires_at.plus_seconds(-MARGIN))),
        None => (new.expires_at, new.retry_at),
    };
    SignatureCheck {
        signed: signed.is_there,
        sbom: sbom.is_there,
        signed_names: Some(signed.names),
        sbom_names: Some(sbom.names),
        signed_places: signed.places,
        sbom_places: sbom.places,
        detail,
        failure: untold.failure.chars().take(LONGEST).collect(),
        checked_at,
        expires_at,
        retry_at,
        ..new
    }
}

/// A look that told nothing: what was found before counts until it expires.
fn failed(
    image: Digest,
    authority: Digest,
    failure: &str,
    open: bool,
    old: Option<&SignatureCheck>,
    now: Timestamp,
) -> SignatureCheck {
    let failures = old.map_or(0, |old| old.failures) + 1;
    let blank = || SignatureCheck {
        checked_at: None,
        expires_at: Timestamp::from_millis(0),
        ..told(image, authority, &Found::default(), open, None, now)
    };
    SignatureCheck {
        failure: failure.chars().take(LONGEST).collect(),
        failures,
        looked_at: now,
        retry_at: now.plus_seconds(if open { wait(failures) } else { AGAIN }),
        ..old.cloned().unwrap_or_else(blank)
    }
}

/// Seconds until the next look after so many in vain.
fn wait(failures: i64) -> i64 {
    let doublings = u32::try_from(failures.clamp(1, 16) - 1).unwrap_or_default();
    (SOON << doublings).min(LATE)
}

/// Whether a verdict may rest on the difference.
pub(super) fn differs(old: &SignatureCheck, new: &SignatureCheck, now: Timestamp) -> bool {
    (old.signed, old.sbom, &old.detail, &old.failure, old.checked_at.is_some())
        != (new.signed, new.sbom, &new.detail, &new.failure, new.checked_at.is_some())
        || (&old.signed_names, &old.sbom_names) != (&new.signed_names, &new.sbom_names)
        || (old.expires_at <= now && now < new.expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn ids() -> (Digest, Digest) {
        (Digest::of("image"), Digest::of("authority"))
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    /// All of it in one place.
    fn found(signed: &[&str], sbom: &[&str]) -> Found {
        let places = |of: &[&str]| names(if of.is_empty() { &[] } else { &["r.example/app"] });
        let (signed_places, sbom_places) = (places(signed), places(sbom));
        Found { signed: names(signed), sbom: names(sbom), signed_places, sbom_places, detail: "d".to_owned() }
    }

    /// Where these places do not answer.
    fn away(places: &[&str]) -> Untold {
        Untold { failure: "no answer".to_owned(), places: names(places), ..Untold::default() }
    }

    #[test]
    fn what_was_not_found_is_looked_for_again_soon_and_then_ever_later() {
        let (image, authority) = ids();
        let mut check = told(image, authority, &found(&[], &[]), true, None, at(0));
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(check.retry_at.seconds_since(at(0)));
            check = told(image, authority, &found(&[], &[]), true, Some(&check), at(0));
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]);
        assert_eq!(wait(i64::MAX), LATE);
        let found = told(image, authority, &found(&["i"], &[]), false, Some(&check), at(10));
        assert_eq!((found.failures, found.retry_at, found.expires_at), (0, at(10 + AGAIN), at(10 + GOOD_FOR)));
    }

    #[test]
    fn a_look_that_failed_leaves_what_was_found() {
        let (image, authority) = ids();
        let first_found = told(image, authority, &found(&["i"], &[]), false, None, at(10));
        let after = failed(image, authority, &"x".repeat(1000), true, Some(&first_found), at(20));
        assert_eq!((after.signed, after.checked_at, after.expires_at), (true, Some(at(10)), first_found.expires_at));
        assert_eq!((after.failure.len(), after.retry_at), (LONGEST, at(35)));
        let first = failed(image, authority, "no answer", true, None, at(20));
        assert_eq!((first.signed, first.checked_at, first.failures), (false, None, 1));
        assert!(differs(&first_found, &after, at(20)));
        let renewed = |now| told(image, authority, &found(&["i"], &[]), false, Some(&first_found), now);
        assert!(!differs(&first_found, &renewed(at(11)), at(11)));
        let late = first_found.expires_at.plus_seconds(1);
        assert!(differs(&first_found, &renewed(late), late), "it had expired");
        let wider = told(image, authority, &found(&["i", "index"], &[]), false, None, at(11));
        assert!(differs(&first_found, &wider, at(11)), "it is of another name, too");
    }

    #[test]
    fn a_tag_that_moves_while_another_repository_is_away_is_no_name_of_the_image_any_more() {
        let (image, authority) = ids();
        let own = image.to_string();
        let (good, other) = ("r.example/app:1", "s.example/app:1");
        let whole = told(image, authority, &found(&[&own, good, other], &[]), false, None, at(0));
        let signed = |places: &[&str], found: &Found, resolved: &[&str]| {
            let untold = Untold { resolved: names(resolved), ..away(places) };
            let check = partly(image, authority, found, false, &untold, Some(&whole), at(100));
            (check.signed, check.signed_names.unwrap(), check.expires_at == whole.expires_at)
        };
        // The registry has the signature still, and says that the tag stands elsewhere by now.
        let moved = found(&[&own], &[]);
        assert_eq!(signed(&["dead.example/app"], &moved, &[]), (true, names(&[&own]), false));
        assert_eq!(signed(&["s.example/app"], &moved, &[]), (true, names(&[&own, other]), true));
        // It looked the tag up, and failed thereafter.
        assert_eq!(signed(&["r.example/app"], &moved, &[good]), (true, names(&[&own]), false));
        // The signature was taken away where it lay, and somebody else is away.
        let gone = found(&[], &[]);
        assert_eq!(signed(&["dead.example/app"], &gone, &[]), (false, names(&[]), false));
        assert_eq!(signed(&["s.example/app"], &gone, &[]), (false, names(&[]), false));
        assert_eq!(signed(&["r.example/app"], &gone, &[good]), (true, names(&[&own]), true));
        // Where the signature lies is away, and the other says that its tag stands where it stood.
        let stands_at = BTreeMap::from([(other.to_owned(), image)]);
        let untold = Untold { resolved: names(&[other]), stands_at, ..away(&["r.example/app"]) };
        let check = partly(image, authority, &gone, true, &untold, Some(&whole), at(100));
        assert_eq!(check.signed_names, Some(names(&[&own, good, other])));
    }

    #[test]
    fn of_what_was_found_before_names_were_kept_those_of_places_that_answer_follow_the_look() {
        let (image, authority) = ids();
        let (own, good, other) = (image.to_string(), "r.example/app:1", "s.example/app:1");
        let whole = told(image, authority, &found(&[&own], &[]), false, None, at(0));
        let old = SignatureCheck { signed_names: None, signed_places: names(&[]), ..whole };
        let untold = Untold { names: names(&[&own, good, other]), ..away(&["s.example/app"]) };
        let part = partly(image, authority, &found(&[], &[]), true, &untold, Some(&old), at(100));
        assert_eq!((part.signed, part.signed_names), (true, Some(names(&[&own, other]))));
        assert_eq!(part.signed_places, names(&["s.example/app"]), "it may lie there");
        let nothing = Untold { everything: true, ..untold };
        let none = partly(image, authority, &found(&[], &[]), true, &nothing, Some(&old), at(100));
        assert_eq!((none.signed, none.signed_names), (true, None), "not known yet");
    }

    #[test]
    fn what_a_registry_that_is_away_had_counts_on_beside_what_another_has() {
        let (image, authority) = ids();
        let (i, index) = (image.to_string(), Digest::of("index").to_string());
        let elsewhere = |sbom: &[&str]| Found { sbom_places: names(&["s.example/app"]), ..found(&[], sbom) };
        // The signature lies in one repository, the SBOM in the other, and the first is away since.
        let both = Found { sbom_places: names(&["s.example/app"]), ..found(&[&i, &index], &[&i]) };
        let (whole, untold) = (told(image, authority, &both, false, None, at(0)), away(&["r.example/app"]));
        let part = partly(image, authority, &elsewhere(&[&i]), true, &untold, Some(&whole), at(100));
        assert_eq!((part.signed, part.sbom, part.checked_at), (true, true, Some(at(0))));
        assert_eq!((&part.signed_names, &part.sbom_names), (&Some(names(&[&i, &index])), &Some(names(&[&i]))));
        assert_eq!((part.failure.as_str(), part.expires_at), ("no answer", whole.expires_at));
        // Nobody answers at all: the row of before.
        let all = Untold { everything: true, ..untold.clone() };
        let nothing = partly(image, authority, &found(&[], &[]), true, &all, Some(&part), at(200));
        assert_eq!((nothing.signed, nothing.sbom, nothing.expires_at), (true, true, whole.expires_at));
        assert_eq!(nothing.looked_at, at(200));
        // What was found anew gets its own time before that of the other is over; the other is not known to be missing.
        let late = whole.expires_at.plus_seconds(-MARGIN);
        let lapsed = partly(image, authority, &elsewhere(&[&i]), true, &untold, Some(&part), late);
        assert_eq!((lapsed.signed, lapsed.sbom, lapsed.checked_at), (false, true, None));
        assert_eq!(lapsed.expires_at, late.plus_seconds(GOOD_FOR));
        assert_eq!(lapsed.signed_names, Some(names(&[])));
    }

    #[test]
    fn what_rests_on_a_look_of_before_is_looked_for_again_in_time() {
        let (image, authority) = ids();
        let (i, index) = (image.to_string(), Digest::of("index").to_string());
        // The index is signed in a repository that is away.
        let both = Found { signed_places: names(&["r.example/app", "s.example/app"]), ..found(&[&i, &index], &[]) };
        let (whole, untold) = (told(image, authority, &both, false, None, at(0)), away(&["s.example/app"]));
        let names_of = |check: &SignatureCheck| check.signed_names.as_ref().unwrap().len();
        let before = whole.expires_at.plus_seconds(-MARGIN - 60);
        let part = partly(image, authority, &found(&[&i], &[]), false, &untold, Some(&whole), before);
        assert_eq!((names_of(&part), part.retry_at), (2, before.plus_seconds(60)));
        let fresh = partly(image, authority, &found(&[&i], &[]), false, &untold, Some(&part), part.retry_at);
        assert_eq!((names_of(&fresh), fresh.expires_at), (1, part.retry_at.plus_seconds(GOOD_FOR)));
        assert_eq!(fresh.retry_at, part.retry_at.plus_seconds(AGAIN));
    }

    #[test]
    fn a_first_look_that_told_a_part_says_nothing_of_the_rest() {
        let (image, authority) = ids();
        let untold = away(&["s.example/app"]);
        let part = partly(image, authority, &found(&[], &["i"]), true, &untold, None, at(0));
        assert_eq!((part.signed, part.sbom, part.checked_at), (false, true, None));
        assert_eq!(part.failure, "no answer");
        let denied = told(image, authority, &found(&[], &[]), true, None, at(0));
        let part = partly(image, authority, &found(&[], &["i"]), true, &untold, Some(&denied), at(9));
        assert_eq!((part.signed, part.checked_at), (false, Some(at(0))), "that there was none is known");
    }
}
