//! Scans by a server, played by a few lines of HTTP.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Work, stella};

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// Status line, more header lines and body of an answer.
pub type Answer = (&'static str, String, Value);

pub fn ok(body: Value) -> Answer {
    ("200 OK", String::new(), body)
}

/// A server that answers each request by its line (`GET /path`) and how often that was asked before.
pub struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&str, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&stream);
                let before = log.lock().unwrap().iter().filter(|earlier| earlier.line == request.line).count();
                let (status, headers, body) = answer(&request.line, before);
                log.lock().unwrap().push(request);
                let body = body.to_string();
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(body.as_bytes()).unwrap();
            }
        });
        Self { address, asked }
    }

    /// The first request whose line begins so.
    pub fn asked(&self, start: &str) -> Asked {
        let asked = self.asked.lock().unwrap();
        let found = asked.iter().find(|request| request.line.starts_with(start));
        found.unwrap_or_else(|| panic!("{start} is not in {asked:?}")).clone()
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let line = next().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let header = next();
        let Some((name, value)) = header.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Asked { line, headers, body }
}

fn state(status: &str, digest: Option<&str>) -> Value {
    json!({
        "scanId": "abc", "status": status, "image": {"reference": null, "digest": digest},
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z", "failureReason": null,
    })
}

#[test]
fn an_accepted_scan_is_followed_to_its_findings() {
    let work = Work::new();
    let local = work.scan_bom(&["--json"]).json();
    let digest = local["digest"].as_str().unwrap().to_owned();
    let findings = local["findings"].clone();
    let server = Server::start(move |line, before| match (line.split('?').next().unwrap(), before) {
        ("POST /scan", _) => ("202 Accepted", "location: /api/v1/scans/abc\r\n".to_owned(), json!({})),
        ("GET /api/v1/scans/abc", 0) => ok(state("Running", None)),
        ("GET /api/v1/scans/abc", 1) => ("503 Service Unavailable", String::new(), json!({})),
        ("GET /api/v1/scans/abc", _) => ok(state("Succeeded", Some(&digest))),
        ("GET /api/v1/scans/abc/findings", _) if line.contains("pageToken=next") => {
            ok(json!({"items": [findings[0]], "nextPageToken": null}))
        }
        ("GET /api/v1/scans/abc/findings", _) => ok(json!({"items": [findings[1]], "nextPageToken": "next"})),
        ("GET /version", _) => ok(json!({"version": "9.9.9", "gitSha": "x", "buildDate": "y"})),
        _ => ("403 Forbidden", String::new(), json!({})),
    });
    let bom = work.text("bom.json");
    let ran = stella(&["--server", &server.address, "--token", "secret", "--json", "--threshold", "high", &bom]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let document = ran.json();
    assert_eq!(document["findings"], local["findings"]);
    assert_eq!((&document["engine"], &document["digest"]), (&"stella 9.9.9".into(), &local["digest"]));
    let sent = server.asked("POST /scan");
    assert_eq!(sent.line, "POST /scan?threshold=high");
    assert_eq!(sent.headers["authorization"], "Bearer secret");
    assert_eq!(sent.body, std::fs::read(bom).unwrap());
}

#[test]
fn a_reference_is_named_and_not_sent() {
    let server = Server::start(|line, _| match line.split('?').next().unwrap() {
        "POST /scan" => ok(json!({
            "scanId": "abc", "digest": format!("sha256:{}", "0".repeat(64)),
            "summary": {"Critical": 0, "High": 0, "Medium": 0, "Low": 0, "Unknown": 0},
            "policyStatus": "blocked", "reportUrl": null, "findingsUrl": "/api/v1/scans/abc/findings",
        })),
        "GET /api/v1/scans/abc/findings" => ok(json!({"items": [], "nextPageToken": null})),
        _ => ok(json!({"items": [], "version": "1"})),
    });
    let ran = stella(&["--server", &server.address, "registry.local/shop/web:1.4"]);
    assert_eq!(ran.code, Some(1), "policy blocks: {ran:?}");
    let body: Value = serde_json::from_slice(&server.asked("POST /scan").body).unwrap();
    assert_eq!(body["reference"], "registry.local/shop/web:1.4");
}

#[test]
fn a_quota_is_waited_out_once() {
    let work = Work::new();
    let server = Server::start(|_, _| {
        let problem = json!({
            "type": "https://stella-ops.org/probs/quota-exceeded", "title": "Quota exceeded", "status": 429,
            "detail": "no scans left today",
        });
        ("429 Too Many Requests", "retry-after: 0\r\n".to_owned(), problem)
    });
    let ran = stella(&["--server", &server.address, &work.text("bom.json")]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("waiting") && ran.err.contains("no scans left today"), "{ran:?}");
    let impatient = stella(&["--server", &server.address, "--wait-quota", "false", &work.text("bom.json")]);
    impatient.failed_with(&["POST /scan", "429 Quota exceeded"]);
}

#[test]
fn a_scan_goes_on_after_the_quota_has_opened_again() {
    let work = Work::new();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |line, _| match line.split('?').next().unwrap() {
        "POST /scan" if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
            let problem = json!({"type": "https://stella-ops.org/probs/quota-exceeded", "title": "Quota exceeded", "status": 429});
            ("429 Too Many Requests", "retry-after: 1\r\n".to_owned(), problem)
        }
        "POST /scan" => ok(json!({
            "scanId": "abc", "digest": format!("sha256:{}", "0".repeat(64)),
            "summary": {"Critical": 0, "High": 0, "Medium": 0, "Low": 0, "Unknown": 0},
            "policyStatus": "pass", "reportUrl": null, "findingsUrl": "/api/v1/scans/abc/findings",
        })),
        _ => ok(json!({"items": [], "nextPageToken": null, "version": "1"})),
    });
    let started = std::time::Instant::now();
    let ran = stella(&["--server", &server.address, &work.text("bom.json")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("waiting"), "{ran:?}");
    assert!(started.elapsed() >= std::time::Duration::from_secs(1), "what the server asked for");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    stella(&["--server", "http://127.0.0.1:1", "web:1"]).failed_with(&["http://127.0.0.1:1"]);
    stella(&["--server", "localhost:8080", "web:1"]).failed_with(&["--server"]);
}

