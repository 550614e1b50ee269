//! Drift told by an agent becomes a violation of policy, and both are listed: by a real server on each kind of database.

mod server;

use serde_json::{Value, json};
use server::Server;
use stella_domain::Timestamp;
use stella_service::clock::Clock;

fn drift(id: &str, when: Timestamp, reason: &str, path: &str) -> Value {
    json!({"schemaVersion": "zastava.runtime.event@v1", "event": {
        "eventId": id, "when": when, "kind": "Drift", "tenant": "acme", "node": "n",
        "runtime": {"engine": "containerd", "version": "2"},
        "workload": {"platform": "host", "containerId": "containerd://c", "imageRef": "registry.example/shop/web:1"},
        "process": {"pid": 7, "entrypoint": ["x"]}, "delta": {"baselineImageDigest": "", "newBinaries": [path]},
        "evidence": [{"signal": "drift", "value": reason}, {"signal": "drift.path", "value": path}],
    }})
}

fn told<'a>(event: &'a Value, signal: &str) -> &'a str {
    let evidence = event["evidence"].as_array().unwrap();
    evidence.iter().find(|e| e["signal"] == signal).and_then(|e| e["value"].as_str()).unwrap_or_default()
}

fn list(server: &Server, tenant: &str, kind: &str) -> Vec<Value> {
    let (code, answer) = server.ask(&format!("GET /api/v1/runtime/events?kind={kind}"), tenant, "");
    assert_eq!(code, 200, "{answer}");
    answer["items"].as_array().unwrap().clone()
}

fn tell_and_list(server: &Server) {
    // A host outside a cluster is judged by the policies of its own tenant.
    let (code, answer) = server.ask("POST /policy/import", "acme", &policy());
    assert_eq!(code, 200, "{answer}");
    let all = json!({"version": "1.0", "rules": [{"name": "all", "tags": ["drift"], "action": "block"}]}).to_string();
    assert_eq!(server.ask("POST /policy/import", "tenant-default", &all).0, 200);
    // Of now: old events are forgotten as soon as a server starts.
    let at = |second: i64| Clock::system().now().plus_seconds(second);
    let events = [
        drift("d1", at(1), "upper-layer", "/opt/plugins/a/x"),
        drift("d2", at(2), "memory", "memfd:x"),
        drift("d3", at(3), "upper-layer", "/tmp/x"),
    ];
    let batch = json!({"batchId": "b", "events": events}).to_string();
    for (accepted, duplicates) in [(3, 0), (0, 3)] {
        let (code, answer) = server.ask("POST /api/v1/runtime/events", "tenant-default", &batch);
        assert_eq!((code, answer), (202, json!({"accepted": accepted, "duplicates": duplicates})));
    }
    let drifts = list(server, "acme", "Drift");
    assert_eq!(drifts.iter().map(|e| e["eventId"].as_str().unwrap()).collect::<Vec<_>>(), ["d3", "d2", "d1"]);
    assert_eq!(drifts[1]["delta"]["newBinaries"][0], "memfd:x");
    let found: Vec<(String, String, String)> = list(server, "acme", "PolicyViolation")
        .iter()
        .map(|event| ["event", "policy.rule", "policy.status"].map(|signal| told(event, signal).to_owned()).into())
        .collect();
    let is = |event: &str, rule: &str, status: &str| (event.to_owned(), rule.to_owned(), status.to_owned());
    assert_eq!(found, [is("d3", "other drift", "Warned"), is("d2", "memory", "Blocked")], "once, though sent twice");

    assert!(list(server, "other", "Drift").is_empty(), "another tenant's");
    let (_, page) = server.ask("GET /api/v1/runtime/events?kind=Drift&pageSize=2", "acme", "");
    let token = page["nextPageToken"].as_str().unwrap();
    let next = format!("GET /api/v1/runtime/events?kind=Drift&pageSize=2&pageToken={token}");
    assert_eq!(server.ask(&next, "acme", "").1["items"][0]["eventId"], "d1");
    assert_eq!(server.ask(&next, "other", "").0, 400, "a token of another tenant");
    assert_eq!(server.ask("GET /api/v1/runtime/events?kind=ContainerStart", "acme", "").0, 400);
}

/// As JSON: that is what the server of these tests is sent.
fn policy() -> String {
    json!({"version": "1.0", "rules": [
        {"name": "every finding", "action": "block"},
        {"name": "plugins", "tags": ["drift"], "match": {"paths": ["opt/plugins/**"]}, "action": "ignore"},
        {"name": "memory", "tags": ["drift.memory"], "action": "block"},
        {"name": "other drift", "tags": ["drift"], "action": "warn"},
    ]})
    .to_string()
}

#[test]
fn drift_is_judged_and_listed() {
    tell_and_list(&Server::start(None));
}

#[test]
fn drift_is_judged_and_listed_on_postgresql_too() {
    let Ok(url) = std::env::var("STELLA_TEST_POSTGRES") else {
        eprintln!("SKIPPED: no PostgreSQL server in $STELLA_TEST_POSTGRES; run it with tests/postgres/with.sh");
        return;
    };
    tell_and_list(&Server::start(Some(&server::schema(&url, "drift"))));
}
