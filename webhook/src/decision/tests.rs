use serde_json::{Value, json};
use stella_api::admission::{
    AdmissionMode, ImageAdmission, ImageDecision, ImageVerdict, NamespaceAdmission, UnscannedAction,
};

use super::*;
use crate::fixture::{self, blocked, now, passing, warned};

/// A review, the verdicts and the settings of one test.
struct Case {
    request: Value,
    namespace: NamespaceAdmission,
    images: Vec<ImageAdmission>,
    settings: Settings,
    at: Timestamp,
}

impl Case {
    /// `object` is made in namespace `shop`, which enforces; `bad:1` is blocked, `good:1` passes, `meh:1` warns.
    fn create(group: &str, resource: &str, object: Value) -> Self {
        let request = json!({
            "uid": "1", "operation": "CREATE", "namespace": "shop", "name": "x", "object": object,
            "resource": {"group": group, "version": "v1", "resource": resource}, "userInfo": {"username": "ann"},
        });
        let exempt_namespaces = ["kube-system", "stella"].map(str::to_owned).into();
        Self {
            request,
            namespace: fixture::namespace("*"),
            images: vec![blocked("bad:1"), passing("good:1"), warned("meh:1")],
            settings: Settings { exempt_namespaces, verdict_seconds: 60, ..Settings::default() },
            at: now(),
        }
    }

    fn pod(image: &str) -> Self {
        Self::create("", "pods", pod(image))
    }

    fn update(old: Value, new: Value) -> Self {
        Self::create("", "pods", new).with("operation", json!("UPDATE")).with("oldObject", old)
    }

    fn with(mut self, field: &str, value: Value) -> Self {
        self.request[field] = value;
        self
    }

    fn mode(mut self, mode: AdmissionMode) -> Self {
        self.namespace.mode = mode;
        self
    }

    fn unscanned(mut self, action: UnscannedAction) -> Self {
        self.namespace.unscanned = action;
        self
    }

    fn workloads(mut self, action: WorkloadAction) -> Self {
        self.settings.workloads = action;
        self
    }

    fn review(&self) -> Review {
        let body = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": self.request});
        Review::read(body.to_string().as_bytes()).unwrap()
    }

    fn held(&self) -> Held {
        fixture::held(std::slice::from_ref(&self.namespace), &self.images)
    }

    fn decide(&self) -> Decision {
        decide(&self.review(), &self.held(), None, &self.settings, self.at).unwrap()
    }

    #[track_caller]
    fn ends(&self, outcome: Outcome) {
        let decision = self.decide();
        assert_eq!(decision.outcome, outcome, "{decision:?}");
        assert_eq!(decision.allowed, outcome != Outcome::Denied);
        assert_eq!(decision.message.is_some(), outcome == Outcome::Denied);
    }
}

fn spec(image: &str) -> Value {
    json!({"containers": [{"name": "app", "image": image}]})
}

fn pod(image: &str) -> Value {
    json!({"metadata": {"name": "x", "labels": {"app": "shop"}}, "spec": spec(image)})
}

fn deployment(image: &str) -> Value {
    json!({"metadata": {"name": "x"}, "spec": {"replicas": 2, "template": pod(image)}})
}

use Outcome::{Allowed, Audited, Denied, Exempt, Passed, Unchecked, Warned};

#[test]
fn a_verdict_leads_to_what_the_mode_says() {
    use AdmissionMode::{Audit, Enforce, Warn};
    let table = [
        ("good:1", [Allowed, Allowed, Allowed]),
        ("meh:1", [Audited, Warned, Warned]),
        ("bad:1", [Audited, Warned, Denied]),
    ];
    for (image, outcomes) in table {
        for (mode, outcome) in [Audit, Warn, Enforce].into_iter().zip(outcomes) {
            Case::pod(image).mode(mode).ends(outcome);
        }
    }
}

#[test]
fn every_place_of_a_pod_is_judged() {
    let places = [
        json!({"containers": [{"name": "a", "image": "good:1"}], "initContainers": [{"name": "i", "image": "bad:1"}]}),
        json!({"containers": [{"name": "a", "image": "good:1"}], "ephemeralContainers": [{"name": "d", "image": "bad:1"}]}),
        json!({"containers": [{"name": "a", "image": "good:1"}], "volumes": [{"name": "v", "image": {"reference": "bad:1"}}]}),
        json!({"containers": [{"name": "a", "image": "good:1"}, {"name": "b", "image": "docker.io/library/bad:1"}]}),
    ];
    for spec in places {
        Case::create("", "pods", json!({"spec": spec})).ends(Denied);
    }
}

