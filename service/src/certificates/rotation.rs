//! When what is due: the decisions of a rotation, one step at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use stella_domain::Timestamp;

use super::facts::CertificateFacts;
use super::make::{self, SKEW_SECONDS};
use super::{CertificateError, Keyring, Lifetimes};

/// What is to be done with a keyring at an instant. After a step there may be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Make everything anew: there is nothing, it cannot be read, or the authority has ended.
    Make,
    /// Make the next authority and have clients trust it.
    Announce,
    /// Serve under the next authority from now on.
    Switch,
    /// Make a new serving certificate under the same authority.
    Renew,
    /// Stop trusting the previous authority.
    Forget,
}

/// What is due for `keyring` at `now`, so that it serves `names`.
#[must_use]
pub fn plan(keyring: Option<&Keyring>, names: &[String], lifetimes: &Lifetimes, now: Timestamp) -> Step {
    let Some(keyring) = keyring else { return Step::Make };
    let Ok(authority) = CertificateFacts::read(&keyring.authority.certificate) else { return Step::Make };
    if authority.ended(now) {
        return Step::Make;
    }
    if let Some(step) = authority_step(keyring, &authority, lifetimes, now) {
        return step;
    }
    if serving_is_due(keyring, &authority, names, now) { Step::Renew } else { Step::Keep }
}

