//! Small images, and servers that do as a test tells them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use stella_domain::Digest;
use stella_registry::credentials::{DockerConfig, Keyring};
use stella_registry::{Client, Image, Limits, PullError, Reference, Registries};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// One image for linux/amd64 below an index, with two layers, of which the second is large enough to be cut.
pub struct Sample {
    pub index: Vec<u8>,
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
    pub diff_ids: Vec<Digest>,
}

impl Sample {
    pub fn new() -> Self {
        // Bytes that do not compress, and are the same each time.
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let large: Vec<u8> = noise.take(300_000).collect();
        let status = "Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n";
        Self::of(&[tar("var/lib/dpkg/status", status.as_bytes()), tar("opt/noise", &large)])
    }

    pub fn of(tars: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<Digest> = tars.iter().map(Digest::of).collect();
        let layers: Vec<Vec<u8>> = tars.iter().map(|tar| gzip(tar)).collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let described = |bytes: &Vec<u8>, kind: &str| serde_json::json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()});
        let packed: Vec<_> =
            layers.iter().map(|layer| described(layer, "application/vnd.oci.image.layer.v1.tar+gzip")).collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": packed,
            "config": described(&config, "application/vnd.oci.image.config.v1+json"),
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = described(&manifest, MANIFEST);
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": "amd64"});
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        Self { index: index.to_string().into_bytes(), manifest, config, layers, diff_ids }
    }

    /// Everything by its path below `/v2/team/app/`.
    pub fn paths(&self) -> BTreeMap<String, Vec<u8>> {
        let blobs = self.layers.iter().chain([&self.config]);
        let blobs = blobs.map(|bytes| (format!("blobs/{}", Digest::of(bytes)), bytes.clone()));
        let manifests = [&self.index, &self.manifest];
        let manifests = manifests.map(|bytes| (format!("manifests/{}", Digest::of(bytes)), bytes.clone()));
        blobs.chain(manifests).chain([("manifests/1".to_owned(), self.index.clone())]).collect()
    }

    /// Path of the large layer.
    pub fn large(&self) -> String {
        format!("blobs/{}", Digest::of(&self.layers[1]))
    }
}

pub fn tar(path: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content).unwrap();
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A request as a server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub authorization: Option<String>,
    /// The first byte of the range asked for.
    pub from: Option<usize>,
    pub body: String,
}

/// A server on a port of its own, by plain HTTP.
pub struct Server {
    pub host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// One that answers with `answer`, which gets the request and how many there were for the same path before.
    pub async fn new(answer: impl Fn(&Asked, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        let handle = move |request: Request| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let asked = Asked::of(request).await;
                let before = {
                    let mut log = log.lock().unwrap();
                    log.push(asked.clone());
                    log.iter().filter(|other| other.path == asked.path).count() - 1
                };
                answer(&asked, before)
            }
        };
        let router = Router::new().fallback(handle);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, asked, task }
    }

    /// One that has the sample and asks `special` first.
    pub async fn with(
        sample: &Sample,
        special: impl Fn(&Asked, usize) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let paths = sample.paths();
        Self::new(move |asked, before| special(asked, before).unwrap_or_else(|| whole(&paths, asked))).await
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Requests whose path ends so.
    pub fn asked_for(&self, end: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.ends_with(end)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    async fn of(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let from = header("range").map(|range| range["bytes=".len()..].trim_end_matches('-').parse().unwrap());
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Self {
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            authorization: header("authorization"),
            from,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

fn whole(paths: &BTreeMap<String, Vec<u8>>, asked: &Asked) -> Response {
    let found = paths.iter().find(|(path, _)| asked.path.ends_with(&format!("/v2/team/app/{path}")));
    let Some((_, bytes)) = found else { return status(404) };
    match asked.from {
        Some(from) => ranged(bytes, from),
        None => body(bytes.clone()),
    }
}

pub fn body(bytes: impl Into<Bytes>) -> Response {
    Response::new(Body::from(bytes.into()))
}

pub fn ranged(bytes: &[u8], from: usize) -> Response {
    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    let builder = Response::builder().status(206).header("content-range", range);
    builder.body(Body::from(bytes[from..].to_vec())).unwrap()
}

pub fn status(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

pub fn with_header(status: u16, name: &str, value: &str) -> Response {
    Response::builder().status(status).header(name, value).body(Body::empty()).unwrap()
}

/// The first `length` bytes of an answer that promises all of them; then the connection breaks.
pub fn cut(bytes: &[u8], from: usize, length: usize) -> Response {
    let end = bytes.len().min(from + length);
    let piece = Bytes::copy_from_slice(&bytes[from..end]);
    let chunks = futures::stream::unfold(Some(piece), |piece| async move {
        match piece {
            Some(piece) if !piece.is_empty() => Some((Ok(piece), Some(Bytes::new()))),
            Some(_) => {
                // What was written has to get out before the connection breaks.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some((Err(std::io::Error::other("cut")), None))
            }
            None => None,
        }
    });
    let mut builder = Response::builder().header("content-length", bytes.len() - from);
    if from > 0 {
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        builder = builder.status(206).header("content-range", range);
    }
    builder.body(Body::from_stream(chunks)).unwrap()
}

/// Bytes without end; `sent` counts them.
pub fn endless(sent: &Arc<std::sync::atomic::AtomicUsize>) -> Response {
    let sent = Arc::clone(sent);
    let chunks = futures::stream::repeat_with(move || {
        sent.fetch_add(64 << 10, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 64 << 10]))
    });
    Response::new(Body::from_stream(chunks))
}

/// Limits that let a test end soon.
pub fn fast() -> Limits {
    Limits {
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_secs(2),
        idle: Duration::from_millis(400),
        connect: Duration::from_secs(2),
        answer: Duration::from_secs(5),
        document: Duration::from_secs(5),
        ..Limits::default()
    }
}

pub fn client(registries: Registries, servers: &[&Server], limits: Limits) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hosts: Vec<String> = servers.iter().map(|server| server.host.clone()).collect();
    Client::new(&registries.with_insecure(&hosts), limits).unwrap()
}

/// Finds `team/app:1` of a server and fetches all its layers.
pub async fn pull(client: &Client, host: &str, keyring: &Keyring) -> Result<(Image, tempfile::TempDir), PullError> {
    let reference: Reference = format!("{host}/team/app:1").parse().unwrap();
    let image = client.find(&reference, &"linux/amd64".parse().unwrap(), keyring).await?;
    let folder = tempfile::tempdir().unwrap();
    image.fetch_layers(folder.path(), |_| true).await?;
    Ok((image, folder))
}

pub async fn pull_plain(server: &Server) -> Result<(Image, tempfile::TempDir), PullError> {
    let client = client(Registries::default(), &[server], fast());
    pull(&client, &server.host, &Keyring::anonymous()).await
}

/// A login `user` with the password `geheim` for each key.
pub fn keyring(keys: &[(&str, &str)]) -> Keyring {
    let entries: serde_json::Map<_, _> = keys
        .iter()
        .map(|(key, user)| ((*key).to_owned(), serde_json::json!({"username": user, "password": "geheim"})))
        .collect();
    let document = serde_json::json!({ "auths": entries }).to_string();
    Keyring::anonymous().with(&DockerConfig::parse(document.as_bytes()).unwrap())
}

/// That the folder has the layers as they should be, and nothing else.
pub fn check(sample: &Sample, folder: &tempfile::TempDir) {
    for layer in &sample.layers {
        assert_eq!(&std::fs::read(folder.path().join(Digest::of(layer).hex())).unwrap(), layer);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), sample.layers.len());
}
