//! What a verdict says at one instant: waivers end and graces run out by the clock, with no need of a connection.

use stella_api::admission::{ImageAdmission, ImageDecision};
use stella_domain::Timestamp;

/// What holds of an image in a namespace at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding<'a> {
    /// The verdict.
    pub decision: &'a ImageDecision,
    /// Until when a refusal is only a warning; `None` when it is not, or not any more.
    pub grace_until: Option<Timestamp>,
    /// Whether it is what followed when the first verdict ended.
    pub followed: bool,
}

/// What holds of `image` in `namespace` at `now`. `None` when the verdict has ended and nobody said what follows:
/// then the image counts as not scanned.
#[must_use]
pub fn holding<'a>(image: &'a ImageAdmission, namespace: &str, now: Timestamp) -> Option<Holding<'a>> {
    let followed = image.valid_until.is_some_and(|end| now >= end);
    let decision = if followed { image.next.as_ref()? } else { &image.decision };
    let grace_until = image.grace.get(namespace).copied().filter(|end| now < *end);
    Some(Holding { decision, grace_until, followed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use stella_api::admission::ImageVerdict::{Blocked, Pass};

    #[test]
    fn a_waiver_ends_to_the_second() {
        let mut image = fixture::passing("app:1");
        image.valid_until = Some(fixture::now().plus_seconds(3));
        image.next = Some(fixture::blocked("app:1").decision);
        let verdicts: Vec<_> = (0..6)
            .map(|second| holding(&image, "shop", fixture::now().plus_seconds(second)).unwrap().decision.verdict)
            .collect();
        assert_eq!(verdicts, [Pass, Pass, Pass, Blocked, Blocked, Blocked]);
    }

    #[test]
    fn an_end_without_successor_leaves_nothing() {
        let mut image = fixture::passing("app:1");
        image.valid_until = Some(fixture::now());
        assert_eq!(holding(&image, "shop", fixture::now()), None);
        assert!(holding(&image, "shop", fixture::now().plus_seconds(-1)).is_some());
    }

    #[test]
    fn grace_is_a_namespaces_own_and_runs_out() {
        let mut image = fixture::blocked("app:1");
        image.grace.insert("shop".to_owned(), fixture::now().plus_seconds(2));
        let grace = |namespace: &str, second| {
            holding(&image, namespace, fixture::now().plus_seconds(second)).unwrap().grace_until.is_some()
        };
        assert!(grace("shop", 1) && !grace("shop", 2) && !grace("other", 1));
    }
}
