//! Small images, as registries hand them out.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use serde_json::json;
use stella_domain::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Everything that was asked for once, by digest.
#[derive(Default)]
pub struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// What lies at `path`. A manifest's tag is `tag-` and the number of its image.
    pub fn answer(&mut self, path: &str) -> Response {
        let name = path.rsplit('/').next().unwrap_or_default();
        match self.0.get(name) {
            Some(bytes) => body(bytes.clone()),
            None if path.contains("/manifests/tag-") => body(self.image(name)),
            None if path == "/v2/" => status(200),
            None => status(404),
        }
    }

    /// The manifest of an image with one package, whose version the tag tells.
    pub fn image(&mut self, tag: &str) -> Vec<u8> {
        let package =
            format!("Package: app\nStatus: install ok installed\nArchitecture: all\nVersion: 1.{}\n\n", &tag[4..]);
        self.image_of(&tar(&[("var/lib/dpkg/status", package.as_str())]))
    }

    /// The manifest of an image with this layer.
    pub fn image_of(&mut self, layer: &[u8]) -> Vec<u8> {
        let config = json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(layer)]}});
        let config = config.to_string().into_bytes();
        let described =
            |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": described(CONFIG, &config),
            "layers": [described(LAYER, layer)]});
        let manifest = manifest.to_string().into_bytes();
        for bytes in [layer, config.as_slice(), manifest.as_slice()] {
            self.0.insert(Digest::of(bytes).to_string(), bytes.to_vec());
        }
        manifest
    }
}

/// An archive of these files, each with its content.
pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn body(bytes: Vec<u8>) -> Response {
    let is_manifest = bytes.starts_with(b"{") && String::from_utf8_lossy(&bytes).contains(MANIFEST);
    let kind = if is_manifest { MANIFEST } else { "application/octet-stream" };
    let digest = Digest::of(&bytes).to_string();
    let builder = Response::builder().header("content-type", kind).header("docker-content-digest", digest);
    builder.body(Body::from(bytes)).unwrap()
}

pub fn status(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}
