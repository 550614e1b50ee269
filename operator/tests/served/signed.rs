//! Signatures that a policy demands, looked for in a registry and told to whoever asks for the verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::Uri;
use axum::response::Response;
use reqwest::Method;
use serde_json::{Value, json};
use stella_attest::statement::{BUNDLE_TYPE, PAYLOAD_TYPE, STATEMENT_TYPE, bundle};
use stella_attest::{Envelope, SigningKey};
use stella_domain::Digest;
use stella_inventory::image::Platform;

use crate::images::{Blobs, body, status};
use crate::running::{Operator, json_of};

const FEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// What a registry has, beside its image.
#[derive(Default)]
struct Held {
    blobs: Blobs,
    /// Documents by digest or tag.
    attached: BTreeMap<String, Vec<u8>>,
    /// Manifests that refer to the image.
    referrers: Vec<Value>,
    /// Whether it says nothing of referrers.
    away: bool,
}

impl Held {
    fn answer(&mut self, path: &str) -> Response {
        let name = path.rsplit('/').next().unwrap_or_default();
        if path.contains("/referrers/") {
            let list = json!({"schemaVersion": 2, "manifests": self.referrers});
            return if self.away { status(500) } else { body(list.to_string().into_bytes()) };
        }
        match self.attached.get(name) {
            Some(bytes) => body(bytes.clone()),
            None => self.blobs.answer(path),
        }
    }
}

/// A registry with the image `team/app:tag-1`, and what is attached to it.
struct Registry {
    host: String,
    held: Arc<Mutex<Held>>,
    task: tokio::task::JoinHandle<()>,
}

