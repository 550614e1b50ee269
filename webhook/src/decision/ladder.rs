//! The ladder: what an answer rests on while the server is heard, away, or was never there.

use serde_json::json;
use stella_api::admission::{AdmissionMode, FailurePolicy, ImageAdmission, NamespaceAdmission, UnscannedAction};

use super::*;
use crate::fixture::{self, blocked, now, passing};
use crate::verdicts::{Bundle, Bundled};

const FRESH: i64 = 60;
const GRACE: i64 = 600;

fn settings() -> Settings {
    Settings { fresh_seconds: FRESH, verdict_seconds: FRESH + GRACE, ..Settings::default() }
}

fn review(namespace: &str, image: &str) -> Review {
    let object = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let request =
        json!({"uid": "1", "operation": "CREATE", "namespace": namespace, "resource": resource, "object": object});
    let body = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
    Review::read(body.to_string().as_bytes()).unwrap()
}

/// The server refused `bad:1` and let `good:1` in.
fn held() -> Held {
    fixture::held(&[fixture::namespace("*")], &[blocked("bad:1"), passing("good:1")])
}

/// A bundle for an hour from [`now`] on, by which it is the other way round.
fn bundle() -> Bundled {
    let other = fixture::held(&[fixture::namespace("*")], &[passing("bad:1"), blocked("good:1")]);
    Bundle::of(&other, Vec::new(), now(), 3600).unwrap().bundled().unwrap()
}

type Ended = Result<(Outcome, Rung), ()>;

fn ends(held: &Held, bundle: Option<&Bundled>, image: &str, seconds: i64) -> Ended {
    let decided = decide(&review("shop", image), held, bundle, &settings(), now().plus_seconds(seconds));
    decided.map(|decision| (decision.outcome, decision.rung.unwrap())).map_err(drop)
}

#[test]
fn each_rung_follows_on_the_one_before() {
    use Outcome::{Allowed, Denied};
    let (held, bundle) = (held(), bundle());
    let table: [(i64, Ended, Ended); 5] = [
        (0, Ok((Denied, Rung::Fresh)), Ok((Allowed, Rung::Fresh))),
        (FRESH, Ok((Denied, Rung::Fresh)), Ok((Allowed, Rung::Fresh))),
        (FRESH + 1, Ok((Denied, Rung::Stale)), Ok((Allowed, Rung::Stale))),
        (FRESH + GRACE, Ok((Denied, Rung::Stale)), Ok((Allowed, Rung::Stale))),
        (FRESH + GRACE + 1, Ok((Allowed, Rung::Bundle)), Ok((Denied, Rung::Bundle))),
    ];
    for (seconds, bad, good) in table {
        assert_eq!(ends(&held, Some(&bundle), "bad:1", seconds), bad, "bad:1 after {seconds} s");
        assert_eq!(ends(&held, Some(&bundle), "good:1", seconds), good, "good:1 after {seconds} s");
    }
    // The bundle has expired: what the server refused stays refused, about the rest nobody can say anything.
    assert_eq!(ends(&held, Some(&bundle), "bad:1", 3600), Ok((Denied, Rung::KnownDenial)));
    assert_eq!(ends(&held, Some(&bundle), "good:1", 3600), Err(()));
    assert_eq!(ends(&held, None, "bad:1", FRESH + GRACE + 1), Ok((Denied, Rung::KnownDenial)));
    assert_eq!(ends(&held, None, "good:1", FRESH + GRACE + 1), Err(()));
}

#[test]
fn a_cluster_without_a_server_has_its_bundle() {
    let (none, bundle) = (Held::default(), bundle());
    assert_eq!(ends(&none, None, "good:1", 0), Err(()));
    assert_eq!(ends(&none, Some(&bundle), "good:1", 0), Ok((Outcome::Denied, Rung::Bundle)));
    assert_eq!(ends(&none, Some(&bundle), "bad:1", 3599), Ok((Outcome::Allowed, Rung::Bundle)));
    assert_eq!(ends(&none, Some(&bundle), "good:1", 3600), Ok((Outcome::Denied, Rung::KnownDenial)));
    assert_eq!(ends(&none, Some(&bundle), "bad:1", 3600), Err(()));
}

#[test]
fn only_what_was_scanned_and_enforced_is_a_known_denial() {
    let late = FRESH + GRACE + 1;
    let mut namespace = fixture::namespace("*");
    namespace.unscanned = UnscannedAction::Deny;
    let held = |namespace| fixture::held(&[namespace], &[blocked("bad:1")]);
    assert_eq!(ends(&held(namespace.clone()), None, "new:1", 0), Ok((Outcome::Denied, Rung::Fresh)));
    assert_eq!(ends(&held(namespace.clone()), None, "new:1", late), Err(()), "it may have been scanned since");
    namespace.mode = AdmissionMode::Warn;
    assert_eq!(ends(&held(namespace), None, "bad:1", late), Err(()));
}

