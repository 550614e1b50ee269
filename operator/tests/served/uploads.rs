//! What is sent to `POST /scan`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::running::Operator;

const FEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");
const IGNORE: &str = "version: '1.0'\nrules: [{name: all, match: {}, action: ignore}]\n";

fn start(data: &Path, flags: &[&str]) -> Operator {
    let operator = tokio::task::block_in_place(|| Operator::start(data, &[&["--feeds", FEEDS], flags].concat()));
    let begun = Instant::now();
    while !operator.log().contains("index in use") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", operator.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    operator
}

/// An SBOM of that many packages, the first of which has findings.
fn bom(packages: usize) -> Value {
    let component = |number: usize| {
        let name = if number == 0 { "cryptography".to_owned() } else { format!("package-{number}") };
        json!({"type": "library", "name": name, "version": "38.0.0", "purl": format!("pkg:pypi/{name}@38.0.0")})
    };
    json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": (0..packages).map(component).collect::<Vec<_>>()})
}

fn scan(operator: &Operator, query: &str) -> RequestBuilder {
    operator.request(Method::POST, &format!("/scan{query}"))
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

async fn ask(request: RequestBuilder) -> (u16, Value) {
    answer(request.send().await.unwrap()).await
}

/// The scan at `location` when it has ended.
async fn ended(operator: &Operator, location: &str) -> Value {
    let begun = Instant::now();
    loop {
        let (_, state) = ask(operator.request(Method::GET, location)).await;
        if !["Pending", "Running"].contains(&state["status"].as_str().unwrap_or_default()) {
            return state;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{state}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_are_asked_for_by_the_thousand_and_answered_in_order() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let ask_for = async |layers: Value| {
        ask(operator.request(Method::POST, "/layers/missing").json(&json!({"layers": layers}))).await
    };
    let digest = |number: u32| stella_domain::Digest::of(number.to_string()).to_string();
    let most: Vec<String> = (0..4096).rev().map(digest).collect();
    let (status, answer) = ask_for(json!(most)).await;
    assert!(status == 200 && answer["missing"] == json!(most), "{status}: {} layers", most.len());
    let twice = json!([digest(1), digest(0), digest(1)]);
    let (status, answer) = ask_for(twice).await;
    assert_eq!((status, &answer["missing"][0], &answer["missing"][1]), (200, &json!(digest(1)), &json!(digest(0))));
    for (layers, place) in [
        (json!([]), "$.layers"),
        (json!((0..4097).map(digest).collect::<Vec<_>>()), "$.layers"),
        (json!([digest(0), "sha256:12"]), "$.layers[1]"),
        (json!([digest(0), digest(1).to_uppercase()]), "$.layers[1]"),
    ] {
        let (status, problem) = ask_for(layers).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem.to_string().contains(place), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_has_to_be_what_its_sender_says() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let typed = |name: &'static str| scan(&operator, "").header("X-Stella-Sbom-Type", name);
    assert_eq!(ask(typed("cyclonedx-json").json(&bom(1))).await.0, 200);
    for (name, told) in [("spdx-json", "cyclonedx-json was sent"), ("tar", "trivy-json-v2")] {
        let (status, problem) = ask(typed(name).json(&bom(1))).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(told), "{name}: {status} {problem}");
    }
    let (status, problem) = ask(typed("spdx-json").body(vec![0; 1024])).await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("an image archive was sent"), "{problem}");
    let named = json!({"reference": "registry.example/a:1"});
    assert_eq!(ask(typed("spdx-json").json(&named)).await.0, 400, "an image is named, not sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_blocks_and_the_report_is_where_the_answer_says() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let (_, low) = ask(scan(&operator, "?threshold=low").json(&bom(1))).await;
    assert_eq!((&low["policyStatus"], &low["summary"]["Critical"]), (&json!("blocked"), &json!(0)), "{low}");
    let (_, default) = ask(scan(&operator, "").json(&bom(1))).await;
    assert_eq!(default["policyStatus"], "pass", "nothing is critical: {default}");
    assert_eq!(default["quota"], Value::Null, "nothing limits the caller");
    let (status, problem) = ask(scan(&operator, "?threshold=severe").json(&bom(1))).await;
    assert!(status == 400 && problem["errors"][0]["path"] == "$.threshold", "{problem}");
    let (status, report) = ask(operator.request(Method::GET, default["reportUrl"].as_str().unwrap())).await;
    assert_eq!((status, &report["report"]["verdict"]), (200, &json!("pass")), "{report}");
    let (_, again) = ask(operator.request(Method::GET, default["reportUrl"].as_str().unwrap())).await;
    assert_eq!(again, report);
    assert_eq!(ask(operator.request(Method::GET, "/api/v1/reports/of-scan/none")).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_comes_along_judges_this_answer_alone() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let block = IGNORE.replace("ignore", "block");
    let import = |policy: &str| {
        let request = operator.request(Method::POST, "/policy/import").header("content-type", "application/yaml");
        request.body(policy.to_owned())
    };
    assert_eq!(ask(import(IGNORE)).await.1["revision"], "rev-1");
    assert_eq!(ask(import(&block)).await.1["revision"], "rev-2");
    let status_of = async |request: RequestBuilder| {
        let (status, body) = ask(request).await;
        assert_eq!(status, 200, "{body}");
        body["policyStatus"].as_str().unwrap().to_owned()
    };
    let bom = bom(1);
    assert_eq!(status_of(scan(&operator, "").json(&bom)).await, "blocked");
    assert_eq!(status_of(scan(&operator, "?policy=rev-1").json(&bom)).await, "pass");
    assert_eq!(
        status_of(scan(&operator, "?policy=rev-1&threshold=low").json(&bom)).await,
        "pass",
        "ignored is ignored"
    );
    assert_eq!(status_of(scan(&operator, "?policy=import").json(&bom)).await, "blocked");

    let form = |policy: &str, kind: &str| {
        let parts = format!(
            "--part\r\ncontent-disposition: form-data; name=\"policy\"\r\ncontent-type: {kind}\r\n\r\n{policy}\r\n\
             --part\r\ncontent-disposition: form-data; name=\"file\"; filename=\"bom.json\"\r\n\r\n{bom}\r\n--part--\r\n"
        );
        scan(&operator, "").header("content-type", "multipart/form-data; boundary=part").body(parts)
    };
    assert_eq!(status_of(form(IGNORE, "application/yaml")).await, "pass");
    let (status, problem) = ask(form("version: '1.0'\nrules: [{name: x}]", "application/yaml")).await;
    assert!(status == 400 && problem["errors"][0]["path"].is_string(), "{problem}");

    assert_eq!(status_of(scan(&operator, "").json(&bom)).await, "blocked", "what is in force stays in force");
    let (_, findings) =
        ask(operator.request(Method::GET, "/console/vuln/findings").header("X-Stella-Tenant", "tenant-default")).await;
    let items = findings["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|item| item["verdict"]["status"] == "Blocked"), "{findings}");
    let (_, history) = ask(operator.request(Method::GET, "/policy/history")).await;
    assert_eq!(history["items"].as_array().unwrap().len(), 2, "{history}");
    assert_eq!(ask(scan(&operator, "?policy=rev-9").json(&bom)).await.0, 404);
    assert_eq!(ask(scan(&operator, "?policy=shop/none").json(&bom)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_the_day_is_in_the_answer() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &[]);
    let request = operator.request(Method::POST, "/token/offline").bearer_auth(operator.admin().await);
    let (_, token) = ask(request.json(&json!({"expiresDays": 1, "maxScansPerDay": 7}))).await;
    let request = scan(&operator, "").bearer_auth(token["jwt"].as_str().unwrap()).json(&bom(1));
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (left, reset) = (header("x-stella-quota-remaining"), header("x-stella-reset"));
    let (_, body) = answer(response).await;
    assert_eq!(body["quota"], json!({"remaining": 6, "reset": reset}));
    assert_eq!(left, "6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_takes_longer_than_its_caller_waits_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let response = scan(&operator, "").header("prefer", "wait=0").json(&bom(1)).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (location, applied) = (header("location"), header("preference-applied"));
    let (status, accepted) = answer(response).await;
    assert_eq!((status, applied.as_str(), &accepted["location"]), (202, "wait=0", &json!(location)));
    let state = ended(&operator, &location).await;
    assert_eq!(state["status"], "Succeeded", "{state}");
    let (_, at_once) = ask(scan(&operator, "").json(&bom(1))).await;
    assert_eq!(state["image"]["digest"], at_once["digest"]);
    let (_, findings) = ask(operator.request(Method::GET, &format!("{location}/findings"))).await;
    assert!(!findings["items"].as_array().unwrap().is_empty(), "{findings}");

    let broken = scan(&operator, "").header("prefer", "wait=0").body("{\"bomFormat\":").send().await.unwrap();
    let location = broken.headers()["location"].to_str().unwrap().to_owned();
    let state = ended(&operator, &location).await;
    assert_eq!(state["status"], "Failed", "{state}");
    assert!(state["failureReason"].as_str().unwrap().contains("malformed cyclonedx-json"), "{state}");
    assert_eq!(files_below(&data.path().join("work")), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_with_the_process_that_reads_it_and_the_scan_says_so() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let response = scan(&operator, "").header("prefer", "wait=0").json(&bom(200_000)).send().await.unwrap();
    let (status, accepted) = answer(response).await;
    assert_eq!(status, 202, "{accepted}");
    operator.kill();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let state = ended(&operator, accepted["location"].as_str().unwrap()).await;
    assert_eq!(state["status"], "Failed", "{state}");
    assert!(state["failureReason"].as_str().unwrap().contains("send it again"), "{state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_what_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let mut outside = tar::Header::new_gnu();
    outside.as_old_mut().name[..16].copy_from_slice(b"../../escape.txt");
    outside.set_size(4);
    outside.set_mode(0o644);
    outside.set_cksum();
    let traversal = [outside.as_bytes().as_slice(), b"evil", &[0; 508 + 1024]].concat();
    let bodies: [(&str, Vec<u8>); 5] = [
        ("a path that leads out", traversal),
        ("no archive", vec![0; 4096]),
        ("half of a gzip", vec![0x1f, 0x8b, 8, 0, 0, 0]),
        ("half of an SBOM", b"{\"bomFormat\": \"CycloneDX\", \"comp".to_vec()),
        ("a form without an end", b"--part\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nhalf".to_vec()),
    ];
    for (what, body) in bodies {
        let mut request = scan(&operator, "").body(body);
        if what.starts_with("a form") {
            request = request.header("content-type", "multipart/form-data; boundary=part");
        }
        let (status, problem) = ask(request).await;
        assert_eq!(status, 400, "{what}: {problem}");
        assert_eq!(files_below(&data.path().join("work")), Vec::<PathBuf>::new(), "{what}");
    }
    assert!(!data.path().join("escape.txt").exists() && !data.path().join("work/escape.txt").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_read_alike_in_memory_and_in_a_file() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let padded = |size: usize| {
        let mut text = bom(20).to_string();
        text.extend(std::iter::repeat_n(' ', size.saturating_sub(text.len())));
        text
    };
    let (status, first) = ask(scan(&operator, "").body(padded(0))).await;
    assert_eq!(status, 200, "{first}");
    let known = |answer: &Value| ["digest", "summary", "policyStatus", "scanId"].map(|field| answer[field].clone());
    for size in [(256 << 10) - 1, 256 << 10, (256 << 10) + 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20] {
        let (status, answer) = ask(scan(&operator, "").body(padded(size))).await;
        assert_eq!((status, known(&answer)), (200, known(&first)), "{size}");
        let form =
            format!("--part\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n{}\r\n--part--\r\n", padded(size));
        let form = scan(&operator, "").header("content-type", "multipart/form-data; boundary=part").body(form);
        let (status, answer) = ask(form).await;
        assert_eq!((status, known(&answer)), (200, known(&first)), "as a form: {size}");
    }
    // Together they are more than may be held.
    let all = (0..100).map(|_| ask(scan(&operator, "").header("prefer", "wait=60").body(padded(1 << 20))));
    for (status, answer) in futures::future::join_all(all).await {
        assert_eq!((status, known(&answer)), (200, known(&first)));
    }
    assert_eq!(files_below(&data.path().join("work")), Vec::<PathBuf>::new());
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// A distribution of a release as an SBOM tells it, with a package that has findings.
fn bom_of_debian(release: &str) -> Value {
    let mut document = bom(1);
    let os = json!({"type": "operating-system", "bom-ref": "os", "name": "debian", "version": release});
    document["components"].as_array_mut().unwrap().push(os);
    document
}

/// What the step says that ends a scan of an image which is stored already.
async fn last_message(operator: &Operator, reference: &str, digest: &Value) -> String {
    let request = json!({"image": {"reference": reference, "digest": digest}});
    let (_, accepted) = ask(operator.request(Method::POST, "/api/v1/scans").json(&request)).await;
    let location = accepted["location"].as_str().unwrap();
    let state = ended(operator, location).await;
    assert_eq!(state["status"], "Succeeded", "{state}");
    let steps = operator.request(Method::GET, &format!("{location}/events?format=jsonl")).send().await.unwrap();
    let last: Value = serde_json::from_str(steps.text().await.unwrap().lines().last().unwrap()).unwrap();
    assert_eq!(last["state"], "Succeeded", "{last}");
    last["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_step_of_a_scan_says_that_a_distribution_gets_no_updates_any_more() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let stored = async |document: &Value| {
        let (status, body) = ask(scan(&operator, "").json(document)).await;
        assert_eq!(status, 200, "{body}");
        body["digest"].clone()
    };
    let old = stored(&bom_of_debian("9")).await;
    let told = last_message(&operator, "registry.example/old:1", &old).await;
    let notice = "debian 9 has had no updates since 2020-07-18, nor from extended support since 2022-06-30";
    assert!(told.contains(" findings; ") && told.ends_with(notice), "{told}");
    let unknown = stored(&bom(1)).await;
    let told = last_message(&operator, "registry.example/unknown:1", &unknown).await;
    assert!(told.ends_with(" findings"), "of no distribution: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_step_of_a_scan_says_what_was_asked() {
    let data = tempfile::tempdir().unwrap();
    let operator = start(data.path(), &["--allow-anonymous"]);
    let request =
        json!({"image": {"reference": "127.0.0.1:1/a:1"}, "force": true, "metadata": {"team": "shop", "build": "7"}});
    let (_, accepted) = ask(operator.request(Method::POST, "/api/v1/scans").json(&request)).await;
    let location = accepted["location"].as_str().unwrap();
    let steps = operator.request(Method::GET, &format!("{location}/events?format=jsonl")).send().await.unwrap();
    let first: Value = serde_json::from_str(steps.text().await.unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(first["data"], json!({"force": "true", "meta.build": "7", "meta.team": "shop"}));
    let id = accepted["scanId"].as_str().unwrap();
    assert_eq!(first["correlationId"], format!("{id}:0001"));
    assert_eq!((&first["sequence"], &first["state"], &first["scanId"]), (&json!(1), &json!("Pending"), &json!(id)));
}
