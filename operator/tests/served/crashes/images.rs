//! A registry of small images, which answers slowly and now and then not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Uri;
use axum::response::Response;
use serde_json::json;
use stella_domain::Digest;

use super::millis;
use crate::numbers::Numbers;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// What a tag begins with that no image has.
const ABSENT: &str = "absent";

/// A registry on a port of its own, by plain HTTP.
pub struct Images {
    /// Its host and port.
    pub host: String,
    task: tokio::task::JoinHandle<()>,
}

impl Images {
    pub async fn serve(seed: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (kept, numbers) = (Arc::<Mutex<Blobs>>::default(), Arc::new(Mutex::new(Numbers::of(seed))));
        let answer = move |uri: Uri| {
            let (kept, numbers) = (Arc::clone(&kept), Arc::clone(&numbers));
            async move {
                let (slow, broken) = {
                    let mut numbers = numbers.lock().unwrap();
                    (millis(&mut numbers, 5..80), numbers.below(40) == 0)
                };
                tokio::time::sleep(slow).await;
                if broken { status(503) } else { kept.lock().unwrap().answer(uri.path()) }
            }
        };
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, task }
    }

    /// The name of image `number`. Of seven one is not there.
    pub fn reference(&self, number: u64) -> String {
        let tag = if number % 7 == 6 { ABSENT } else { "tag" };
        format!("{}/team/app:{tag}-{number}", self.host)
    }

    /// Whether the registry has what `reference` names.
    pub fn has(reference: &str) -> bool {
        !reference.contains(ABSENT)
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everything that was asked for once, by digest.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    fn answer(&mut self, path: &str) -> Response {
        let name = path.rsplit('/').next().unwrap_or_default();
        match self.0.get(name) {
            Some(bytes) => body(bytes.clone()),
            None if path.contains("/manifests/tag-") => body(self.image(name)),
            None if path == "/v2/" => status(200),
            None => status(404),
        }
    }

    /// The manifest of an image with one package, whose version the tag tells.
    fn image(&mut self, tag: &str) -> Vec<u8> {
        let package =
            format!("Package: app\nStatus: install ok installed\nArchitecture: all\nVersion: 1.{}\n\n", &tag[4..]);
        let layer = tar("var/lib/dpkg/status", package.as_bytes());
        let config = json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}});
        let config = config.to_string().into_bytes();
        let described =
            |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": described(CONFIG, &config),
            "layers": [described(LAYER, &layer)]});
        let manifest = manifest.to_string().into_bytes();
        for bytes in [&layer, &config, &manifest] {
            self.0.insert(Digest::of(bytes).to_string(), bytes.clone());
        }
        manifest
    }
}

fn tar(path: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content).unwrap();
    builder.into_inner().unwrap()
}

fn body(bytes: Vec<u8>) -> Response {
    let is_manifest = bytes.starts_with(b"{") && String::from_utf8_lossy(&bytes).contains(MANIFEST);
    let kind = if is_manifest { MANIFEST } else { "application/octet-stream" };
    Response::builder().header("content-type", kind).body(Body::from(bytes)).unwrap()
}

fn status(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}
