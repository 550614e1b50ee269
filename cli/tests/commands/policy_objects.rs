//! `Policy` objects, Rego in them and their status, against an operator that runs without a cluster.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ground::{BLOCK_CRITICAL, Ground, WARN_ALL};

const REGO: &str = "package stella.policy\n\nverdict := {\"action\": \"block\", \"rule\": \"fixable\"} if input.finding.fixAvailable\n";

/// A policy that is sound, and takes more instructions than it may.
const ENDLESS: &str = "package stella.policy\n\nverdict := \"warn\" if {\n\tsome a in numbers.range(1, 2000)\n\t\
                       some b in numbers.range(1, 2000)\n\ta * b == 7919 * 7907\n}\n";

fn rego(mode: &str, source: &str) -> String {
    let content: String = source.lines().map(|line| format!("  {line}\n")).collect();
    format!("format: rego\nadmission: {{mode: {mode}}}\ncontent: |\n{content}")
}

#[test]
fn rego_in_an_object_decides_and_beyond_its_limits_blocks_where_it_enforces() {
    let ground = Ground::new();
    ground.policy("base", &rego("enforce", REGO));
    ground.becomes("fail");
    let told = ground.runtime();
    assert_eq!(
        (&told["metadata"]["policy"], &told["metadata"]["rule"]),
        (&json!("stella-system/base"), &json!("fixable"))
    );
    let exported = ground.ctl(&["policy", "export", "stella-system/base"]).out;
    assert!(REGO.lines().all(|line| exported.contains(line)), "{exported}");

    ground.policy("base", &rego("audit", ENDLESS));
    ground.becomes("error");
    let told = ground.runtime();
    assert_eq!(told["reasons"], json!(["policy.failed: stella-system/base"]), "{told}");
    ground.policy("base", &rego("enforce", ENDLESS));
    ground.becomes("fail");
    assert_eq!(ground.runtime()["reasons"], json!(["policy.failed: stella-system/base"]));
    ground.status("base", |status| status.contains("blocked: 1"));

    ground.policy("base", &rego("enforce", "package stella.policy\n\nverdict := http.send({})\n"));
    let status = ground.status("base", |status| status.contains("Stalled"));
    assert!(status.contains("http.send") && status.contains("policy.rego.builtin.refused"), "{status}");
    assert_eq!(ground.verdict(), "fail", "the last good revision stays");
    ground.policy("base", &rego("enforce", "package stella.policy\n\nverdict := \"pass\"\n"));
    ground.becomes("pass");
}

#[test]
fn a_status_tells_what_is_served_suspended_and_over() {
    let ground = Ground::new();
    let waiver = |id: &str, expires: &str| {
        format!("- {{id: {id}, cve: CVE-2022-28346, justification: j, owner: o, ticket: t, expires: \"{expires}\"}}")
    };
    let spec = format!(
        "rules:\n- {{name: none, severity: [Critical], action: {{type: block}}}}\nwaivers:\n{}\n{}",
        waiver("old", "2020-01-01T00:00:00Z"),
        waiver("live", "2099-01-01T00:00:00Z"),
    );
    ground.policy("base", &spec);
    let status = ground.status("base", |status| status.contains("InForce"));
    assert!(status.contains("expiredWaivers:\n- old") && !status.contains("- live"), "{status}");
    assert!(status.contains("revision: rev-1") && !status.contains("servedRevision"), "nobody listens: {status}");
    let mut webhook = listen(&ground);
    ground.status("base", |status| status.contains("servedRevision: rev-1"));

    ground.policy("base", &format!("suspend: true\n{spec}"));
    let status = ground.status("base", |status| status.contains("Suspended"));
    assert!(status.contains("active: false"), "{status}");
    let history = ground.get("/policy/history");
    assert_eq!(history["items"][0]["revision"], "rev-1", "{history}");
    ground.policy("base", &spec.replace("\n- {id: live", "\n# {id: live"));
    ground.status("base", |status| status.contains("InForce") && status.contains("blocked: 1"));
    webhook.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(webhook.read(&mut [0; 64]).unwrap() > 0, "the stream is told");
}

