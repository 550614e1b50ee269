//! An operator whose database goes away while it runs.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::database::Server;
use crate::running::Operator;

const TOKEN: &str = "a-token-while-the-database-is-away";
/// How long an operator may take to notice that its database is back.
const BACK: Duration = Duration::from_secs(60);

/// Something of every kind that is asked of the database: reading, writing, streaming, waiting.
fn questions() -> Vec<(Method, &'static str, Option<Value>)> {
    let bom = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [
        {"type": "library", "name": "django", "version": "4.2", "purl": "pkg:pypi/django@4.2"}]});
    let policy = json!({"version": "1.0", "rules": [{"name": "low", "severity": ["Low"], "action": "warn"}]});
    let layer = format!("sha256:{}", "a".repeat(64));
    let get = |path| (Method::GET, path, None);
    let post = |path, body| (Method::POST, path, Some(body));
    vec![
        get("/policy/export"),
        get("/policy/history"),
        get("/console/vuln/findings"),
        get("/api/v1/scans/none"),
        get("/api/v1/scans/none/events"),
        get("/api/v1/reports/none"),
        get("/api/v1/waivers"),
        get("/api/v1/nodes"),
        get("/export-center/runs/none"),
        get("/api/v1/runtime/events?kind=Drift"),
        post("/scan", bom),
        post("/scan", json!({"reference": "registry.example/a:1"})),
        post("/api/v1/scans", json!({"image": {"reference": "registry.example/a:1"}})),
        post("/api/v1/reports", json!({"scanId": "none"})),
        post("/layers/missing", json!({"layers": [layer]})),
        post("/policy/import", policy),
        post("/api/v1/scanner/policy/runtime", json!({"namespace": "shop", "images": ["registry.example/a:1"]})),
        (Method::DELETE, "/api/v1/scans/none", None),
    ]
}

async fn ask(operator: &Operator, method: Method, path: &str, body: Option<Value>) -> (u16, String, Value) {
    let request = operator.request(method, path).bearer_auth(TOKEN).header("X-Stella-Tenant", "tenant-default");
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    let answer = request.send().await.unwrap();
    let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), retry.unwrap_or_default(), answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_told_to_come_again_while_postgresql_is_away() {
    let Some(mut server) = Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let feeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");
    let mut operator = Operator::start(
        folder.path(),
        &["--database-url", &server.url, "--static-token-file", token.to_str().unwrap(), "--feeds", feeds],
    );
    operator.until_ready().await;
    assert_eq!(ask(&operator, Method::GET, "/policy/history", None).await.0, 200);

    tokio::task::block_in_place(|| server.stop());
    let asked = questions().into_iter().map(|(method, path, body)| {
        let operator = &operator;
        async move { (format!("{method} {path}"), ask(operator, method, path, body).await) }
    });
    for (question, (status, retry, problem)) in join_all(asked).await {
        assert_eq!(status, 503, "{question}: {problem}");
        assert_eq!(problem["type"], "https://stella-ops.org/probs/unavailable", "{question}: {problem}");
        assert!(retry.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{question}: Retry-After: {retry:?}");
    }
    let form = operator.request(Method::POST, "/connect/token").basic_auth("stella-admin", Some("wrong"));
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let given = form.body("grant_type=client_credentials").send().await.unwrap();
    assert_eq!((given.status().as_u16(), given.headers().contains_key("retry-after")), (503, true));
    let healthy = operator.request(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(healthy.status(), 200);

    tokio::task::block_in_place(|| server.crash());
    let since = Instant::now();
    loop {
        let (status, _, body) = ask(&operator, Method::GET, "/policy/history", None).await;
        if status == 200 {
            break;
        }
        assert!(status == 503 && since.elapsed() < BACK, "{status} {body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(operator.runs(), "{}", operator.log());
}
