//! Whether a container is to go. Pure.

use stella_api::admission::{AdmissionMode, ImageAdmission, ImageDecision, ImageVerdict, NamespaceAdmission};
use stella_domain::Timestamp;
use stella_store::ObservedContainer;

/// The decision by which a container has to go; `None` when it stays. It goes when all of this holds: its namespace enforces and is
/// not exempt, its image is blocked there at `now` and has no grace in that namespace, and it started after the verdict turned
/// (at `since`). One that ran before is what grace is for: its successors are refused at the door. A registry that does not answer
/// ends nothing that runs: what rests on a signature that could not be looked for is refused at the door alone.
#[must_use]
pub fn sentence<'a>(
    container: &ObservedContainer,
    place: &NamespaceAdmission,
    entry: &'a ImageAdmission,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Option<&'a ImageDecision> {
    let enforced = place.mode == AdmissionMode::Enforce && !place.exempt && !container.pod.is_empty();
    let graced = entry.grace.get(&container.namespace).is_some_and(|end| now < *end);
    let new = since.is_some_and(|since| container.started_at >= since);
    let decision = entry.decision_at(now)?;
    let blocked = decision.verdict == ImageVerdict::Blocked && !decision.rests_on_doubt();
    (enforced && !graced && new && container.stopped_at.is_none() && blocked).then_some(decision)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stella_api::admission::{FailurePolicy, UnscannedAction};
    use stella_domain::{Digest, Tenant};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn container() -> ObservedContainer {
        ObservedContainer {
            id: "containerd://c".into(),
            image: Digest::of("i").to_string(),
            image_ref: "app:1".into(),
            node: "n".into(),
            namespace: "shop".into(),
            pod: "web".into(),
            name: "web".into(),
            entrypoint: String::new(),
            started_at: at(100),
            from_start: true,
            openings: true,
            gap: None,
            stopped_at: None,
        }
    }

    fn place() -> NamespaceAdmission {
        NamespaceAdmission {
            namespace: "shop".into(),
            tenant: Tenant::default(),
            scope: "s".into(),
            mode: AdmissionMode::Enforce,
            unscanned: UnscannedAction::Allow,
            failure_policy: FailurePolicy::Ignore,
            stale_after_seconds: None,
            exempt: false,
        }
    }

    fn entry(verdict: ImageVerdict) -> ImageAdmission {
        let decision = ImageDecision { count: 1, ..ImageDecision::bare(verdict) };
        ImageAdmission {
            scope: "s".into(),
            image: Digest::of("i"),
            digests: vec![],
            references: vec![],
            next: Some(ImageDecision { verdict: ImageVerdict::Pass, ..decision.clone() }),
            decision,
            valid_until: Some(at(1000)),
            grace: BTreeMap::new(),
            confirmed_at: None,
        }
    }

    #[test]
    fn a_new_container_of_a_blocked_image_goes_where_it_is_enforced() {
        let blocked = entry(ImageVerdict::Blocked);
        let goes = |container: &ObservedContainer, place: &NamespaceAdmission, entry: &ImageAdmission, since, now| {
            sentence(container, place, entry, since, at(now)).is_some()
        };
        assert!(goes(&container(), &place(), &blocked, Some(at(50)), 200));
        let before = goes(&container(), &place(), &blocked, Some(at(101)), 200);
        assert!(!before, "it ran before the verdict turned");
        assert!(!goes(&container(), &place(), &blocked, None, 200), "nobody knows since when");
        assert!(!goes(&container(), &place(), &blocked, Some(at(50)), 1000), "a waiver or rule ended it to the second");
        for verdict in [ImageVerdict::Pass, ImageVerdict::Warn] {
            assert!(!goes(&container(), &place(), &entry(verdict), Some(at(50)), 200));
        }
        for mode in [AdmissionMode::Audit, AdmissionMode::Warn] {
            assert!(!goes(&container(), &NamespaceAdmission { mode, ..place() }, &blocked, Some(at(50)), 200));
        }
        assert!(!goes(&container(), &NamespaceAdmission { exempt: true, ..place() }, &blocked, Some(at(50)), 200));
        let graced = ImageAdmission { grace: BTreeMap::from([("shop".into(), at(300))]), ..blocked.clone() };
        assert!(!goes(&container(), &place(), &graced, Some(at(50)), 299));
        assert!(goes(&container(), &place(), &graced, Some(at(50)), 300));
        for (reason, goes_too) in
            [("signature.unverified: no answer", false), ("signature.missing: none by a: x", true)]
        {
            let mut unsigned = blocked.clone();
            unsigned.decision.reasons = vec![reason.to_owned()];
            assert_eq!(goes(&container(), &place(), &unsigned, Some(at(50)), 200), goes_too, "{reason}");
        }
        for gone in [
            ObservedContainer { stopped_at: Some(at(150)), ..container() },
            ObservedContainer { pod: String::new(), ..container() },
        ] {
            assert!(!goes(&gone, &place(), &blocked, Some(at(50)), 200));
        }
    }
}
