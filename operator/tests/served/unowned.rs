//! Libraries of an image that no package owns, told as drift when a container loads them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::Uri;
use reqwest::Method;
use serde_json::{Value, json};
use stella_domain::Digest;
use stella_service::clock::Clock;

use crate::images::{Blobs, body, tar};
use crate::running::{Operator, json_of};

const FEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");
const OWNED: &str = "/usr/lib/libowned.so.1";
const OWN: &str = "/opt/libown.so.2";
const LATER: &str = "/opt/liblater.so";
/// Nobody tells that it is the image's.
const FOREIGN: &str = "/data/libforeign.so";

/// A registry with one image, whose only package owns one of its three libraries.
struct Registry {
    reference: String,
    image: Digest,
    task: tokio::task::JoinHandle<()>,
}

impl Registry {
    async fn serve() -> Self {
        let mut blobs = Blobs::default();
        let manifest = blobs.image_of(&tar(&[
            ("var/lib/dpkg/status", "Package: app\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\n"),
            ("var/lib/dpkg/info/app.list", "/.\n/usr\n/usr/lib\n/usr/lib/libowned.so.1\n"),
            ("usr/lib/libowned.so.1", "x"),
            ("opt/libown.so.2", "x"),
            ("opt/liblater.so", "x"),
        ]));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reference = format!("{}/team/app:1", listener.local_addr().unwrap());
        let (image, blobs) = (Digest::of(&manifest), Arc::new(Mutex::new(blobs)));
        let answer = move |uri: Uri| {
            let is_tag = uri.path().ends_with("/manifests/1");
            let answer = if is_tag { body(manifest.clone()) } else { blobs.lock().unwrap().answer(uri.path()) };
            async move { answer }
        };
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { reference, image, task }
    }

    fn host(&self) -> &str {
        self.reference.split('/').next().unwrap()
    }

    /// What an agent tells when a container has loaded these, as files of the image but for one.
    fn loaded(&self, id: &str, container: &str, paths: &[&str]) -> Value {
        let library = |path: &&str| json!({"path": path, "inode": 1, "fromImage": *path != FOREIGN});
        json!({"schemaVersion": "zastava.runtime.event@v1", "event": {
            "eventId": id, "when": Clock::system().now(), "kind": "LibrariesLoaded", "tenant": "default", "node": "node-1",
            "runtime": {"engine": "containerd", "version": "2.0.0"},
            "workload": {"platform": "kubernetes", "namespace": "shop", "pod": container, "container": "web",
                "containerId": format!("containerd://{container}"), "imageRef": self.reference},
            "annotations": {"stella.imageDigest": self.image},
            "loadedLibs": paths.iter().map(library).collect::<Vec<_>>()}})
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Scans the image, and waits until that has ended.
async fn scan(operator: &Operator, reference: &str) {
    let asked = json!({"image": {"reference": reference}});
    let scan = json_of(operator.request(Method::POST, "/api/v1/scans").json(&asked)).await;
    let location = scan["location"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    while json_of(operator.request(Method::GET, &location)).await["status"] != "Succeeded" {
        assert!(begun.elapsed() < Duration::from_secs(30), "the scan does not end\n{}", operator.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn tell(operator: &Operator, events: &[Value]) {
    let batch = json!({"batchId": "b", "events": events});
    let receipt = json_of(operator.request(Method::POST, "/api/v1/runtime/events").json(&batch)).await;
    assert_eq!(receipt["accepted"], events.len(), "{receipt}");
}

/// Waits until there is so much drift; gives it, newest first.
async fn drift(operator: &Operator, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let answer = json_of(operator.request(Method::GET, "/api/v1/runtime/events?kind=Drift")).await;
        let items = answer["items"].as_array().unwrap();
        if items.len() >= count {
            return items.clone();
        }
        let log = operator.log();
        assert!(begun.elapsed() < Duration::from_secs(60), "wanted {count} events, got {answer}\n{log}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn told<'a>(event: &'a Value, signal: &str) -> &'a str {
    let evidence = event["evidence"].as_array().unwrap();
    evidence.iter().find(|e| e["signal"] == signal).and_then(|e| e["value"].as_str()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_of_the_image_that_no_package_owns_is_drift_told_once() {
    let (data, registry) = (tempfile::tempdir().unwrap(), Registry::serve().await);
    let flags = ["--allow-anonymous", "--feeds", FEEDS, "--insecure-registry", registry.host()];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    operator.until_ready().await;
    scan(&operator, &registry.reference).await;

    tell(&operator, &[registry.loaded("e1", "web-1", &[OWNED, OWN, FOREIGN])]).await;
    let first = drift(&operator, 1).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!((told(&first[0], "drift"), told(&first[0], "drift.path")), ("unowned", OWN));
    assert_eq!(first[0]["delta"]["unknownLibs"], json!([OWN]));
    assert_eq!(first[0]["delta"]["baselineImageDigest"], registry.image.to_string());
    assert_eq!((&first[0]["workload"]["namespace"], &first[0]["workload"]["pod"]), (&json!("shop"), &json!("web-1")));

    // Once more by the same container, and by another one of the namespace, which loads a further one.
    let again = registry.loaded("e2", "web-1", &[OWNED, OWN]);
    tell(&operator, &[again, registry.loaded("e3", "web-2", &[OWNED, OWN, LATER])]).await;
    let all = drift(&operator, 2).await;
    let mut paths: Vec<&str> = all.iter().map(|event| told(event, "drift.path")).collect();
    paths.sort_unstable();
    assert_eq!(paths, [LATER, OWN], "each once, and none that a package owns");
    assert!(all.iter().any(|event| event["eventId"] == first[0]["eventId"]), "{all:?}");
}
