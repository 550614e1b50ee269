//! What a containerd of the test's own is asked for: images that the server wants, and whose containers are. Needs root.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use stella_domain::Digest;
use support::{Agent, Container, Server, can_use_kernel, eventually, free_address, get, is_root, leave_out, metric};

const DPKG: &str = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.13.dfsg-1\n\n";
const OS: &str = "ID=debian\nVERSION_ID=12\n";

/// A containerd with folders of its own; ended when dropped.
struct Containerd {
    child: Child,
    socket: String,
}

impl Containerd {
    fn start(dir: &Path) -> Option<Self> {
        if !is_root() {
            leave_out("reading images", "root");
            return None;
        }
        let socket = dir.join("c.sock");
        let config = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n\
             disabled_plugins = [\"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = {socket:?}\n",
            root = dir.join("root"),
            state = dir.join("state"),
        );
        std::fs::write(dir.join("config.toml"), config).unwrap();
        let started = Command::new("containerd")
            .arg("--config")
            .arg(dir.join("config.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            leave_out("reading images", "containerd");
            return None;
        };
        let socket = socket.to_str().unwrap().to_owned();
        let containerd = Self { child, socket };
        eventually("containerd answers", Duration::from_secs(20), || {
            containerd.ctr(&["version"]).status.success().then_some(())
        });
        Some(containerd)
    }

    fn ctr(&self, arguments: &[&str]) -> std::process::Output {
        Command::new("ctr").args(["-a", &self.socket, "-n", "k8s.io"]).args(arguments).output().unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes an OCI archive of one layer with a package database; returns the digests of manifest and layer.
fn archive(dir: &Path, name: &str) -> (Digest, Digest) {
    let tree = dir.join("tree");
    for (path, text) in [("var/lib/dpkg/status", DPKG), ("etc/os-release", OS)] {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let tar = |from: &Path, to: &Path| {
        assert!(Command::new("tar").arg("-C").arg(from).arg("-cf").arg(to).arg(".").status().unwrap().success());
    };
    let blobs = dir.join("layout/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        std::fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        (digest, bytes.len())
    };
    tar(&tree, &dir.join("layer.tar"));
    let layer = put(std::fs::read(dir.join("layer.tar")).unwrap());
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.0.to_string()]}});
    let config = put(config.to_string().into_bytes());
    let blob = |kind: &str, (digest, size): (Digest, usize)| json!({"mediaType": kind, "digest": digest.to_string(), "size": size});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar", layer)]});
    let manifest = put(manifest.to_string().into_bytes());
    let mut entry = blob("application/vnd.oci.image.manifest.v1+json", manifest);
    entry["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(dir.join("layout/index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    tar(&dir.join("layout"), &dir.join("image.tar"));
    (manifest.0, layer.0)
}

#[test]
fn an_image_the_server_asks_for_becomes_an_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let Some(containerd) = Containerd::start(dir.path()) else { return };
    let name = "r.example/demo/zlib:1";
    let (manifest, layer) = archive(dir.path(), name);
    let image = dir.path().join("image.tar");
    let import = containerd.ctr(&["images", "import", "--no-unpack", image.to_str().unwrap()]);
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));

    let server = Server::start(Box::new(|_, _| (202, String::new())));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let work = |id: &str, fields: Value| {
        let mut work = json!({"type": "read", "workId": id});
        work.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        format!("id: {id}\nevent: read\ndata: {work}\n\n")
    };
    server.give_work(
        [
            work("by-name", json!({"imageRef": name, "traceparent": format!("00-{trace}-b7ad6b7169203331-01")})),
            work("by-digest", json!({"digest": manifest.to_string()})),
            work("unknown", json!({"imageRef": "r.example/none:1"})),
        ]
        .concat(),
    );
    let endpoint = format!("unix://{}", containerd.socket);
    let spool = dir.path().join("spool");
    let spool = spool.to_str().unwrap();
    let agent = Agent::start([
        "--observe",
        "proc",
        "--server",
        &server.address,
        "--spool-dir",
        spool,
        "--node",
        "n1",
        "--runtime-endpoint",
        &endpoint,
    ]);
    let inventories = eventually("three answers", Duration::from_secs(30), || {
        let answers: Vec<Value> = server.events().into_iter().filter(|e| e.get("workId").is_some()).collect();
        (answers.len() == 3).then_some(answers)
    });
    let of = |id: &str| inventories.iter().find(|i| i["workId"] == id).unwrap();
    let traced = |id: &str| of(id)["traceparent"].as_str().unwrap().to_owned();
    assert!(traced("by-name").starts_with(&format!("00-{trace}-")), "the answer goes on with the trace of the scan");
    assert!(traced("by-digest").len() == 55 && !traced("by-digest").contains(trace), "or begins one");
    for id in ["by-name", "by-digest"] {
        let inventory = of(id);
        assert_eq!(inventory["node"], "n1");
        assert_eq!(inventory["imageDigest"], manifest.to_string());
        assert_eq!(inventory["outcome"]["way"], "layers", "{inventory}");
        assert_eq!(inventory["outcome"]["diffIds"], json!([layer.to_string()]));
        assert_eq!(inventory["outcome"]["layers"][0]["packages"][0]["name"], "zlib1g");
    }
    assert_eq!(of("unknown")["outcome"]["way"], "failed");
    assert!(of("unknown")["outcome"]["reason"].as_str().unwrap().contains("no such image"));

    // What holds the reader is what the status says that it is.
    let status = eventually("a status", Duration::from_secs(10), || server.statuses().into_iter().next());
    let reader = status["imageReader"].clone();
    let held = agent.log().contains("held by a control group");
    assert_eq!(reader["controlGroup"], held, "{reader} {}", agent.log());
    if held {
        assert_eq!((&reader["cpuPercent"], &reader["memoryBytes"]), (&json!(100), &json!(1 << 30)));
    } else {
        assert!(reader["reason"].is_string(), "{reader}");
        assert!(agent.log().contains("images are read without a control group"), "{}", agent.log());
    }
}