/// Does one step; returns the keyring after it.
///
/// # Errors
/// Making a certificate failed; the given keyring is still good.
pub fn apply(
    step: Step,
    keyring: Option<Keyring>,
    names: &[String],
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Keyring, CertificateError> {
    let Some(mut keyring) = keyring.filter(|_| step != Step::Make) else {
        return Keyring::make(names, lifetimes, now);
    };
    match step {
        Step::Keep | Step::Make => {}
        Step::Announce => keyring.next = Some(make::authority(lifetimes, now)?),
        Step::Forget => keyring.previous = None,
        Step::Renew => keyring.serving = make::serving(&keyring.authority, names, lifetimes, now)?,
        Step::Switch => {
            if let Some(next) = keyring.next.take() {
                keyring.serving = make::serving(&next, names, lifetimes, now)?;
                keyring.previous = Some(std::mem::replace(&mut keyring.authority, next).certificate);
            }
        }
    }
    Ok(keyring)
}

fn authority_step(
    keyring: &Keyring,
    authority: &CertificateFacts,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Option<Step> {
    let overlap = seconds(lifetimes.overlap);
    if let Some(next) = &keyring.next {
        // A next authority that cannot be read, or is old itself, is made again.
        let Ok(next) = CertificateFacts::read(&next.certificate) else { return Some(Step::Announce) };
        if next.due(now) {
            return Some(Step::Announce);
        }
        return (now.seconds_since(made(&next)) >= overlap).then_some(Step::Switch);
    }
    if authority.due(now) {
        return Some(Step::Announce);
    }
    let forget = keyring.previous.is_some() && served_under(keyring, authority, now) >= overlap;
    forget.then_some(Step::Forget)
}

/// For how many seconds, at least, the current authority's certificate has been served; a renewal starts over.
fn served_under(keyring: &Keyring, authority: &CertificateFacts, now: Timestamp) -> i64 {
    match CertificateFacts::read(&keyring.serving.certificate) {
        Ok(serving) if serving.issuer == authority.subject => now.seconds_since(made(&serving)),
        _ => 0,
    }
}

fn serving_is_due(keyring: &Keyring, authority: &CertificateFacts, names: &[String], now: Timestamp) -> bool {
    let Ok(serving) = CertificateFacts::read(&keyring.serving.certificate) else { return true };
    let wanted: BTreeSet<String> = names.iter().cloned().collect();
    serving.due(now) || serving.issuer != authority.subject || serving.names != wanted
}

fn made(certificate: &CertificateFacts) -> Timestamp {
    certificate.not_before.plus_seconds(SKEW_SECONDS)
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn start() -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }

    fn names() -> Vec<String> {
        vec!["stella-webhook.stella.svc".to_owned(), "127.0.0.1".to_owned()]
    }

    fn day(n: i64) -> Timestamp {
        start().plus_seconds(n * DAY)
    }

    /// Does whatever is due at `now`, and says what it was.
    fn advance(keyring: &mut Option<Keyring>, now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let step = plan(keyring.as_ref(), &names(), &Lifetimes::default(), now);
            if step == Step::Keep {
                return steps;
            }
            *keyring = Some(apply(step, keyring.take(), &names(), &Lifetimes::default(), now).unwrap());
            steps.push(step);
        }
    }

    #[test]
    fn a_fresh_keyring_is_kept() {
        let mut keyring = None;
        assert_eq!(advance(&mut keyring, start()), [Step::Make]);
        assert_eq!(advance(&mut keyring, start().plus_seconds(1)), []);
        let facts = CertificateFacts::read(&keyring.unwrap().serving.certificate).unwrap();
        assert_eq!(facts.names, names().into_iter().collect());
        assert_eq!(facts.not_after, day(60));
    }

    #[test]
    fn a_serving_certificate_is_renewed_at_two_thirds_and_for_other_names() {
        let mut keyring = None;
        advance(&mut keyring, start());
        assert_eq!(advance(&mut keyring, day(39)), []);
        assert_eq!(advance(&mut keyring, day(41)), [Step::Renew]);
        let other = ["other".to_owned()];
        assert_eq!(plan(keyring.as_ref(), &other, &Lifetimes::default(), day(41)), Step::Renew);
    }

    #[test]
    fn two_years_day_by_day_never_break_trust() {
        let mut keyring = None;
        advance(&mut keyring, start());
        let mut switches = 0;
        for n in 1..730 {
            let before = keyring.clone().unwrap();
            let steps = advance(&mut keyring, day(n));
            let after = keyring.clone().unwrap();
            // Who still holds yesterday's bundle can check today's certificate, and the other way round.
            for (bundle, served) in [(&before, &after), (&after, &before)] {
                assert!(trusts(bundle, served), "day {n}: {steps:?}");
            }
            assert!(!steps.contains(&Step::Make), "day {n}");
            switches += steps.iter().filter(|step| **step == Step::Switch).count();
        }
        assert!(switches >= 2, "{switches}");
        assert!(keyring.unwrap().previous.is_none());
    }

    fn trusts(holder: &Keyring, server: &Keyring) -> bool {
        let issuer = CertificateFacts::read(&server.serving.certificate).unwrap().issuer;
        let next = holder.next.as_ref().map(|pair| pair.certificate.clone());
        [Some(holder.authority.certificate.clone()), next, holder.previous.clone()]
            .into_iter()
            .flatten()
            .any(|pem| CertificateFacts::read(&pem).unwrap().subject == issuer)
    }

    #[test]
    fn what_slept_through_its_end_is_made_anew() {
        let mut keyring = None;
        advance(&mut keyring, start());
        assert_eq!(advance(&mut keyring, day(400)), [Step::Make]);
    }

    #[test]
    fn the_bundle_holds_both_authorities_while_they_overlap() {
        let mut keyring = None;
        advance(&mut keyring, start());
        let steps = advance(&mut keyring, day(244));
        assert!(steps.contains(&Step::Announce), "{steps:?}");
        assert_eq!(keyring.as_ref().unwrap().bundle().matches("BEGIN CERTIFICATE").count(), 2);
        assert!(advance(&mut keyring, day(245)).contains(&Step::Switch));
        assert_eq!(keyring.as_ref().unwrap().bundle().matches("BEGIN CERTIFICATE").count(), 2);
        advance(&mut keyring, day(246));
        assert_eq!(keyring.as_ref().unwrap().bundle().matches("BEGIN CERTIFICATE").count(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_made_again() {
        let mut keyring = None;
        advance(&mut keyring, start());
        if let Some(keyring) = &mut keyring {
            keyring.serving.certificate = "cut of".to_owned();
        }
        assert_eq!(advance(&mut keyring, start()), [Step::Renew]);
        if let Some(keyring) = &mut keyring {
            keyring.authority.certificate.clear();
        }
        assert_eq!(advance(&mut keyring, start()), [Step::Make]);
    }
}