#[test]
fn a_threshold_is_told_from_a_policy_that_refuses() {
    let work = Work::new();
    let findings = work.scan_bom(&["--json"]).json()["findings"].clone();
    let server = Server::start(move |line, _| match line.split('?').next().unwrap() {
        // The server's word speaks of the threshold too.
        "POST /scan" => ok(json!({
            "scanId": "abc", "digest": format!("sha256:{}", "0".repeat(64)),
            "summary": {"Critical": 1, "High": 0, "Medium": 1, "Low": 0, "Unknown": 0},
            "policyStatus": "blocked", "reportUrl": null, "findingsUrl": "/api/v1/scans/abc/findings",
        })),
        "GET /api/v1/scans/abc/findings" => ok(json!({"items": findings, "nextPageToken": null})),
        _ => ok(json!({"items": [], "version": "1"})),
    });
    let ran = stella(&["--server", &server.address, "--json", &work.text("bom.json")]);
    assert_eq!((ran.code, &ran.json()["policyStatus"]), (Some(1), &json!("pass")), "{ran:?}");
    assert!(!ran.err.contains("policy refuses"), "{ran:?}");
}

/// A server that has scanned already: with these findings, and documents of what was scanned by their format.
fn finished(findings: Value, documents: BTreeMap<&'static str, Value>, policy_status: &'static str) -> Server {
    Server::start(move |line, _| match line.split_once('?').unwrap_or((line, "")) {
        ("POST /scan", _) => ok(json!({
            "scanId": "abc", "digest": format!("sha256:{}", "0".repeat(64)),
            "summary": {"Critical": 1, "High": 0, "Medium": 1, "Low": 0, "Unknown": 0},
            "policyStatus": policy_status, "reportUrl": null, "findingsUrl": "/api/v1/scans/abc/findings",
        })),
        ("GET /api/v1/scans/abc/findings", _) => ok(json!({"items": findings, "nextPageToken": null})),
        ("GET /api/v1/scans/abc/sbom", query) => {
            match query.strip_prefix("format=").and_then(|format| documents.get(format)) {
                Some(document) => ok(document.clone()),
                None => ("404 Not Found", String::new(), json!({})),
            }
        }
        ("GET /version", _) => ok(json!({"version": "9.9.9", "gitSha": "x", "buildDate": "y"})),
        _ => ok(json!({"items": [], "nextPageToken": null})),
    })
}