#[test]
fn a_digest_is_no_way_around() {
    let image = blocked("bad:1");
    Case::pod(&format!("elsewhere.io/renamed@{}", image.digests[1])).ends(Denied);
    Case::pod(&format!("good:1@{}", image.image)).ends(Denied);
}

#[test]
fn an_ephemeral_container_added_to_a_running_pod_is_judged() {
    let mut new = pod("good:1");
    new["spec"]["ephemeralContainers"] = json!([{"name": "debug", "image": "bad:1"}]);
    Case::update(pod("good:1"), new).with("subResource", json!("ephemeralcontainers")).ends(Denied);
}

#[test]
fn an_update_is_judged_for_new_images_only() {
    Case::update(pod("good:1"), pod("bad:1")).ends(Denied);
    Case::update(pod("bad:1"), pod("good:1")).ends(Allowed);
    let mut labelled = pod("docker.io/library/bad:1");
    labelled["metadata"]["labels"] = json!({"app": "other"});
    Case::update(pod("bad:1"), labelled).ends(Passed);
}

#[test]
fn what_makes_pods_is_warned_about_or_refused() {
    let template = |image: &str| json!({"spec": {"template": pod(image)}});
    let cron = json!({"spec": {"jobTemplate": {"spec": {"template": pod("bad:1")}}}});
    let kinds = [
        ("apps", "deployments", template("bad:1")),
        ("apps", "statefulsets", template("bad:1")),
        ("apps", "daemonsets", template("bad:1")),
        ("apps", "replicasets", template("bad:1")),
        ("", "replicationcontrollers", template("bad:1")),
        ("batch", "jobs", template("bad:1")),
        ("batch", "cronjobs", cron),
    ];
    for (group, resource, object) in kinds {
        Case::create(group, resource, object.clone()).ends(Warned);
        Case::create(group, resource, object.clone()).workloads(WorkloadAction::Deny).ends(Denied);
        Case::create(group, resource, object).mode(AdmissionMode::Audit).ends(Audited);
    }
}

#[test]
fn a_scale_down_and_a_deletion_pass() {
    let mut scaled = deployment("bad:1");
    scaled["spec"]["replicas"] = json!(0);
    Case::create("apps", "deployments", scaled)
        .with("operation", json!("UPDATE"))
        .with("oldObject", deployment("bad:1"))
        .workloads(WorkloadAction::Deny)
        .ends(Passed);
    let dying = |image: &str| {
        let mut pod = pod(image);
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod
    };
    Case::update(dying("good:1"), dying("bad:1")).ends(Passed);
    Case::update(pod("good:1"), dying("bad:1")).ends(Denied);
    Case::create("", "pods", dying("bad:1")).ends(Denied);
    Case::pod("bad:1").with("operation", json!("DELETE")).ends(Passed);
}

#[test]
fn what_is_none_of_our_business_passes() {
    Case::pod("bad:1").with("subResource", json!("status")).ends(Passed);
    Case::create("", "configmaps", json!({"data": {"image": "bad:1"}})).ends(Passed);
    Case::create("apps", "deployments", json!({"spec": {"replicas": 0}}))
        .with("subResource", json!("scale"))
        .ends(Passed);
    Case::create("example.org", "pods", pod("bad:1")).ends(Passed);
}

#[test]
fn the_cluster_and_the_product_are_never_locked_out() {
    for namespace in ["kube-system", "stella"] {
        let mut case = Case::pod("bad:1").with("namespace", json!(namespace));
        case.ends(Exempt);
        case.at = now().plus_seconds(1_000_000);
        case.ends(Exempt);
    }
    let mut case = Case::pod("bad:1");
    case.namespace.exempt = true;
    case.ends(Exempt);
    assert!(case.decide().record.is_none());
}

#[test]
fn a_static_pod_is_reported_and_not_refused() {
    let mut mirror = pod("bad:1");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    mirror["spec"]["nodeName"] = json!("one");
    let by = |name: &str, group: &str| {
        Case::create("", "pods", mirror.clone()).with("userInfo", json!({"username": name, "groups": [group]}))
    };
    by("system:node:one", "system:nodes").ends(Warned);
    by("system:node:two", "system:nodes").ends(Denied);
    by("system:node:one", "people").ends(Denied);
    by("ann", "system:masters").ends(Denied);
}