fn failing(mode: AdmissionMode) -> NamespaceAdmission {
    NamespaceAdmission { failure_policy: FailurePolicy::Fail, mode, ..fixture::namespace("*") }
}

#[test]
fn a_namespace_that_enforces_and_says_fail_refuses_where_there_is_nothing_to_judge_by() {
    let late = FRESH + GRACE + 1;
    let held = |mode| fixture::held(&[failing(mode)], &[blocked("bad:1"), passing("good:1")]);
    let strict = held(AdmissionMode::Enforce);
    for seconds in [0, FRESH + 1, late - 1] {
        assert_eq!(ends(&strict, None, "good:1", seconds).unwrap().0, Outcome::Allowed, "after {seconds} s");
    }
    for image in ["good:1", "new:1"] {
        assert_eq!(ends(&strict, None, image, late), Ok((Outcome::Denied, Rung::Default)));
    }
    assert_eq!(ends(&strict, None, "bad:1", late), Ok((Outcome::Denied, Rung::KnownDenial)));
    assert_eq!(ends(&strict, None, "good:1", -301), Ok((Outcome::Denied, Rung::Default)), "the clock was set back");
    for mode in [AdmissionMode::Audit, AdmissionMode::Warn] {
        assert_eq!(ends(&held(mode), None, "good:1", late), Err(()), "{mode:?}");
    }
    // Of a namespace that nobody ever told of it is not known what it says.
    assert_eq!(ends(&Held::default(), None, "good:1", 0), Err(()));
    // A bundle that has expired still says it.
    let bundle = Bundle::of(&strict, Vec::new(), now(), 3600).unwrap().bundled().unwrap();
    assert_eq!(ends(&Held::default(), Some(&bundle), "good:1", 3599), Ok((Outcome::Allowed, Rung::Bundle)));
    assert_eq!(ends(&Held::default(), Some(&bundle), "good:1", 3600), Ok((Outcome::Denied, Rung::Default)));
}

#[test]
fn what_says_fail_is_refused_wherever_others_are_let_in_without_verdicts() {
    let held = |namespace| fixture::held(&[namespace], &[passing("good:1")]);
    let open = Settings { away: AwayAction::Allow, ..settings() };
    let late = now().plus_seconds(FRESH + GRACE + 1);
    let decided = |held: &Held, review: &Review| decide(review, held, None, &open, late).unwrap().outcome;
    let pod = review("shop", "good:1");
    assert_eq!(decided(&held(failing(AdmissionMode::Enforce)), &pod), Outcome::Denied);
    assert_eq!(decided(&held(failing(AdmissionMode::Warn)), &pod), Outcome::Unchecked);
    assert_eq!(decided(&held(fixture::namespace("*")), &pod), Outcome::Unchecked);
    let exempt = Settings { exempt_namespaces: ["shop".to_owned()].into(), ..open.clone() };
    let strict = held(failing(AdmissionMode::Enforce));
    assert_eq!(decide(&pod, &strict, None, &exempt, late).unwrap().outcome, Outcome::Exempt);
    // Its pods will be refused.
    let mut job = pod.clone();
    (job.resource.group, job.resource.resource) = ("batch".to_owned(), "jobs".to_owned());
    job.object = json!({"spec": {"template": pod.object}});
    assert_eq!(decided(&strict, &job), Outcome::Unchecked);
    let deny = Settings { workloads: WorkloadAction::Deny, ..open.clone() };
    assert_eq!(decide(&job, &strict, None, &deny, late).unwrap().outcome, Outcome::Denied);
}

#[test]
fn a_refusal_without_verdicts_says_why_and_what_mends_it_and_is_replayed() {
    let strict = fixture::held(&[failing(AdmissionMode::Enforce)], &[passing("good:1")]);
    let mut pod = review("shop", "good:1");
    pod.object["metadata"] = json!({"annotations": {BREAK_GLASS: "outage 42"}});
    let decision = decide(&pod, &strict, None, &settings(), now().plus_seconds(FRESH + GRACE + 1)).unwrap();
    let message = decision.message.as_deref().unwrap();
    for part in ["away for 661 s", "namespace shop", "failurePolicy: Fail", "the operator", BREAK_GLASS, "good:1"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!((decision.audit["rung"].as_str(), decision.audit["decision"].as_str()), ("default", "denied"));
    assert!(decision.audit["reason"].contains("away for 661 s"));
    assert_eq!(decision.break_glass.as_deref(), Some("outage 42"));
    let text = serde_json::to_string(&decision.record.unwrap()).unwrap();
    let read: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read.replayed()).unwrap(), text, "the same bytes");
    // With verdicts that someone vouches for it passes.
    assert_eq!(read.against(&strict.view).conclusion.outcome, Outcome::Allowed);
}