#[test]
fn every_format_comes_from_a_server_as_it_does_without_one() {
    let work = Work::new();
    let mut bom = work.scan_bom(&["--format", "cyclonedx"]).json();
    let vulnerabilities = bom.as_object_mut().unwrap().remove("vulnerabilities").unwrap();
    let spdx = work.scan_bom(&["--format", "spdx"]).json();
    let findings = work.scan_bom(&["--json"]).json()["findings"].clone();
    let documents = BTreeMap::from([("cyclonedx-json", bom.clone()), ("spdx-json", spdx.clone())]);
    let server = finished(findings, documents, "pass");
    let asked = |format: &str| {
        let ran = stella(&["--server", &server.address, "--format", format, &work.text("bom.json")]);
        assert_eq!(ran.code, Some(1), "{format}: {ran:?}");
        assert_eq!(ran.err, "failed: 1 finding at or over Critical\n", "{format}");
        ran
    };

    let mut told = asked("cyclonedx").json();
    assert_eq!(told.as_object_mut().unwrap().remove("vulnerabilities"), Some(vulnerabilities));
    assert_eq!(told, bom, "what the server has, and nothing else");
    assert_eq!(asked("spdx").json(), spdx);
    let sarif = |log: Value| log["runs"][0]["results"].clone();
    assert_eq!(sarif(asked("sarif").json()), sarif(work.scan_bom(&["--format", "sarif"]).json()));
    let html = asked("html").out;
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"), "{html}");
    let markdown = asked("markdown").out;
    assert!(markdown.starts_with("# "), "{markdown}");
    for page in [html, markdown] {
        for part in ["CVE-2022-28346", "CVE-2023-23931", "django", "9.9.9"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}

#[test]
fn a_document_that_the_server_does_not_give_is_told() {
    let work = Work::new();
    let server = finished(json!([]), BTreeMap::new(), "pass");
    for format in ["cyclonedx", "spdx"] {
        let ran = stella(&["--server", &server.address, "--format", format, &work.text("bom.json")]);
        ran.failed_with(&["/api/v1/scans/abc/sbom", "404"]);
        assert_eq!(ran.out, "");
    }
}

const ACCEPT: &str = "version: \"1.0\"\nrules:\n  - name: accepted\n    match: {packages: [django]}\n    \
                      action: {type: ignore, justification: behind a proxy}\n";
const BLOCK: &str =
    "version: \"1.0\"\nrules:\n  - name: no old crypto\n    match: {packages: [cryptography]}\n    action: block\n";

/// The file's rules take the place of the server's, for this run alone: they are not sent.
#[test]
fn a_policy_file_judges_what_the_server_found() {
    let work = Work::new();
    let findings = work.scan_bom(&["--json"]).json()["findings"].clone();
    let with = |policy: &str, told: &'static str, format: &str| {
        let file = work.write("policy.yaml", policy);
        let server = finished(findings.clone(), BTreeMap::new(), told);
        let args = ["--server", &server.address, "--policy-file", &file, "--format", format, &work.text("bom.json")];
        let ran = stella(&args);
        let sent = server.asked("POST /scan");
        assert_eq!(sent.line, "POST /scan?threshold=critical");
        assert_eq!(sent.body, std::fs::read(work.path("bom.json")).unwrap());
        ran
    };
    let accepted = with(ACCEPT, "blocked", "json");
    let document = accepted.json();
    assert_eq!((accepted.code, &document["policyStatus"]), (Some(0), &json!("pass")), "{accepted:?}");
    let verdict = &document["findings"][0]["verdict"];
    assert_eq!((&verdict["status"], &verdict["ruleName"]), (&json!("Ignored"), &json!("accepted")));
    let blocked = with(BLOCK, "pass", "json");
    assert_eq!((blocked.code, &blocked.json()["policyStatus"]), (Some(1), &json!("blocked")), "{blocked:?}");
    assert!(blocked.err.contains("policy refuses the image"), "{blocked:?}");
    let log = with(ACCEPT, "blocked", "sarif");
    assert_eq!(log.code, Some(0), "{log:?}");
    assert_eq!(log.json()["runs"][0]["results"][0]["suppressions"][0]["kind"], "external");
}

#[test]
fn a_wrong_policy_file_is_told_before_the_server_is_asked() {
    let work = Work::new();
    let wrong = work.write("wrong.yaml", "version: \"1.0\"\nrules:\n  - name: wrong\n    severity: [Foo]\n");
    let args = ["--server", "http://127.0.0.1:1", "--policy-file", &wrong, &work.text("bom.json")];
    stella(&args).failed_with(&[&wrong, "$.rules[0].severity", "Foo"]);
}

#[test]
fn the_type_of_an_sbom_is_named_to_the_server_where_it_is_known() {
    let work = Work::new();
    let server = finished(json!([]), BTreeMap::new(), "pass");
    let sent = |server: &Server, more: &[&str]| {
        let bom = work.text("bom.json");
        let mut args = vec!["--server", server.address.as_str()];
        args.extend(more);
        args.push(&bom);
        let ran = stella(&args);
        (ran, server.asked("POST /scan").headers.get("x-stella-sbom-type").cloned())
    };
    assert_eq!(sent(&server, &[]).1, None, "the server tells by the content");
    // The server of these tests does not look; the real one refuses what is something else.
    for name in ["cyclonedx-json", "spdx-json", "trivy-json-v2"] {
        let server = finished(json!([]), BTreeMap::new(), "pass");
        let (ran, header) = sent(&server, &["--sbom-type", name]);
        assert_eq!((ran.code, header.as_deref()), (Some(0), Some(name)), "{ran:?}");
    }
    let refusing = Server::start(|_, _| {
        let detail = "X-Stella-Sbom-Type says spdx-json, and cyclonedx-json was sent";
        (
            "400 Bad Request",
            String::new(),
            json!({"type": "about:blank", "title": "Invalid input", "status": 400, "detail": detail}),
        )
    });
    let (ran, _) = sent(&refusing, &["--sbom-type", "spdx-json"]);
    ran.failed_with(&["POST /scan", "says spdx-json, and cyclonedx-json was sent"]);
}
