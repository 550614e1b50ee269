//! What is kept of a look, and when the next one is. Pure.

use std::collections::BTreeSet;

use stella_domain::{Digest, Timestamp};
use stella_store::SignatureCheck;

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
        signed_names: found.signed.clone(),
        sbom_names: found.sbom.clone(),
        detail: found.detail.chars().take(LONGEST).collect(),
        failure: String::new(),
        failures,
        checked_at: Some(now),
        expires_at: now.plus_seconds(GOOD_FOR),
        retry_at: now.plus_seconds(if open { wait(failures) } else { AGAIN }),
    }
}

/// A look that told a part, as some repository did not answer (`failure`): what is missing may be there. What was found before counts
/// on beside what was found now, until the earlier of both expires.
pub(super) fn partly(
    image: Digest,
    authority: Digest,
    found: &Found,
    open: bool,
    failure: &str,
    old: Option<&SignatureCheck>,
    now: Timestamp,
) -> SignatureCheck {
    if !found.is_signed() && !found.has_sbom() {
        return failed(image, authority, failure, open, old, now);
    }
    let new = told(image, authority, found, open, old, now);
    let valid = old.filter(|old| now.plus_seconds(MARGIN) < old.expires_at);
    let both = SignatureCheck {
        signed: new.signed || valid.is_some_and(|old| old.signed),
        sbom: new.sbom || valid.is_some_and(|old| old.sbom),
        signed_names: joined(&new.signed_names, valid.map(|old| &old.signed_names)),
        sbom_names: joined(&new.sbom_names, valid.map(|old| &old.sbom_names)),
        failure: failure.chars().take(LONGEST).collect(),
        ..new.clone()
    };
    let rests_on_old = (both.signed, both.sbom, &both.signed_names, &both.sbom_names)
        != (new.signed, new.sbom, &new.signed_names, &new.sbom_names);
    // That there is none is known from a look that told all, unless that one found some.
    let lapsed = old.is_some_and(|old| (old.signed && !both.signed) || (old.sbom && !both.sbom));
    let checked_at = old.filter(|_| !lapsed).and_then(|old| old.checked_at);
    match valid.filter(|_| rests_on_old) {
        Some(old) => {
            let retry_at = both.retry_at.min(old.expires_at.plus_seconds(-MARGIN));
            SignatureCheck { checked_at, expires_at: old.expires_at, retry_at, ..both }
        }
        None => SignatureCheck { checked_at, ..both },
    }
}

fn joined(new: &BTreeSet<String>, old: Option<&BTreeSet<String>>) -> BTreeSet<String> {
    new.iter().chain(old.into_iter().flatten()).cloned().collect()
}

/// A look that told nothing: what was found before counts until it expires.
pub(super) fn failed(
    image: Digest,
    authority: Digest,
    failure: &str,
    open: bool,
    old: Option<&SignatureCheck>,
    now: Timestamp,
) -> SignatureCheck {
    let failures = old.map_or(0, |old| old.failures) + 1;
    let blank = || SignatureCheck {
        image,
        authority,
        signed: false,
        sbom: false,
        signed_names: BTreeSet::new(),
        sbom_names: BTreeSet::new(),
        detail: String::new(),
        failure: String::new(),
        failures: 0,
        checked_at: None,
        expires_at: Timestamp::from_millis(0),
        retry_at: now,
    };
    SignatureCheck {
        failure: failure.chars().take(LONGEST).collect(),
        failures,
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

    fn found(signed: &[&str], sbom: &[&str]) -> Found {
        Found { signed: names(signed), sbom: names(sbom), detail: "d".to_owned() }
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
    fn what_a_registry_that_is_away_had_counts_on_beside_what_another_has() {
        let (image, authority) = ids();
        // The signature lies in one repository, the SBOM in the other, and the first is away since.
        let whole = told(image, authority, &found(&["i", "index"], &["i"]), false, None, at(0));
        let part = partly(image, authority, &found(&[], &["i"]), true, "no answer", Some(&whole), at(100));
        assert_eq!((part.signed, part.sbom, part.checked_at), (true, true, Some(at(0))));
        assert_eq!((&part.signed_names, &part.sbom_names), (&names(&["i", "index"]), &names(&["i"])));
        assert_eq!((part.failure.as_str(), part.expires_at), ("no answer", whole.expires_at));
        // Nothing new at all: the row of before.
        let nothing = partly(image, authority, &found(&[], &[]), true, "no answer", Some(&part), at(200));
        assert_eq!((nothing.signed, nothing.sbom, nothing.expires_at), (true, true, whole.expires_at));
        // What was found anew gets its own time before that of the other is over; the other is not known to be missing.
        let late = whole.expires_at.plus_seconds(-MARGIN);
        let lapsed = partly(image, authority, &found(&[], &["i"]), true, "no answer", Some(&part), late);
        assert_eq!((lapsed.signed, lapsed.sbom, lapsed.checked_at), (false, true, None));
        assert_eq!(lapsed.expires_at, late.plus_seconds(GOOD_FOR));
        assert!(lapsed.signed_names.is_empty());
    }

    #[test]
    fn what_rests_on_a_look_of_before_is_looked_for_again_in_time() {
        let (image, authority) = ids();
        let whole = told(image, authority, &found(&["i", "index"], &[]), false, None, at(0));
        let before = whole.expires_at.plus_seconds(-MARGIN - 60);
        let part = partly(image, authority, &found(&["i"], &[]), false, "no answer", Some(&whole), before);
        assert_eq!((part.signed_names.len(), part.retry_at), (2, before.plus_seconds(60)));
        let fresh = partly(image, authority, &found(&["i"], &[]), false, "no answer", Some(&part), part.retry_at);
        assert_eq!((fresh.signed_names.len(), fresh.expires_at), (1, part.retry_at.plus_seconds(GOOD_FOR)));
        assert_eq!(fresh.retry_at, part.retry_at.plus_seconds(AGAIN));
    }

    #[test]
    fn a_first_look_that_told_a_part_says_nothing_of_the_rest() {
        let (image, authority) = ids();
        let part = partly(image, authority, &found(&[], &["i"]), true, "no answer", None, at(0));
        assert_eq!((part.signed, part.sbom, part.checked_at), (false, true, None));
        assert_eq!(part.failure, "no answer");
        let denied = told(image, authority, &found(&[], &[]), true, None, at(0));
        let part = partly(image, authority, &found(&[], &["i"]), true, "no answer", Some(&denied), at(9));
        assert_eq!((part.signed, part.checked_at), (false, Some(at(0))), "that there was none is known");
    }
}