#[test]
fn a_waiver_ends_to_the_second() {
    let mut case = Case::pod("waived:1");
    let mut image = passing("waived:1");
    image.valid_until = Some(now().plus_seconds(5));
    image.next = Some(blocked("waived:1").decision);
    case.images.push(image);
    for second in 0..10 {
        case.at = now().plus_seconds(second);
        case.ends(if second < 5 { Allowed } else { Denied });
    }
}

#[test]
fn grace_makes_a_refusal_a_warning_where_the_image_ran() {
    let mut case = Case::pod("turned:1");
    let mut image = blocked("turned:1");
    image.grace.insert("shop".to_owned(), now().plus_seconds(5));
    case.images.push(image);
    for second in 0..10 {
        case.at = now().plus_seconds(second);
        case.ends(if second < 5 { Warned } else { Denied });
    }
    case.at = now();
    case.with("namespace", json!("other")).ends(Denied);
}

#[test]
fn an_unscanned_image_is_treated_as_the_namespace_says_and_wished_for() {
    use UnscannedAction::{Allow, Deny, Warn};
    for (action, outcome) in [(Allow, Allowed), (Warn, Warned), (Deny, Denied)] {
        let case = Case::pod("new:1").unscanned(action);
        case.ends(outcome);
        let scans = case.decide().scans;
        assert_eq!(scans.len(), 1);
        assert_eq!((scans[0].image.as_str(), scans[0].namespace.as_str()), ("docker.io/library/new:1", "shop"));
    }
    Case::pod("not an image").unscanned(Deny).ends(Denied);
    assert!(Case::pod("not an image").decide().scans.is_empty());
}

/// A pod with `image`, confirmed `age` seconds ago, where verdicts are stale from 3600 s on.
fn aged(image: ImageAdmission, age: i64) -> Case {
    let mut case = Case::pod(&image.references[0]);
    case.namespace.stale_after_seconds = Some(3600);
    case.images = vec![ImageAdmission { confirmed_at: Some(now().plus_seconds(-age)), ..image }];
    case
}

#[test]
fn a_stale_verdict_is_treated_as_none_unless_it_says_worse() {
    use UnscannedAction::{Allow, Deny, Warn};
    let fresh = [
        ("good:1", passing as fn(&str) -> ImageAdmission, Allowed),
        ("meh:1", warned, Warned),
        ("bad:1", blocked, Denied),
    ];
    for (name, image, outcome) in fresh {
        let case = aged(image(name), 3599).unscanned(Deny);
        case.ends(outcome);
        assert!(case.decide().scans.is_empty());
    }
    let table = [
        (passing("good:1"), [Allowed, Warned, Denied]),
        (warned("meh:1"), [Warned, Warned, Denied]),
        (blocked("bad:1"), [Denied, Denied, Denied]),
    ];
    for (image, outcomes) in table {
        for (action, outcome) in [Allow, Warn, Deny].into_iter().zip(outcomes) {
            let case = aged(image.clone(), 3600).unscanned(action);
            case.ends(outcome);
            let scans = case.decide().scans;
            assert_eq!(scans.len(), 1, "a new scan is asked for");
            let repository = format!("docker.io/library/{}", image.references[0].trim_end_matches(":1"));
            assert_eq!(scans[0].image, format!("{repository}@{}", image.image), "by the digest it is filed under");
            assert_eq!(scans[0].confirmed_at, Some(now().plus_seconds(-3600)));
        }
    }
    for (mode, outcome) in [(AdmissionMode::Audit, Audited), (AdmissionMode::Warn, Warned)] {
        aged(passing("good:1"), 3600).unscanned(Deny).mode(mode).ends(outcome);
    }
}

#[test]
fn without_a_limit_or_a_time_nothing_is_stale() {
    let mut case = aged(passing("good:1"), 1_000_000).unscanned(UnscannedAction::Deny);
    case.namespace.stale_after_seconds = None;
    case.ends(Allowed);
    let mut case = aged(passing("good:1"), 0).unscanned(UnscannedAction::Deny);
    case.images[0].confirmed_at = None;
    case.ends(Allowed);
    aged(passing("good:1"), -1_000_000).unscanned(UnscannedAction::Deny).ends(Allowed);
}