#[test]
fn an_image_whose_packed_layers_are_gone_and_that_nothing_runs_is_read_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let Some(containerd) = Containerd::start(dir.path()) else { return };
    let name = "r.example/demo/zlib:1";
    let (manifest, layer) = archive(dir.path(), name);
    let image = dir.path().join("image.tar");
    for command in [&["images", "import", image.to_str().unwrap()][..], &["content", "rm", &layer.to_string()][..]] {
        let done = containerd.ctr(command);
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let server = Server::start(Box::new(|_, _| (202, String::new())));
    let work = json!({"type": "read", "workId": "unpacked", "imageRef": name});
    server.give_work(format!("id: 1\nevent: read\ndata: {work}\n\n"));
    let spool = dir.path().join("spool");
    let endpoint = format!("unix://{}", containerd.socket);
    let flags = ["--observe", "proc", "--node", "n1", "--server", &server.address, "--runtime-endpoint", &endpoint];
    let _agent = Agent::start(flags.into_iter().chain(["--spool-dir", spool.to_str().unwrap()]));
    let read = eventually("an answer", Duration::from_secs(30), || {
        server.events().into_iter().find(|event| event["workId"] == "unpacked")
    });
    assert_eq!(read["imageDigest"], manifest.to_string());
    assert_eq!(read["outcome"]["way"], "rootfs", "{read}");
    assert_eq!(read["outcome"]["containerId"], "");
    let inventory = &read["outcome"]["inventory"];
    assert_eq!(inventory["components"][0]["package"]["name"], "zlib1g", "{inventory}");
}

#[test]
fn a_container_that_the_runtime_does_not_know_is_reported_and_counted_as_nobodys() {
    if !can_use_kernel("a_container_that_the_runtime_does_not_know_is_reported_and_counted_as_nobodys") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(containerd) = Containerd::start(dir.path()) else { return };
    let (endpoint, address) = (format!("unix://{}", containerd.socket), free_address());
    // Like a container of its, and never made by it.
    let container = Container::new(530);
    let mut running = container.start(&["sleep", "60"]);
    let flags =
        ["--observe", "proc", "--output", "json", "--runtime-endpoint", &endpoint, "--metrics-listen", &address];
    let agent = Agent::start(flags);
    let unknown = || metric(&get(&address, "/metrics"), "zastava_unattributed_total{reason=\"owner-unknown\"}");
    let start = agent.wait_for(&container.id, "ContainerStart");
    assert_eq!((&start["workload"]["pod"], &start["workload"]["imageRef"]), (&json!(""), &json!("")), "{start}");
    assert_eq!(start["annotations"]["stella.imageDigest"], Value::Null, "{start}");
    eventually("it is counted", Duration::from_secs(10), || (unknown() >= 1).then_some(()));
    running.kill().unwrap();
    running.wait().unwrap();
    agent.wait_for(&container.id, "ContainerStop");
}
