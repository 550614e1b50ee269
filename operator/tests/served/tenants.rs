//! Every operation of the API document, asked as one tenant for what another one owns.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use stella_authority::scope::{Need, need};
use stella_domain::Digest;
use tempfile::TempDir;

use crate::running::Operator;

/// In everything that is A's.
const MARK: &str = "only-of-a";
/// Pairs of answers whose times are compared.
const PAIRS: usize = 40;
/// Measurements of which one has to do: others work on this machine, too.
const TRIES: usize = 3;

/// Ids of what A owns, or of nothing.
struct Owned {
    scan: String,
    digest: String,
    finding: String,
    report: String,
    waiver: String,
    document: String,
    run: String,
}

impl Owned {
    /// The id that a path is about.
    fn id(&self, path: &str) -> &str {
        match path {
            _ if path.starts_with("/console/vuln/") => &self.finding,
            _ if path.starts_with("/console/vex/") => &self.document,
            _ if path.starts_with("/export-center/") => &self.run,
            _ if path.starts_with("/api/v1/waivers/") => &self.waiver,
            _ if path.starts_with("/api/v1/reports/{id}") => &self.report,
            _ => &self.scan,
        }
    }

    /// Ids that look the same and are nobody's.
    fn absent(&self) -> Self {
        let other = |id: &str| {
            let (rest, last) = id.split_at(id.len() - 1);
            format!("{rest}{}", if last == "0" { "2" } else { "0" })
        };
        Self {
            scan: other(&self.scan),
            digest: other(&self.digest),
            finding: other(&self.finding),
            report: other(&self.report),
            waiver: other(&self.waiver),
            document: other(&self.document),
            run: other(&self.run),
        }
    }

    /// A refusal without what differs from one question to the next.
    fn unnamed(&self, refusal: &str) -> String {
        let mut value: Value = serde_json::from_str(refusal).unwrap_or_else(|_| refusal.into());
        if let Some(problem) = value.as_object_mut() {
            problem.remove("traceId");
        }
        let ids = [&self.scan, &self.digest, &self.finding, &self.report, &self.waiver, &self.document, &self.run];
        ids.into_iter().fold(value.to_string(), |text, id| text.replace(id.as_str(), "ID"))
    }
}

/// An operator with tokens of two tenants, and what the first of them owns.
struct World {
    operator: Operator,
    a: String,
    b: String,
    owned: Owned,
    _folders: [TempDir; 3],
}

impl World {
    async fn start() -> Self {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [data, feeds, manifests] = folders.each_ref().map(TempDir::path);
        let sbom = sbom(feeds);
        let flags =
            ["--feeds", feeds.to_str().unwrap(), "--manifests", manifests.to_str().unwrap(), "--rate-limit", "0"];
        let operator = Operator::start(data, &flags);
        let [a, b] =
            [operator.client("a", &["stella.api"], &["a"]).await, operator.client("b", &["stella.api"], &["b"]).await];
        let owned = own(&operator, &a, &sbom, manifests).await;
        Self { operator, a, b, owned, _folders: folders }
    }

    /// What B is answered.
    async fn ask(&self, method: &Method, path: &str, filled: &str, owned: &Owned, tenant: Option<&str>) -> Response {
        let request = self.operator.request(method.clone(), filled).bearer_auth(&self.b);
        let request = tenant.into_iter().fold(request, |all, name| all.header("X-Stella-Tenant", name));
        let request = body(path, owned).into_iter().fold(request, |all, body| all.json(&body));
        let answer = request.send().await.unwrap();
        let stream = answer.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
        assert!(!stream, "{method} {filled} as {tenant:?}");
        answer
    }

    /// How long B waits for the answer about something of A's, and for that about nothing, in the middle.
    async fn times(&self, method: &Method, path: &str) -> [Duration; 2] {
        let all = [&self.owned, &self.owned.absent()];
        let mut times = [Vec::new(), Vec::new()];
        for pair in 0..PAIRS {
            let mut refusals = [(0, String::new()), (0, String::new())];
            // Either goes first as often as the other.
            for which in [pair % 2, 1 - pair % 2] {
                let (owned, begun) = (all[which], Instant::now());
                let answer = self.ask(method, path, &fill(path, owned.id(path)), owned, Some("b")).await;
                let status = answer.status().as_u16();
                let text = answer.text().await.unwrap();
                times[which].push(begun.elapsed());
                let refusal = if status >= 400 { owned.unnamed(&text) } else { String::new() };
                refusals[which] = (status, refusal);
            }
            assert_eq!(refusals[0], refusals[1], "{method} {path} tells what exists");
        }
        times.map(|mut times| {
            times.sort();
            times[times.len() / 2]
        })
    }
}

/// A package that a record of the fixtures is about, under a name of A's own.
fn sbom(feeds: &Path) -> Value {
    let record = json!({"id": "OSV-TEST-1", "modified": "2026-01-01T00:00:00Z", "summary": "a hole",
        "affected": [{"package": {"ecosystem": "npm", "name": MARK},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}]}]});
    std::fs::create_dir_all(feeds.join("osv/npm")).unwrap();
    std::fs::write(feeds.join("osv/npm/OSV-TEST-1.json"), record.to_string()).unwrap();
    json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [
        {"type": "library", "name": MARK, "version": "1.0.0", "purl": format!("pkg:npm/{MARK}@1.0.0")}]})
}