impl Registry {
    async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let held: Arc<Mutex<Held>> = Arc::default();
        let shared = Arc::clone(&held);
        let answer = move |uri: Uri| {
            let answer = shared.lock().unwrap().answer(uri.path());
            async move { answer }
        };
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, held, task }
    }

    fn image() -> Digest {
        Digest::of(Blobs::default().image("tag-1"))
    }

    /// Takes in an index of the image and of one for another processor, under a tag; gives its digest.
    fn index(&self, tag: &str) -> Digest {
        let own = json!({"os": "linux", "architecture": Platform::host().architecture});
        let entry = |digest: Digest, platform: Value| json!({"mediaType": MANIFEST, "digest": digest, "size": 0, "platform": platform});
        let other = entry(Digest::of("another"), json!({"os": "linux", "architecture": "s390x"}));
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                           "manifests": [entry(Self::image(), own), other]});
        let (index, mut held) = (index.to_string().into_bytes(), self.held.lock().unwrap());
        held.blobs.image("tag-1");
        let digest = Digest::of(&index);
        held.attached.insert(digest.to_string(), index.clone());
        held.attached.insert(tag.to_owned(), index);
        digest
    }

    /// Attaches a statement of this type on `subject` to the image.
    fn attach(&self, kind: &str, subject: &Digest, key: &SigningKey) {
        let statement = json!({"_type": STATEMENT_TYPE, "subject": [{"digest": {"sha256": subject.hex()}}],
                               "predicateType": kind, "predicate": {}});
        let envelope = Envelope::sign(PAYLOAD_TYPE, statement.to_string().as_bytes(), key);
        let blob = bundle(&envelope, "k").to_string().into_bytes();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE_TYPE,
            "layers": [{"mediaType": BUNDLE_TYPE, "digest": Digest::of(&blob), "size": blob.len()}],
            "subject": {"mediaType": MANIFEST, "digest": Self::image(), "size": 1}});
        let manifest = manifest.to_string().into_bytes();
        let mut held = self.held.lock().unwrap();
        held.referrers.push(json!({"mediaType": MANIFEST, "digest": Digest::of(&manifest), "size": manifest.len()}));
        for bytes in [blob, manifest] {
            held.attached.insert(Digest::of(&bytes).to_string(), bytes);
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Puts a policy into the folder that demands a signature by `key`.
fn demand(manifests: &Path, key: &SigningKey) {
    let signers = json!([{"name": "release", "key": key.verifying().to_pem().unwrap()}]);
    let admission = json!({"mode": "enforce", "unscanned": "deny", "gracePeriodSeconds": 0,
                           "requireSignature": true, "signers": signers});
    let policy = json!({"apiVersion": "stella-ops.org/v1alpha1", "kind": "Policy",
        "metadata": {"name": "signed", "namespace": "stella-system"}, "spec": {"rules": [], "admission": admission}});
    std::fs::write(manifests.join("policy.yaml"), policy.to_string()).unwrap();
}

/// Scans the image, and waits until that has ended.
async fn scan(operator: &Operator, registry: &Registry, force: bool) {
    scan_by(operator, registry, "tag-1", force).await;
}

/// The same by another tag.
async fn scan_by(operator: &Operator, registry: &Registry, tag: &str, force: bool) {
    let asked = json!({"image": {"reference": format!("{}/team/app:{tag}", registry.host)}, "force": force});
    let scan = json_of(operator.request(Method::POST, "/api/v1/scans").json(&asked)).await;
    let location = scan["location"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    while json_of(operator.request(Method::GET, &location)).await["status"] != "Succeeded" {
        assert!(begun.elapsed() < Duration::from_secs(30), "the scan does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the verdict is this one and its first reason begins so; gives the whole answer.
async fn until(operator: &Operator, verdict: &str, reason: &str) -> Value {
    until_of(operator, &Registry::image().to_string(), verdict, reason).await
}

/// The same of what somebody names so.
async fn until_of(operator: &Operator, image: &str, verdict: &str, reason: &str) -> Value {
    let begun = Instant::now();
    loop {
        let asked = json!({"namespace": "shop", "labels": {}, "images": [image]});
        let answer = json_of(operator.request(Method::POST, "/api/v1/scanner/policy/runtime").json(&asked)).await;
        let result = answer["results"][image].clone();
        let first = result["reasons"][0].as_str().unwrap_or_default();
        if result["policyVerdict"] == verdict && first.starts_with(reason) {
            return result;
        }
        let log = operator.log();
        assert!(begun.elapsed() < Duration::from_secs(60), "{image}: wanted {verdict}, {reason}; got {result}\n{log}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many looks have failed so far.
fn failed_looks(operator: &Operator) -> usize {
    operator.log().matches("signatures of an image cannot be looked at everywhere").count()
}

/// Waits until more looks have failed than so many.
async fn until_a_look_fails_after(operator: &Operator, before: usize) {
    let begun = Instant::now();
    while failed_looks(operator) <= before {
        assert!(begun.elapsed() < Duration::from_secs(60), "no look has failed\n{}", operator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_refused_until_it_is_signed_and_what_was_found_outlives_its_registry() {
    let (data, manifests, registry) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Registry::serve().await);
    let (ours, other) = (SigningKey::from_seed("k", &[1; 32]), SigningKey::from_seed("k", &[2; 32]));
    demand(manifests.path(), &ours);
    let folder = manifests.path().to_str().unwrap().to_owned();
    let flags = ["--allow-anonymous", "--feeds", FEEDS, "--insecure-registry", &registry.host, "--manifests", &folder];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    operator.until_ready().await;
    scan(&operator, &registry, false).await;
    until(&operator, "fail", "signature.missing: none by release: nothing is attached to it").await;

    // Of the wrong type, of another image, and by another key.
    registry.attach("https://slsa.dev/provenance/v1", &Registry::image(), &ours);
    registry.attach(SIGNATURE, &Digest::of("another"), &ours);
    registry.attach(SIGNATURE, &Registry::image(), &other);
    scan(&operator, &registry, true).await;
    let begun = Instant::now();
    loop {
        let result = until(&operator, "fail", "signature.missing: none by release: ").await;
        let reason = result["reasons"][0].as_str().unwrap().to_owned();
        let all = ["neither a signature nor an SBOM", "it is of another image", "it is not by the key"];
        if all.iter().all(|part| reason.contains(part)) {
            assert_eq!(result["signed"], false);
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{reason}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    registry.attach(SIGNATURE, &Registry::image(), &ours);
    scan(&operator, &registry, true).await;
    assert_eq!(until(&operator, "pass", "").await["signed"], true);

    // The registry says nothing any more: who was looked for is known, and who was not is refused.
    registry.held.lock().unwrap().away = true;
    let failed = failed_looks(&operator);
    scan(&operator, &registry, true).await;
    until_a_look_fails_after(&operator, failed).await;
    assert_eq!(until(&operator, "pass", "").await["signed"], true);
    let failed = failed_looks(&operator);
    demand(manifests.path(), &SigningKey::from_seed("k", &[3; 32]));
    until(&operator, "fail", "signature.unverified: ").await;
    // No two looks at an image go on at once: that one has failed means that what the one before it found is kept.
    until_a_look_fails_after(&operator, failed).await;
    demand(manifests.path(), &ours);
    assert_eq!(until(&operator, "pass", "").await["signed"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_nobody_signed_is_not_let_in_for_a_signed_manifest_that_it_lists() {
    let (data, manifests, registry) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Registry::serve().await);
    let ours = SigningKey::from_seed("k", &[1; 32]);
    demand(manifests.path(), &ours);
    let folder = manifests.path().to_str().unwrap().to_owned();
    let flags = ["--allow-anonymous", "--feeds", FEEDS, "--insecure-registry", &registry.host, "--manifests", &folder];
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &flags));
    operator.until_ready().await;
    let index = registry.index("several");
    registry.attach(SIGNATURE, &Registry::image(), &ours);
    scan_by(&operator, &registry, "several", false).await;
    let [several, alone] = ["several", "tag-1"].map(|tag| format!("{}/team/app:{tag}", registry.host));
    assert_eq!(until(&operator, "pass", "").await["signed"], true);
    for name in [&index.to_string(), &several] {
        until_of(&operator, name, "fail", "image.metadata.missing").await;
    }
    // A further tag of what is signed is looked at with its scan.
    scan(&operator, &registry, false).await;
    assert_eq!(until_of(&operator, &alone, "pass", "").await["signed"], true);
    for name in [&index.to_string(), &several] {
        until_of(&operator, name, "fail", "image.metadata.missing").await;
    }

    // Who signs the index stands for all of it.
    registry.attach(SIGNATURE, &index, &ours);
    scan_by(&operator, &registry, "several", true).await;
    for name in [&index.to_string(), &several] {
        assert_eq!(until_of(&operator, name, "pass", "").await["signed"], true);
    }
}