/// Holds the stream of verdicts as a webhook does.
fn listen(ground: &Ground) -> TcpStream {
    let mut stream = TcpStream::connect(ground.operator.address.trim_start_matches("http://")).unwrap();
    stream
        .write_all(b"GET /api/v1/admission/verdicts HTTP/1.1\r\nhost: stella\r\naccept: text/event-stream\r\n\r\n")
        .unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

/// A container of the image in the namespace `shop`, as an agent tells of it.
fn run_in_shop(ground: &Ground) {
    let event = json!({
        "eventId": "e1", "when": "2026-01-01T00:00:00.000Z", "kind": "ContainerStart", "tenant": "tenant-default",
        "node": "node-1", "runtime": {"engine": "containerd", "version": "2"},
        "workload": {"platform": "kubernetes", "namespace": "shop", "pod": "web", "container": "web",
            "containerId": "containerd://c1", "imageRef": "registry.example/shop/web:1"},
        "process": {"pid": 1, "entrypoint": ["/bin/web"]},
        "annotations": {"stella.observedFromStart": "true", "stella.imageDigest": ground.digest},
    });
    let envelope = json!({"batchId": "b", "events": [{"schemaVersion": "zastava.runtime.event@v1", "event": event}]});
    let (status, receipt) = ground.post("/api/v1/runtime/events", &envelope);
    assert_eq!((status, &receipt["accepted"]), (202, &json!(1)), "{receipt}");
}

#[test]
fn a_change_of_one_policy_is_shown_by_namespace() {
    let ground = Ground::new();
    ground.policy("base", "rules:\n- {name: look, action: {type: warn}}");
    ground.becomes("warn");
    run_in_shop(&ground);
    let impact = |query: &str, policy: &str| {
        ground.operator.call("POST", &format!("/api/v1/policy/impact{query}"), &[], policy.as_bytes())
    };
    assert_eq!(impact("?replaces=stella-system/none", BLOCK_CRITICAL).0, 404);
    let (status, told) = impact("?replaces=stella-system/base", BLOCK_CRITICAL);
    assert_eq!((status, &told["replaces"]), (200, &json!(["stella-system/base"])), "{told}");
    assert_eq!(told["totals"], json!({"newlyBlocked": 1, "newlyWarned": 0, "freed": 0, "unchanged": 0}));
    assert_eq!(
        told["namespaces"],
        json!([{"namespace": "shop", "newlyBlocked": 1, "newlyWarned": 0, "freed": 0, "unchanged": 0}])
    );
    let places: Vec<&Value> = told["changes"].as_array().unwrap().iter().map(|change| &change["namespace"]).collect();
    assert_eq!(places, [&Value::Null, &json!("shop")], "{told}");
    let (_, same) = impact("?replaces=stella-system/base", WARN_ALL);
    assert_eq!((&same["totals"]["unchanged"], &same["changes"]), (&json!(1), &json!([])), "{same}");
    assert_eq!(ground.verdict(), "warn", "a preview changes nothing");
}

#[test]
fn rego_goes_back_and_forth_with_rules_and_if_match_holds() {
    let ground = Ground::new();
    let (status, first) = ground.operator.call("POST", "/policy/import", &[], REGO.as_bytes());
    assert_eq!((status, &first["revision"]), (200, &json!("rev-1")), "{first}");
    ground.becomes("fail");
    assert_eq!(ground.import(WARN_ALL, &[]).0, 200);
    ground.becomes("warn");
    let back = |tag: &str| {
        let headers = [("content-type", "application/json"), ("if-match", tag)];
        let wanted = json!({"revision": "rev-1", "description": "rules said too little"}).to_string();
        ground.operator.call("POST", "/policy/rollback", &headers, wanted.as_bytes())
    };
    let stale = format!("\"{}\"", first["digest"].as_str().unwrap());
    let (status, refused) = back(&stale);
    assert_eq!(status, 412, "{refused}");
    let (head, _) = ground.operator.raw("GET", "/policy/export", &[], b"");
    let live = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let (status, done) = back(&live);
    assert_eq!((status, &done["revision"], &done["digest"]), (200, &json!("rev-3"), &first["digest"]), "{done}");
    ground.becomes("fail");
    let newest = ground.get("/policy/history")["items"][0].clone();
    assert_eq!((&newest["description"], &newest["revision"]), (&json!("rules said too little"), &json!("rev-3")));
}

#[test]
fn issues_tell_line_and_column() {
    let ground = Ground::new();
    let told = |format: &str, content: &str| {
        let asked = json!({"policy": {"format": format, "content": content}});
        ground.post("/api/v1/policy/diagnostics", &asked).1["issues"][0].clone()
    };
    let issue = told("yaml", "version: '1.0'\nrules:\n- name: a\n  severity: [Foo]\n  action: block\n");
    assert_eq!((&issue["path"], &issue["line"]), (&json!("$.rules[0].severity"), &json!(4)), "{issue}");
    let issue = told("json", "{\"version\": \"1.0\",\n \"rules\": [\n  {\"name\": 3}]}");
    assert_eq!(issue["line"], 3, "{issue}");
    let issue = told("rego", "package stella.policy\n\nverdict := http.send({})\n");
    assert_eq!((&issue["line"], &issue["column"]), (&json!(3), &json!(12)), "{issue}");
}
