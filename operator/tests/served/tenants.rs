//! Every operation of the API document, asked as one tenant for what another one owns.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stella_authority::scope::{Need, need};
use stella_domain::Digest;

use crate::running::Operator;

/// In everything that is A's.
const MARK: &str = "only-of-a";

/// What A owns.
struct Owned {
    scan: String,
    digest: String,
    finding: String,
}

/// A package that a record of the fixtures is about, under a name of A's own.
fn sbom(feeds: &std::path::Path) -> Value {
    let record = json!({"id": "OSV-TEST-1", "modified": "2026-01-01T00:00:00Z", "summary": "a hole",
        "affected": [{"package": {"ecosystem": "npm", "name": MARK},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}]}]});
    std::fs::create_dir_all(feeds.join("osv/npm")).unwrap();
    std::fs::write(feeds.join("osv/npm/OSV-TEST-1.json"), record.to_string()).unwrap();
    json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [
        {"type": "library", "name": MARK, "version": "1.0.0", "purl": format!("pkg:npm/{MARK}@1.0.0")}]})
}

async fn own(operator: &Operator, token: &str, sbom: &Value) -> Owned {
    let mut scanned = Value::Null;
    for _ in 0..300 {
        let answer = operator.request(Method::POST, "/scan").bearer_auth(token).body(sbom.to_string());
        let answer = answer.send().await.unwrap();
        let status = answer.status();
        scanned = answer.json().await.unwrap();
        // Until the index is built.
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{scanned}")).to_owned();
    let listed = operator.request(Method::GET, "/console/vuln/findings").bearer_auth(token);
    let listed: Value = listed.header("X-Stella-Tenant", "a").send().await.unwrap().json().await.unwrap();
    assert!(listed.to_string().contains(MARK), "{listed}");
    let finding = listed["items"][0]["findingId"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
    Owned { scan: text(&scanned["scanId"]), digest: text(&scanned["digest"]), finding }
}

fn body(path: &str, owned: &Owned) -> Option<Value> {
    Some(match path {
        "/api/v1/reports" => json!({"scanId": owned.scan}),
        "/api/v1/scanner/policy/runtime" => json!({"namespace": "shop", "images": [owned.digest]}),
        "/layers/missing" => json!({"layers": [Digest::of("layer").to_string()]}),
        "/api/v1/scans" => json!({"image": {"digest": owned.digest}}),
        _ => return None,
    })
}

#[tokio::test]
async fn nobody_gets_a_byte_of_another_tenant() {
    let (folder, feeds) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sbom = sbom(feeds.path());
    let operator = Operator::start(folder.path(), &["--feeds", feeds.path().to_str().unwrap(), "--rate-limit", "0"]);
    let [a, b] =
        [operator.client("a", &["stella.api"], &["a"]).await, operator.client("b", &["stella.api"], &["b"]).await];
    let owned = own(&operator, &a, &sbom).await;
    let document: Value = serde_json::from_str(&stella_operator::http::document().unwrap()).unwrap();
    let mut walked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for name in operations.as_object().unwrap().keys() {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
            if !matches!(need(method.as_str(), path), Some(Need::Scope(_))) {
                continue;
            }
            let id = if path.starts_with("/console/") { &owned.finding } else { &owned.scan };
            for id in [id, &owned.digest] {
                let filled = path.replace("{id}", id).replace("{name}", "findings.json").replace("{node}", "n1");
                for tenant in [None, Some("a"), Some("b")] {
                    let request = operator.request(method.clone(), &filled).bearer_auth(&b);
                    let request = tenant.into_iter().fold(request, |all, name| all.header("X-Stella-Tenant", name));
                    let request = body(path, &owned).into_iter().fold(request, |all, body| all.json(&body));
                    let answer = request.send().await.unwrap();
                    let status = answer.status().as_u16();
                    let stream = answer.headers()["content-type"] == "text/event-stream";
                    assert!(!stream, "{name} {filled} as {tenant:?}");
                    let text = answer.text().await.unwrap();
                    assert!(!text.contains(MARK), "{name} {filled} as {tenant:?}: {text}");
                    assert!(status < 500, "{name} {filled} as {tenant:?}: {text}");
                    if tenant == Some("a") {
                        assert_eq!(status, 403, "{name} {filled}: {text}");
                    } else if path.contains('{') {
                        assert!(
                            [400, 403, 404, 415].contains(&status),
                            "{name} {filled} as {tenant:?}: {status} {text}"
                        );
                    }
                    walked += 1;
                }
            }
        }
    }
    assert!(walked >= 150, "{walked} questions");
    let state = operator.request(Method::GET, &format!("/api/v1/scans/{}", owned.scan)).bearer_auth(&a).send().await;
    assert_eq!(state.unwrap().status(), 200, "A's scan is as it was");
}