#[test]
fn it_is_said_how_old_a_stale_verdict_is_and_what_mends_it() {
    let decision = aged(passing("good:1"), 7200).unscanned(UnscannedAction::Deny).decide();
    let expected = "image good:1 (container app, $.spec.containers[0].image): its verdict was confirmed 7200 s ago and is \
                    stale in namespace shop from 3600 s on: it needs a new scan, try again after it";
    assert_eq!(decision.message.as_deref(), Some(expected));
    let record = decision.record.unwrap();
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.contains(r#""stale":{"ageSeconds":7200,"afterSeconds":3600}"#), "{text}");
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap().replay(), record.conclusion);
    assert!(!aged(blocked("bad:1"), 7200).decide().message.unwrap().contains("new scan"));
    let warning = &aged(warned("meh:1"), 7200).decide().warnings[0];
    assert!(warning.contains("has findings") && warning.ends_with("it needs a new scan"), "{warning}");
}

#[test]
fn a_dry_run_is_answered_alike_and_wishes_for_nothing() {
    let case = Case::pod("new:1").unscanned(UnscannedAction::Deny).with("dryRun", json!(true));
    case.ends(Denied);
    assert!(case.decide().scans.is_empty());
}

#[test]
fn without_verdicts_the_failure_policy_decides() {
    let mut case = Case::pod("good:1");
    let decide_with = |case: &Case, held: &Held| {
        decide(&case.review(), held, None, &case.settings, case.at).map_err(|undecided| undecided.reason)
    };
    assert_eq!(decide_with(&case, &Held::default()), Err(NoVerdicts::Never));
    case.at = now().plus_seconds(60);
    assert!(decide_with(&case, &case.held()).is_ok());
    case.at = now().plus_seconds(61);
    assert_eq!(decide_with(&case, &case.held()), Err(NoVerdicts::Ended { heard_at: now(), seconds: 61 }));
    case.settings.away = AwayAction::Allow;
    case.ends(Unchecked);
    assert_eq!(case.decide().warnings.len(), 1);
}

#[test]
fn what_nobody_has_scanned_is_wished_for_without_verdicts_too() {
    let mut case = Case::pod("new:1");
    case.at = now().plus_seconds(61);
    let wishes = |case: &Case, held: &Held| {
        let decided = decide(&case.review(), held, None, &case.settings, case.at);
        decided.map_or_else(|undecided| undecided.scans, |decision| decision.scans)
    };
    for away in [AwayAction::FailurePolicy, AwayAction::Allow] {
        case.settings.away = away;
        for held in [Held::default(), case.held()] {
            let wished = wishes(&case, &held);
            assert_eq!(wished.len(), 1, "{away:?}");
            assert_eq!((wished[0].image.as_str(), wished[0].tenant.as_str()), ("docker.io/library/new:1", ""));
        }
    }
    let dry = case.with("dryRun", json!(true));
    assert!(wishes(&dry, &Held::default()).is_empty());
}

#[test]
fn a_wish_names_the_tenant_only_of_a_namespace_that_was_told_of() {
    let mut case = Case::pod("new:1");
    assert_eq!(case.decide().scans[0].tenant, "", "the entry for all does not tell whose it is");
    case.namespace = fixture::namespace("shop");
    assert_eq!(case.decide().scans[0].tenant, "tenant-default");
}

#[test]
fn a_namespace_nobody_told_of_is_audited() {
    let case = Case::pod("bad:1");
    let held = fixture::held(&[fixture::namespace("elsewhere")], &case.images);
    let decision = decide(&case.review(), &held, None, &case.settings, case.at).unwrap();
    assert_eq!((decision.outcome, decision.scans.len()), (Allowed, 1));
}

#[test]
fn a_refusal_says_what_and_why_and_what_mends_it() {
    let expected = "image bad:1 (container app, $.spec.containers[0].image) is blocked by rule 'Block reachable \
                    criticals' of policy shop/base: CVE-2025-1000 (Critical, in use) in openssl 3.0.1, fixed in 3.0.2; \
                    and 3 more";
    assert_eq!(Case::pod("bad:1").decide().message.as_deref(), Some(expected));
    let two = json!({"spec": {"containers": [{"name": "a", "image": "bad:1"}, {"name": "b", "image": "new:1"}]}});
    let message = Case::create("", "pods", two).unscanned(UnscannedAction::Deny).decide().message.unwrap();
    assert!(message.ends_with("; also refused: new:1"), "{message}");
}

