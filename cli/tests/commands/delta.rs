//! Layer by layer, against an operator that really runs.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stella_domain::Digest;

use crate::support::{Ran, Work, command, stella};

/// The operator on a port of its own, killed when it goes out of scope.
pub struct Operator {
    child: Child,
    pub address: String,
}

impl Operator {
    pub fn start(work: &Work) -> Self {
        Self::start_with(work, &[])
    }

    /// Starts it with further flags.
    pub fn start_with(work: &Work, flags: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        std::fs::create_dir_all(work.path("manifests")).unwrap();
        let (manifests, data, feeds) = (work.text("manifests"), work.text("data"), work.text("feeds"));
        let args = [
            "serve",
            "--manifests",
            &manifests,
            "--data",
            &data,
            "--feeds",
            &feeds,
            "--listen",
            &listen,
            "--allow-anonymous",
        ];
        let args = [&args[..], flags].concat();
        let mut operator = command(program("stella-operator").to_str().unwrap(), &args);
        let child = operator.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Self { child, address: format!("http://{listen}") };
        let end = Instant::now() + Duration::from_secs(60);
        while !ready(&listen) {
            assert!(Instant::now() < end, "the operator does not get ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }

    /// One request; the status, and the body where it is JSON.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        let (head, body) = self.raw(method, path, headers, body);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// One request; the answer's head and its body.
    pub fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (String, String) {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(self.address.trim_start_matches("http://")).unwrap();
        let mut head = format!("{method} {path} HTTP/1.0\r\nhost: stella\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn scan(&self, target: &str, flags: &[&str]) -> Ran {
        let mut args = vec!["--server", &self.address, "--format", "json", "-v"];
        args.extend(flags);
        args.push(target);
        stella(&args)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of another crate; it lies beside ours.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_stella")).with_file_name(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace --bins", path.display());
    path
}

fn ready(address: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: stella\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// A layer as a tar file.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        add(&mut builder, path, content.as_bytes());
    }
    builder.into_inner().unwrap()
}

fn add(builder: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, path, content).unwrap();
}

/// The layers as `docker save` writes an image of them.
fn archive(name: &str, layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let places: Vec<String> = (0..layers.len()).map(|at| format!("{at}/layer.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": places}]);
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, "config.json", config.to_string().as_bytes());
    for (place, layer) in places.iter().zip(layers) {
        add(&mut builder, place, layer);
    }
    add(&mut builder, "manifest.json", manifest.to_string().as_bytes());
    builder.into_inner().unwrap()
}

const DJANGO: (&str, &str) = ("site/django-2.2.0.dist-info/METADATA", "Name: django\nVersion: 2.2.0\n");
const CRYPTOGRAPHY: (&str, &str) =
    ("site/cryptography-38.0.0.dist-info/METADATA", "Name: cryptography\nVersion: 38.0.0\n");
const NO_DJANGO: (&str, &str) = ("site/.wh.django-2.2.0.dist-info", "");

/// Findings as far as the place of the scan does not matter to them.
fn told(ran: &Ran) -> Value {
    let findings = ran.json()["findings"].as_array().unwrap().clone();
    findings.iter().map(|f| json!([f["advisoryId"], f["package"]["purl"], f["location"], f["findingId"]])).collect()
}

#[test]
fn a_second_image_on_the_same_base_sends_only_what_is_new() {
    let work = Work::new();
    let (base, next, bare) = (layer(&[DJANGO]), layer(&[CRYPTOGRAPHY]), layer(&[NO_DJANGO]));
    let first = work.write("first.tar", archive("shop/web:1", &[&base, &next]));
    let second = work.write("second.tar", archive("shop/web:2", &[&base, &bare, &next]));
    let operator = Operator::start(&work);
    for (target, sent) in [(&first, "missing=2"), (&second, "missing=1"), (&first, "missing=0")] {
        let here = work.scan(target, &["--format", "json"]);
        let there = operator.scan(target, &["--delta"]);
        assert_eq!(there.code, here.code, "{there:?}");
        assert_eq!(told(&there), told(&here), "{target}");
        assert!(there.err.contains(sent), "{sent}: {}", there.err);
        assert_eq!(there.json()["digest"], here.json()["digest"]);
    }
    assert_eq!(told(&operator.scan(&second, &["--delta"])).as_array().unwrap().len(), 1, "django was removed");
}

#[test]
fn what_a_client_says_of_a_layer_holds_for_no_one_who_sends_the_image() {
    let work = Work::new();
    let (base, next) = (layer(&[DJANGO]), layer(&[CRYPTOGRAPHY]));
    let image = work.write("image.tar", archive("shop/web:1", &[&base, &next]));
    let layers = [Digest::of(&base).to_string(), Digest::of(&next).to_string()];
    let property = |name: &str, value: String| json!({"name": name, "value": value});
    let claim = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"properties": [
            property("stella:layers", layers.join(",")),
            property(&format!("stella:layer:{}:whiteouts", layers[0]), String::new()),
        ]},
        "components": [],
    });
    let claim = work.write("claim.json", claim.to_string());
    let operator = Operator::start(&work);
    let refused = operator.scan(&claim, &[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains(&layers[1]) && refused.err.contains("not known"), "{refused:?}");
    let whole = operator.scan(&image, &[]);
    assert_eq!(told(&whole), told(&work.scan(&image, &["--format", "json"])), "{whole:?}");
}
