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