#[test]
fn a_refusal_for_a_missing_signature_says_whose() {
    let mut case = Case::pod("bad:1");
    case.images[0].decision = ImageDecision {
        policy: Some("shop/signed".to_owned()),
        reasons: vec!["signature.missing: none by release, ci: nothing is attached to it".to_owned()],
        ..ImageDecision::bare(ImageVerdict::Blocked)
    };
    let expected = "image bad:1 (container app, $.spec.containers[0].image) is blocked by policy shop/signed: \
                    signature.missing: none by release, ci: nothing is attached to it";
    assert_eq!(case.decide().message.as_deref(), Some(expected));
    case.images[0].decision.verdict = ImageVerdict::Warn;
    let warned = case.decide();
    assert!(warned.allowed && warned.warnings[0].contains("is warned about by policy shop/signed: "), "{warned:?}");
}

#[test]
fn long_names_make_no_long_answers() {
    let image = format!("bad:1@sha256:{}", "x".repeat(3000));
    let decision = Case::pod(&image).unscanned(UnscannedAction::Deny).decide();
    assert!(decision.message.unwrap().chars().count() <= 900);
}

#[test]
fn what_speaks_against_it_stands_in_the_audit_log() {
    let audit = Case::pod("bad:1").mode(AdmissionMode::Audit).decide().audit;
    assert_eq!((audit["decision"].as_str(), audit["policy-revision"].as_str()), ("audited", "7"));
    assert!(audit["violations"].contains("CVE-2025-1000"));
    assert_eq!(Case::pod("good:1").decide().audit, [("rung".to_owned(), "fresh".to_owned())].into());
}

#[test]
fn a_record_is_made_again_from_its_text() {
    for case in [Case::pod("bad:1"), Case::pod("new:1"), Case::pod("meh:1"), Case::pod("good:1")] {
        let record = case.decide().record.unwrap();
        let text = serde_json::to_string(&record).unwrap();
        let read: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.replay(), record.conclusion);
        assert!(text.starts_with(r#"{"schemaVersion":"zastava.admission.decision@v1""#), "{text}");
    }
}

#[test]
fn a_record_names_what_was_asked_which_verdicts_answered_and_by_which_policies() {
    let case = Case::pod("bad:1");
    let record = case.decide().record.unwrap();
    assert_eq!(record.input_hash, case.review().digest());
    assert!(record.input_hash.is_some());
    assert_eq!((record.policy_revision.as_str(), record.at), ("7", now()));
    let verdict = |record: &Record| match &record.inputs.images[0].standing {
        Standing::Scanned { verdict_id, decision, .. } => (verdict_id.unwrap(), decision.policy.clone()),
        Standing::Unscanned { .. } => panic!("it was scanned"),
    };
    assert_eq!(verdict(&record).1.as_deref(), Some("shop/base"));
    let again = Case::pod("bad:1").with("uid", json!("2")).decide().record.unwrap();
    assert_eq!((again.input_hash, verdict(&again)), (record.input_hash, verdict(&record)), "asked again");
    let mut other = Case::pod("bad:1");
    other.images[0].decision.count += 1;
    let other = other.decide().record.unwrap();
    assert_eq!(other.input_hash, record.input_hash, "the question is the same");
    assert_ne!(verdict(&other).0, verdict(&record).0, "and its answer rests on another verdict");
    let mut old = serde_json::to_value(&record).unwrap();
    old.as_object_mut().unwrap().remove("inputHash");
    old["inputs"]["images"][0]["standing"].as_object_mut().unwrap().remove("verdictId");
    let text = old.to_string();
    let read: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(read.replayed()).unwrap(), old, "records of before have neither");
}

#[test]
fn a_broken_glass_lets_in_and_is_written_down() {
    let mut object = pod("bad:1");
    object["metadata"]["annotations"] = json!({BREAK_GLASS: " outage 42 "});
    let case = Case::create("", "pods", object.clone());
    let decision = case.decide();
    assert_eq!(decision.break_glass.as_deref(), Some("outage 42"));
    let broken = decision.break_glass("ann", "outage 42");
    assert!(broken.allowed && broken.message.is_none());
    assert_eq!(broken.audit["break-glass"], "ann: outage 42");
    assert_eq!(broken.record.unwrap().break_glass.as_deref(), Some("outage 42"));
    object["spec"] = spec("good:1");
    assert_eq!(Case::create("", "pods", object).decide().break_glass, None);
}
