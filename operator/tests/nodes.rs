//! The list of nodes over HTTP, of a real server on each kind of database.

mod server;

use serde_json::json;
use server::Server;

fn names(server: &Server, tenant: &str) -> Vec<String> {
    let (code, answer) = server.ask("GET /api/v1/nodes", tenant, "");
    assert_eq!(code, 200, "{answer}");
    answer["items"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap().to_owned()).collect()
}

fn status(tenant: &str) -> String {
    json!({
        "tenant": tenant, "agentVersion": "0.1.0", "kernel": "6.12.3", "architecture": "x86_64",
        "since": "2026-01-01T00:00:00.000Z",
        "hooks": [{"sees": "starts", "hook": "raw-tracepoint", "family": "portable"}],
        "refused": [{"sees": "mappings", "hook": "lsm", "reason": "no", "missing": "bpf as an LSM"}],
        "losses": [{"stage": "kernel", "reason": "ring-full", "count": 7}],
        "containers": 3, "containersSeen": 12, "waitingEvents": 0, "waitingBytes": 0,
        "pressure": [{"resource": "io", "percent": 81, "threshold": 50}],
    })
    .to_string()
}

fn start_of(container: &str, tenant: &str, node: &str) -> String {
    json!({"batchId": "b", "events": [{"schemaVersion": "zastava.runtime.event@v1", "event": {
        "eventId": container, "when": "2026-01-01T00:00:00.000Z", "kind": "ContainerStart", "tenant": tenant, "node": node,
        "runtime": {"engine": "containerd", "version": "2"},
        "workload": {"platform": "host", "containerId": format!("containerd://{container}")},
        "annotations": {"stella.observedFromStart": "true", "stella.gap": "ring-full"},
    }}]})
    .to_string()
}

fn tell_and_list(server: &Server) {
    for (node, tenant) in [("n1", "tenant-default"), ("n2", "tenant-default"), ("own", "acme")] {
        let (code, answer) =
            server.ask(&format!("POST /api/v1/nodes/{node}/status"), "tenant-default", &status(tenant));
        assert_eq!(code, 204, "{answer}");
    }
    assert_eq!(names(server, "tenant-default"), ["n1", "n2"]);
    assert_eq!(names(server, "acme"), ["own"]);
    let (code, answer) = server.ask("POST /api/v1/runtime/events", "tenant-default", &start_of("c1", "acme", "n2"));
    assert_eq!(code, 202, "{answer}");
    assert_eq!(names(server, "acme"), ["n2", "own"], "a container of it runs there");

    let (_, page) = server.ask("GET /api/v1/nodes?pageSize=1", "acme", "");
    let node = &page["items"][0];
    assert_eq!((node["running"].as_u64(), node["gaps"]["ring-full"].as_u64()), (Some(1), Some(1)), "{node}");
    assert_eq!(node["state"], "degraded", "events were lost");
    assert_eq!(node["agent"]["losses"][0], json!({"stage": "kernel", "reason": "ring-full", "count": 7}));
    assert_eq!(node["agent"]["refused"][0]["missing"], "bpf as an LSM");
    assert_eq!(node["agent"]["pressure"][0], json!({"resource": "io", "percent": 81, "threshold": 50}));
    let token = page["nextPageToken"].as_str().unwrap();
    let (_, next) = server.ask(&format!("GET /api/v1/nodes?pageSize=1&pageToken={token}"), "acme", "");
    assert_eq!((next["items"][0]["node"].as_str(), next["nextPageToken"].is_null()), (Some("own"), true));
    let (code, _) = server.ask(&format!("GET /api/v1/nodes?pageToken={token}"), "tenant-default", "");
    assert_eq!(code, 400, "a token of another tenant");

    for wrong in ["{}".to_owned(), status("a").replace("portable", "magic"), format!("[{}]", status("a"))] {
        let (code, problem) = server.ask("POST /api/v1/nodes/n1/status", "tenant-default", &wrong);
        assert_eq!(code, 422, "{problem}");
    }
    let (code, _) =
        server.ask(&format!("POST /api/v1/nodes/{}/status", "n".repeat(254)), "tenant-default", &status("acme"));
    assert_eq!(code, 400);
}

#[test]
fn nodes_are_told_and_listed_by_tenant() {
    tell_and_list(&Server::start(None));
}

#[test]
fn nodes_are_told_and_listed_on_postgresql_too() {
    let Ok(url) = std::env::var("STELLA_TEST_POSTGRES") else {
        eprintln!("SKIPPED: no PostgreSQL server in $STELLA_TEST_POSTGRES; run it with tests/postgres/with.sh");
        return;
    };
    tell_and_list(&Server::start(Some(&server::schema(&url, "nodes"))));
}