#[test]
fn verdicts_grow_stale_while_the_server_is_away_and_no_refusal_outlives_them_for_that() {
    let mut namespace = fixture::namespace("*");
    (namespace.unscanned, namespace.stale_after_seconds) = (UnscannedAction::Deny, Some(FRESH + 10));
    let confirmed = |mut image: ImageAdmission| {
        image.confirmed_at = Some(now());
        image
    };
    let held = fixture::held(&[namespace], &[confirmed(passing("good:1")), confirmed(blocked("bad:1"))]);
    assert_eq!(ends(&held, None, "good:1", FRESH + 9), Ok((Outcome::Allowed, Rung::Stale)));
    assert_eq!(ends(&held, None, "good:1", FRESH + 10), Ok((Outcome::Denied, Rung::Stale)));
    let late = FRESH + GRACE + 1;
    assert_eq!(ends(&held, None, "good:1", late), Err(()), "it may have been scanned since");
    assert_eq!(ends(&held, None, "bad:1", late), Ok((Outcome::Denied, Rung::KnownDenial)));
}

#[test]
fn a_waiver_that_ends_meanwhile_ends_on_every_rung() {
    let mut waived = passing("app:1");
    waived.valid_until = Some(now().plus_seconds(FRESH + 5));
    waived.next = Some(blocked("app:1").decision);
    let held = fixture::held(&[fixture::namespace("*")], &[waived]);
    assert_eq!(ends(&held, None, "app:1", FRESH + 4), Ok((Outcome::Allowed, Rung::Stale)));
    assert_eq!(ends(&held, None, "app:1", FRESH + 5), Ok((Outcome::Denied, Rung::Stale)));
    assert_eq!(ends(&held, None, "app:1", FRESH + GRACE + 1), Ok((Outcome::Denied, Rung::KnownDenial)));
}

#[test]
fn a_clock_that_jumps_makes_nothing_last_for_ever() {
    let held = held();
    // Back by a little: the present. Back by more: nobody knows how old it is, and what was refused stays refused.
    assert_eq!(ends(&held, None, "good:1", -300), Ok((Outcome::Allowed, Rung::Fresh)));
    assert_eq!(ends(&held, None, "good:1", -301), Err(()));
    assert_eq!(ends(&held, None, "bad:1", -1_000_000), Ok((Outcome::Denied, Rung::KnownDenial)));
    // A bundle is not used before it is issued.
    assert_eq!(ends(&Held::default(), Some(&bundle()), "bad:1", -301), Err(()));
    // Forward: as if the time had passed.
    assert_eq!(ends(&held, None, "good:1", 1_000_000_000), Err(()));
}

#[test]
fn the_rung_stands_in_annotations_and_records_and_is_replayed() {
    let decided = |image: &str, seconds| {
        decide(&review("shop", image), &held(), None, &settings(), now().plus_seconds(seconds)).unwrap()
    };
    assert_eq!(decided("good:1", 0).audit["rung"], "fresh");
    assert_eq!(decided("good:1", FRESH + 1).audit["rung"], "stale");
    let known = decided("bad:1", FRESH + GRACE + 1);
    assert_eq!(known.audit["rung"], "known-denial");
    let record = known.record.unwrap();
    assert_eq!(record.inputs.rung, Rung::KnownDenial);
    let text = serde_json::to_string(&record).unwrap();
    let read: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read.replayed()).unwrap(), text, "the same bytes");
    let open = Settings { away: AwayAction::Allow, ..settings() };
    let unchecked = decide(&review("shop", "good:1"), &Held::default(), None, &open, now()).unwrap();
    assert_eq!((unchecked.outcome, unchecked.audit["rung"].as_str()), (Outcome::Unchecked, "default"));
}

#[test]
fn a_record_is_judged_by_the_verdicts_of_a_proposed_policy() {
    let record = decide(&review("shop", "good:1"), &held(), None, &settings(), now()).unwrap().record.unwrap();
    let stricter = fixture::view(&[fixture::namespace("*")], &[blocked("good:1")]);
    let after = record.against(&stricter);
    assert_eq!((record.conclusion.outcome, after.conclusion.outcome), (Outcome::Allowed, Outcome::Denied));
    assert_eq!(record.against(&held().view).conclusion, record.conclusion);
    let mut exempt = fixture::namespace("shop");
    exempt.exempt = true;
    let view = fixture::view(&[exempt], &[blocked("good:1")]);
    assert_eq!(record.against(&view).conclusion.outcome, Outcome::Exempt);
    assert_eq!(record.turned(&after), ["good:1"]);
    assert_eq!(record.turned(&record.against(&view)), ["good:1"], "it is the namespace that differs");
}

#[test]
fn a_grace_that_held_holds_by_other_verdicts_too() {
    let mut graced = blocked("bad:1");
    graced.grace.insert("shop".to_owned(), now().plus_seconds(60));
    let held = fixture::held(&[fixture::namespace("*")], &[graced]);
    let record = decide(&review("shop", "bad:1"), &held, None, &settings(), now()).unwrap().record.unwrap();
    assert_eq!(record.conclusion.outcome, Outcome::Warned);
    let without = fixture::view(&[fixture::namespace("*")], &[blocked("bad:1")]);
    assert_eq!(record.against(&without).conclusion.outcome, Outcome::Warned);
}
