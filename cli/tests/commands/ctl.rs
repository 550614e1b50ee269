//! Questions of `stellopsctl`.

use serde_json::json;

use crate::server::{Server, ok};
use crate::support::{Work, stellopsctl};

#[test]
fn findings_show_who_uses_the_package() {
    let used = |pod: &str| {
        json!({
            "container": "c", "namespace": "shop", "pod": pod, "containerName": "web", "node": "n1",
            "path": "usr/lib/libssl.so.3", "package": "pkg:deb/debian/openssl@3.0.11",
            "firstSeen": "2026-01-01T00:00:00.000Z",
        })
    };
    let finding = json!({
        "findingId": "f", "summary": "s", "severity": "critical", "cvss": null, "kev": true, "policyBadge": "fail",
        "coordinates": {
            "advisoryId": "CVE-2026-1", "package": "pkg:deb/debian/openssl@3.0.11", "component": "openssl",
            "image": "registry.local/shop/web:1.4", "imageDigest": format!("sha256:{}", "0".repeat(64)),
        },
        "vex": null,
        "reachability": {
            "status": "reachable", "level": "runtime", "lastObserved": null, "signalsVersion": "1",
            "evidence": [used("web-7d9c5b6f4-x2x8z"), used("web-7d9c5b6f4-b4b5c")],
        },
        "evidence": {"sbomDigest": null, "policyRunId": null, "attestationId": null},
        "timestamps": {"firstSeen": "2026-01-01T00:00:00.000Z", "lastSeen": "2026-01-01T00:00:00.000Z"},
        "fixedIn": ["3.0.12"], "verdict": {"status": "Blocked"},
    });
    let server = Server::start(move |_, _| {
        ok(json!({
            "items": [finding], "nextPageToken": null,
            "facets": {"severity": [], "policyBadge": [], "reachability": []},
        }))
    });
    let address = server.address.as_str();
    let ran =
        stellopsctl(&["--server", address, "findings", "--in-use", "--namespace", "shop", "--severity", "critical"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in ["Critical", "CVE-2026-1 (exploited)", "shop/web (2 pods)", "usr/lib/libssl.so.3", "3.0.12", "fail"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let asked = server.asked("GET /console/vuln/findings");
    assert_eq!(asked.headers["x-stella-tenant"], "tenant-default");
    for parameter in ["reachability=reachable", "namespace=shop", "severity=critical"] {
        assert!(asked.line.contains(parameter), "{parameter}: {}", asked.line);
    }
}

#[test]
fn doctor_says_what_is_wrong() {
    let server = Server::start(|line, _| match line {
        "GET /readyz" => {
            ("503 Service Unavailable", String::new(), json!({"ready": false, "notReady": {"feeds": "no feed yet"}}))
        }
        "GET /version" => ok(json!({"version": "0.1.0", "gitSha": "abc", "buildDate": "today"})),
        _ => ok(json!({"items": [], "nextPageToken": null})),
    });
    let ran = stellopsctl(&["doctor", "--server", &server.address]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("server 0.1.0") && ran.out.contains("feeds is not ready: no feed yet"), "{ran:?}");
    assert_eq!(stellopsctl(&["doctor", "--server", "http://127.0.0.1:1"]).code, Some(1));
}

#[test]
fn lists_are_tables_or_json() {
    let node = json!({
        "node": "n1", "state": "stale", "lastHeard": "2026-01-01T00:00:00.000Z", "running": 3, "gaps": {"ring-full": 2},
        "agent": {
            "tenant": "tenant-default", "agentVersion": "0.1.0", "kernel": "6.12.3", "architecture": "x86_64",
            "since": "2025-12-31T00:00:00.000Z",
            "hooks": [{"sees": "mappings", "hook": "tracepoint", "family": "portable"}],
            "refused": [{"sees": "mappings", "hook": "lsm", "reason": "not\u{1b}active", "missing": "bpf as an LSM"}],
            "losses": [{"stage": "kernel", "reason": "ring-full", "count": 7}],
            "containers": 3, "containersSeen": 12, "waitingEvents": 0, "waitingBytes": 0,
            "pressure": [{"resource": "io", "percent": 81, "threshold": 50}],
        },
    });
    let server = Server::start(move |line, _| match line {
        "GET /api/v1/nodes" => ok(json!({"items": [node], "nextPageToken": null})),
        _ => ok(json!({"items": [{"name": "PyPI", "date": null, "advisories": 3}], "nextPageToken": null})),
    });
    let nodes = stellopsctl(&["--server", &server.address, "nodes"]);
    assert!(nodes.out.starts_with("NODE"), "{nodes:?}");
    for part in [
        "n1",
        "stale",
        "0.1.0",
        "6.12.3",
        "mappings by tracepoint",
        "3 of 12 seen",
        "2026-01-01T00:00:00.000Z",
        "not heard since",
        "missing: bpf as an LSM",
        "7 events lost",
        "under pressure by io 81 % (threshold 50 %): no image is read",
        "2 running containers with a gap: ring-full",
    ] {
        assert!(nodes.out.contains(part), "{part}: {}", nodes.out);
    }
    assert!(!nodes.out.contains('\u{1b}'), "foreign text is made harmless");
    let nodes = stellopsctl(&["--server", &server.address, "nodes", "--json"]);
    assert_eq!(nodes.json()[0]["agent"]["losses"][0]["count"], 7);
    let feeds = stellopsctl(&["--server", &server.address, "feed", "status", "--json"]);
    assert_eq!(feeds.json()[0]["name"], "PyPI");
}

#[test]
fn a_token_file_must_hold_a_token() {
    let work = Work::new();
    let empty = work.write("token", "\n");
    stellopsctl(&["nodes", "--token-file", &empty]).failed_with(&[&empty, "is empty"]);
    let server = Server::start(|_, _| ok(json!({"items": []})));
    let token = work.write("token", "secret\n");
    let ran = stellopsctl(&["nodes", "--server", &server.address, "--token-file", &token, "--tenant", "acme"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "none\n"));
    let asked = server.asked("GET /api/v1/nodes");
    assert_eq!(
        (asked.headers["authorization"].as_str(), asked.headers["x-stella-tenant"].as_str()),
        ("Bearer secret", "acme")
    );
}
