//! Decisions that the server keeps, made again by a policy that is only proposed.

use serde_json::{Value, json};
use stella_domain::Timestamp;
use stella_service::clock::Clock;
use stella_webhook::decision::Record;

use crate::ground::{BLOCK_CRITICAL, Ground, WARN_ALL};

const BASE: &str =
    "admission: {mode: enforce}\nrules:\n- {name: no criticals, severity: [Critical], action: {type: block}}\n";

fn ago(seconds: i64) -> Timestamp {
    Clock::system().now().plus_seconds(-seconds)
}

/// The record of a refusal in `shop`, as the webhook writes it.
fn refusal(image: &str, at: Timestamp, tenant: &str) -> String {
    let decision = json!({"verdict": "blocked", "policy": "stella-system/base", "rule": "no criticals", "count": 1});
    let standing = json!({"state": "scanned", "decision": decision});
    let judged = json!({"path": "$.spec.containers[0].image", "place": "container", "holder": "web", "image": image,
        "name": image, "standing": standing});
    let inputs = json!({"namespace": "shop", "tenant": tenant, "scope": "s", "mode": "enforce", "unscanned": "allow",
        "pod": true, "staticPod": false, "rung": "fresh", "workloads": "warn", "images": [judged]});
    let record = json!({"schemaVersion": "zastava.admission.decision@v1", "at": at, "uid": at.to_string(),
        "operation": "CREATE", "resource": {"version": "v1", "resource": "pods"}, "name": "web", "user": "ann",
        "policyRevision": "1", "inputs": inputs, "conclusion": {"outcome": "denied", "allowed": false}});
    let record: Record = serde_json::from_value(record).unwrap();
    serde_json::to_string(&record.replayed()).unwrap()
}

fn send(ground: &Ground, body: &str) -> (u16, Value) {
    let headers = [("content-type", "application/x-ndjson")];
    ground.operator.call("POST", "/api/v1/admission/decisions", &headers, body.as_bytes())
}

#[test]
fn the_decisions_of_last_week_are_tried_by_a_proposed_policy() {
    let ground = Ground::new();
    ground.policy("base", BASE);
    ground.becomes("fail");
    let image = format!("registry.local/shop/web@{}", ground.digest);
    let lines = [refusal(&image, ago(3 * 86_400), "tenant-default"), refusal(&image, ago(60), "tenant-default")];
    let text = format!("{}\n{}\n", lines[0], lines[1]);
    assert_eq!(send(&ground, &text), (200, json!({"accepted": 2, "duplicates": 0})));
    assert_eq!(send(&ground, &text), (200, json!({"accepted": 0, "duplicates": 2})), "sent again");
    assert_eq!(send(&ground, "{}").0, 400);

    let kept = ground.ctl(&["runtime", "policy", "replay"]);
    assert_eq!((kept.code, kept.out.as_str()), (Some(0), text.as_str()), "{}", kept.err);
    let late = ground.ctl(&["runtime", "policy", "replay", "--since", "1h"]);
    assert_eq!(late.out, format!("{}\n", lines[1]), "{}", late.err);

    let warn = ground.work.write("warn.yaml", WARN_ALL);
    let block = ground.work.write("block.yaml", BLOCK_CRITICAL);
    let compare = |more: &[&str]| {
        let mut args = vec!["--json", "runtime", "policy", "replay", "--replaces", "stella-system/base", "--against"];
        args.extend(more);
        ground.ctl(&args)
    };
    let changed = compare(&[&warn]);
    assert_eq!((changed.code, changed.out.lines().count()), (Some(1), 2), "{changed:?}");
    let first: Value = serde_json::from_str(changed.out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["namespace"], &first["images"]), (&json!("shop"), &json!([image])), "{first}");
    assert_eq!((&first["before"], &first["after"]), (&json!("denied"), &json!("warned")), "{first}");
    let since = compare(&[&warn, "--since", "1h"]);
    assert_eq!((since.code, since.out.lines().count()), (Some(1), 1), "{since:?}");
    let same = compare(&[&block]);
    assert_eq!((same.code, same.out.as_str()), (Some(0), ""), "{same:?}");
    assert!(same.err.contains("2 decisions") && same.err.contains("2 the same"), "{same:?}");

    // The same from a file, which has one of another tenant too.
    let foreign = refusal(&image, ago(60), "other");
    let file = ground.work.write("decisions.ndjson", format!("{text}{foreign}\n"));
    let of_file = compare(&[&warn, &file]);
    assert_eq!((of_file.code, &of_file.out), (Some(1), &changed.out), "{of_file:?}");
    assert!(of_file.err.contains("1 of other tenants left out"), "{of_file:?}");
    let plain =
        ground.ctl(&["runtime", "policy", "replay", &file, "--replaces", "stella-system/base", "--against", &warn]);
    let shown = format!(" shop/web {image} denied -> warned");
    assert!(plain.out.lines().all(|line| line.ends_with(&shown)), "{plain:?}");

    // And without a server, by the verdicts that it would give.
    let (_, verdicts) = ground.operator.raw(
        "POST",
        "/api/v1/policy/verdicts?replaces=stella-system/base",
        &[("content-type", "application/yaml")],
        WARN_ALL.as_bytes(),
    );
    let verdicts = ground.work.write("proposed.ndjson", verdicts);
    let file = ground.work.write("own.ndjson", &text);
    let offline =
        crate::support::stellopsctl(&["--json", "runtime", "policy", "replay", &file, "--against", &verdicts]);
    assert_eq!((offline.code, &offline.out), (Some(1), &changed.out), "{offline:?}");
    assert_eq!(ground.verdict(), "fail", "trying a policy changes nothing");
}

#[test]
fn without_decisions_there_is_nothing_that_would_change() {
    let ground = Ground::new();
    let warn = ground.work.write("warn.yaml", WARN_ALL);
    let none = ground.ctl(&["runtime", "policy", "replay", "--against", &warn]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""), "{none:?}");
    assert!(none.err.contains("0 decisions"), "{none:?}");
    let missing = ground.ctl(&["runtime", "policy", "replay", "--against", &warn, "--replaces", "stella-system/none"]);
    missing.failed_with(&["no policy stella-system/none is in force"]);
}
