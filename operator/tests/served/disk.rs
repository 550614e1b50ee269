//! An operator on SQLite whose disk is full, or takes nothing at all.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::database::{damage, sqlite};
use crate::running::{Operator, refusal};

/// A disk of 48 MiB. It is taken away when this goes.
struct Disk(PathBuf, #[expect(dead_code, reason = "the folder it is mounted on goes after it")] tempfile::TempDir);

impl Disk {
    /// `None` where nothing may be mounted.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        if !mount(&["-t", "tmpfs", "-o", "size=48m", "tmpfs"], &path) {
            eprintln!("SKIPPED: a disk of its own cannot be mounted (root is needed)");
            return None;
        }
        Some(Self(path, folder))
    }

    /// Takes all space there is.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filling")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("filling")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(options: &[&str], at: &Path) -> bool {
    let mount = Command::new("mount").args(options).arg(at).stderr(Stdio::null()).status();
    mount.is_ok_and(|status| status.success())
}

/// An SBOM of its own, large enough that not many scans of such fit into what is left of a file.
fn sbom(number: usize) -> Value {
    let components: Vec<Value> = (0..200)
        .map(|at| {
            let version = format!("{number}.{at}");
            json!({"type": "library", "name": "sample", "version": version, "purl": format!("pkg:npm/sample@{version}")})
        })
        .collect();
    json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components})
}

async fn scan(operator: &Operator, token: &str, number: usize) -> (u16, Value) {
    let asked = operator.request(Method::POST, "/scan").bearer_auth(token).body(sbom(number).to_string());
    let answer = asked.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn submit(operator: &Operator, token: &str, number: usize) -> (u16, Value) {
    let body = json!({"image": {"reference": format!("registry.example/a:{number}")}});
    let answer = operator.request(Method::POST, "/api/v1/scans").bearer_auth(token).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// What was refused because of the disk `at`, and nothing else.
fn assert_full(status: u16, problem: &Value, at: &Path) {
    assert_eq!(status, 503, "{problem}");
    assert_eq!(problem["type"], "https://stella-ops.org/probs/unavailable", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("full") && detail.contains(at.to_str().unwrap()), "{problem}");
}

#[tokio::test]
async fn a_full_disk_is_told_of_and_nothing_is_lost_when_there_is_space_again() {
    let Some(disk) = Disk::new() else { return };
    let (token, data) = ("a-token-on-a-full-disk", disk.0.join("data"));
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("token");
    std::fs::write(&file, token).unwrap();
    let feeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");
    let flags = ["--static-token-file", file.to_str().unwrap(), "--feeds", feeds, "--rate-limit", "0"];
    let operator = Operator::start(&data, &flags);
    operator.until_ready().await;
    let (status, kept) = scan(&operator, token, 0).await;
    assert_eq!(status, 200, "{kept}");

    disk.fill();
    // Small documents need no file of their own: what is left of the log of the database holds some scans of them.
    let mut scanned = Vec::new();
    let (status, problem) = loop {
        let (status, body) = scan(&operator, token, 1 + scanned.len()).await;
        if status >= 400 || scanned.len() > 10_000 {
            break (status, body);
        }
        scanned.push(body["scanId"].as_str().unwrap().to_owned());
    };
    assert_full(status, &problem, &data);
    // A queued scan is smaller still.
    let mut queued = Vec::new();
    let (status, problem) = loop {
        let (status, body) = submit(&operator, token, queued.len()).await;
        if status >= 400 || queued.len() > 10_000 {
            break (status, body);
        }
        queued.push(body["scanId"].as_str().unwrap().to_owned());
    };
    assert_full(status, &problem, &data);
    for path in ["/healthz", "/policy/history"] {
        let answer = operator.request(Method::GET, path).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} is still answered");
    }

    disk.empty();
    let (status, body) = scan(&operator, token, 1 + scanned.len()).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = submit(&operator, token, queued.len()).await;
    assert_eq!(status, 202, "{body}");
    queued.extend([&kept, &body].map(|body| body["scanId"].as_str().unwrap().to_owned()));
    for id in scanned.iter().chain(&queued) {
        let answer = operator.request(Method::GET, &format!("/api/v1/scans/{id}")).bearer_auth(token);
        assert_eq!(answer.send().await.unwrap().status(), 200, "{id} was acknowledged");
    }
    assert!(!operator.admin().await.is_empty());
    operator.kill();
    assert_eq!(damage(&sqlite(&data)).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_operator_on_a_disk_that_takes_nothing_says_so_and_ends() {
    let Some(disk) = Disk::new() else { return };
    let data = disk.0.join("data");
    Operator::start(&data, &[]).kill();
    assert!(mount(&["-o", "remount,ro"], &disk.0));
    let (code, told) = refusal(&data, &[]);
    assert_ne!(code, Some(0));
    assert!(told.contains(data.to_str().unwrap()) && told.to_lowercase().contains("read"), "{told}");
    assert!(mount(&["-o", "remount,rw"], &disk.0));
    Operator::start(&data, &[]).kill();
    assert_eq!(damage(&sqlite(&data)).await, Vec::<String>::new());
}