async fn own(operator: &Operator, token: &str, sbom: &Value, manifests: &Path) -> Owned {
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
    let (scan, digest) = (text(&scanned["scanId"]), text(&scanned["digest"]));
    let listed = operator.request(Method::GET, "/console/vuln/findings").bearer_auth(token);
    let listed: Value = listed.header("X-Stella-Tenant", "a").send().await.unwrap().json().await.unwrap();
    assert!(listed.to_string().contains(MARK), "{listed}");
    let finding = listed["items"][0]["findingId"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
    let waiver = json!({"id": "accepted-1", "cve": "CVE-2024-27351", "justification": MARK, "owner": "ana",
        "ticket": "SEC-1", "expires": "2099-01-01T00:00:00Z"});
    let vex = json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": MARK, "author": "a",
        "timestamp": "2026-01-01T00:00:00Z", "statements": [{"vulnerability": {"name": "CVE-2024-27351"},
            "products": [{"@id": "pkg:npm/other@1.0.0"}], "status": "not_affected",
            "justification": "component_not_present"}]});
    Owned {
        report: made(operator, token, "/api/v1/reports", &json!({"scanId": scan}), "/report/reportId").await,
        waiver: made(operator, token, "/api/v1/waivers", &waiver, "/id").await,
        document: made(operator, token, "/console/vex/statements", &vex, "/documentId").await,
        run: exported(manifests).await,
        scan,
        digest,
        finding,
    }
}

/// The id of something that A makes.
async fn made(operator: &Operator, token: &str, path: &str, body: &Value, id: &str) -> String {
    let request = operator.request(Method::POST, path).bearer_auth(token).header("X-Stella-Tenant", "a");
    let answer = request.json(body).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    told.pointer(id).and_then(Value::as_str).unwrap_or_else(|| panic!("{path}: {told}")).to_owned()
}

/// The id of an export run of A's.
async fn exported(manifests: &Path) -> String {
    let objects = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {stella-ops.org/tenant: a}}\n---\n\
        apiVersion: stella-ops.org/v1alpha1\nkind: ExportProfile\nmetadata: {name: all, namespace: shop}\n\
        spec: {targets: [findings], formats: [json]}\n";
    std::fs::write(manifests.join("objects.yaml"), objects).unwrap();
    let mut status = String::new();
    for _ in 0..300 {
        status = std::fs::read_to_string(manifests.join("exportprofile.shop.all.status.yaml")).unwrap_or_default();
        if let Some(at) = status.find("export-run::a::") {
            let in_id = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-');
            return status[at..].chars().take_while(in_id).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no run: {status}");
}

/// What is sent to a path.
fn body(path: &str, owned: &Owned) -> Option<Value> {
    Some(match path {
        "/api/v1/reports" => json!({"scanId": owned.scan}),
        "/api/v1/reports/{id}/referrers" => json!({}),
        "/api/v1/scanner/policy/runtime" => json!({"namespace": "shop", "images": [owned.digest]}),
        "/layers/missing" => json!({"layers": [Digest::of("layer").to_string()]}),
        "/api/v1/scans" => json!({"image": {"digest": owned.digest}}),
        _ => return None,
    })
}

fn fill(path: &str, id: &str) -> String {
    let filled = path.replace("{id}", id).replace("{scanId}", id);
    filled.replace("{name}", "findings.json").replace("{node}", "n1")
}

/// The operations that need a scope.
fn operations() -> Vec<(Method, String)> {
    let document: Value = serde_json::from_str(&stella_operator::http::document().unwrap()).unwrap();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for name in operations.as_object().unwrap().keys() {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
            if matches!(need(method.as_str(), path), Some(Need::Scope(_))) {
                found.push((method, path.clone()));
            }
        }
    }
    found
}

#[tokio::test]
async fn nobody_gets_a_byte_of_another_tenant() {
    let world = World::start().await;
    let owned = &world.owned;
    let mut walked = 0;
    for (method, path) in operations() {
        for id in [owned.id(&path), &owned.digest] {
            let filled = fill(&path, id);
            for tenant in [None, Some("a"), Some("b")] {
                let answer = world.ask(&method, &path, &filled, owned, tenant).await;
                let status = answer.status().as_u16();
                let text = answer.text().await.unwrap();
                assert!(!text.contains(MARK), "{method} {filled} as {tenant:?}: {text}");
                assert!(status < 500, "{method} {filled} as {tenant:?}: {text}");
                if tenant == Some("a") {
                    assert_eq!(status, 403, "{method} {filled}: {text}");
                } else if path.contains('{') {
                    assert!([400, 403, 404, 415].contains(&status), "{method} {filled} as {tenant:?}: {status} {text}");
                }
                walked += 1;
            }
        }
    }
    assert!(walked >= 150, "{walked} questions");
    let all = [
        format!("/api/v1/scans/{}", owned.scan),
        format!("/api/v1/reports/{}", owned.report),
        format!("/console/vuln/findings/{}", owned.finding),
        format!("/export-center/runs/{}/artifacts/findings.json", owned.run),
    ];
    for path in all {
        let request = world.operator.request(Method::GET, &path).bearer_auth(&world.a).header("X-Stella-Tenant", "a");
        assert_eq!(request.send().await.unwrap().status(), 200, "A's is as it was: {path}");
    }
}

#[tokio::test]
async fn what_another_tenant_owns_and_what_is_not_there_take_equally_long() {
    let world = World::start().await;
    let asked = operations().into_iter().filter(|(method, path)| {
        let in_body = *method == Method::POST && body(path, &world.owned).is_some();
        path.contains("Id}") || path.contains("{id}") || in_body
    });
    let mut compared = 0;
    for (method, path) in asked {
        let mut told = Vec::new();
        while told.len() < TRIES {
            let [owned, absent] = world.times(&method, &path).await;
            told.push((owned, absent));
            if owned.max(absent) <= owned.min(absent).mul_f64(1.5) + Duration::from_millis(2) {
                break;
            }
            assert!(told.len() < TRIES, "{method} {path}: another tenant's, and nobody's, take {told:?}");
        }
        compared += 1;
    }
    assert!(compared >= 15, "{compared} operations");
}
