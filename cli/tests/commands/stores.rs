//! Images in the stores of the machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use stella_domain::Digest;

use crate::support::{Ran, Work, command};

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn layer() -> Vec<u8> {
    tar(&[("site/django-2.2.0.dist-info/METADATA", b"Name: django\nVersion: 2.2.0\n")])
}

fn archive() -> Vec<u8> {
    let layer = layer();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
    })
    .to_string();
    let name = format!("{}.json", Digest::of(&config).hex());
    let manifest = json!([{"Config": name, "RepoTags": ["demo:1"], "Layers": ["layer.tar"]}]).to_string();
    tar(&[("layer.tar", &layer), (&name, config.as_bytes()), ("manifest.json", manifest.as_bytes())])
}

fn local(work: &Work, target: &str, environment: &[(&str, &str)]) -> Ran {
    let args = ["--local", "--feeds", &work.text("feeds"), "--format", "json", target];
    let mut command = command(env!("CARGO_BIN_EXE_stella"), &args);
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn finds_django(ran: &Ran) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let found = &ran.json()["findings"][0];
    assert_eq!((&found["package"]["name"], &found["severity"]), (&json!("django"), &json!("Critical")));
}

/// Answers every request with these bytes, until the test ends.
fn docker(socket: &Path, head: &'static str, body: Vec<u8>) -> std::sync::mpsc::Receiver<String> {
    let listener = UnixListener::bind(socket).unwrap();
    let (to, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            if to.send(first).is_err() {
                return;
            }
        }
    });
    asked
}

#[test]
fn docker_is_asked_over_its_socket() {
    let work = Work::new();
    let socket = work.path("docker.sock");
    let asked = docker(&socket, "200 OK", archive());
    let host = format!("unix://{}", socket.display());
    finds_django(&local(&work, "docker://team/demo:1", &[("DOCKER_HOST", &host)]));
    assert_eq!(asked.recv().unwrap(), "GET /images/team/demo:1/get HTTP/1.1");

    let few = local(&work, "docker://demo:1", &[("DOCKER_HOST", &host), ("STELLA_LIMITS", "total-bytes=2KiB")]);
    few.failed_with(&["cannot get 'demo:1' from Docker", "more than 2048 bytes"]);
}

#[test]
fn what_docker_says_instead_is_told() {
    let work = Work::new();
    let socket = work.path("docker.sock");
    let _asked = docker(&socket, "404 Not Found", br#"{"message":"reference does not exist"}"#.to_vec());
    let host = format!("unix://{}", socket.display());
    local(&work, "docker://demo:2", &[("DOCKER_HOST", &host)]).failed_with(&["404: reference does not exist"]);
    local(&work, "docker://demo:2", &[("DOCKER_HOST", "unix:///none/docker.sock")]).failed_with(&["/none/docker.sock"]);
    local(&work, "docker://demo:2", &[("DOCKER_HOST", "ssh://host")]).failed_with(&["'ssh://host' is no address"]);
    local(&work, "docker://../containers", &[("DOCKER_HOST", &host)]).failed_with(&["no image's name has"]);
    let nowhere = [("CONTAINERD_ADDRESS", "/none/containerd.sock")];
    local(&work, "containerd://demo:1", &nowhere)
        .failed_with(&["cannot get 'demo:1' from containerd", "/none/containerd.sock"]);
    let misspelt = local(&work, "bom.json", &[("STELLA_LIMITS", "entrys=1")]);
    assert_eq!(misspelt.code, Some(2), "{misspelt:?}");
    assert!(misspelt.err.contains("there is no limit 'entrys'; there are layers, "), "{misspelt:?}");
}

#[test]
fn podmans_storage_is_read() {
    let work = Work::new();
    let archive = work.write("image.tar", archive());
    let storage = format!("containers-storage:[overlay@{0}/root+{0}/run]localhost/demo:1", work.text("storage"));
    let copied = Command::new("skopeo")
        .args(["copy", "--insecure-policy", "--quiet", &format!("docker-archive:{archive}"), &storage])
        .output();
    if !copied.as_ref().is_ok_and(|copied| copied.status.success()) {
        eprintln!("SKIPPED: skopeo cannot write a storage here: {copied:?}");
        return;
    }
    finds_django(&local(&work, &storage, &[]));
    let other = storage.replace("demo:1", "demo:2");
    local(&work, &other, &[]).failed_with(&["cannot scan image 'localhost/demo:2'"]);

    let beside = format!("[overlay@{}:overlay.imagestore={}/root]", work.text("none"), work.text("storage"));
    finds_django(&local(&work, &format!("containers-storage:{beside}localhost/demo:1"), &[]));
    let settings = format!(
        "[storage]\ngraphroot = \"{}\"\n[storage.options]\nadditionalimagestores = [\"{}/root\"]\n",
        work.text("none"),
        work.text("storage")
    );
    let settings = work.write("storage.conf", settings);
    let named = [("CONTAINERS_STORAGE_CONF", settings.as_str())];
    finds_django(&local(&work, "containers-storage:localhost/demo:1", &named));
    work.write("storage.conf", "[storage");
    local(&work, "containers-storage:localhost/demo:1", &named).failed_with(&["cannot read ", "storage.conf"]);
}

/// Docker as its package installs it, with everything of its own below a work folder.
#[test]
fn a_real_docker_gives_an_image() {
    let work = Work::new();
    let place = |name: &str| work.text(name);
    let host = format!("unix://{}", place("docker.sock"));
    let daemon = Command::new("dockerd")
        .args([
            "--data-root",
            &place("data"),
            "--exec-root",
            &place("exec"),
            "--pidfile",
            &place("pid"),
            "--host",
            &host,
        ])
        .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut daemon = match daemon {
        Ok(daemon) => daemon,
        Err(error) => {
            eprintln!("SKIPPED: dockerd cannot be started: {error} (scripts/install/debian.sh docker.io)");
            return;
        }
    };
    let end = Instant::now() + Duration::from_secs(60);
    let up = loop {
        if std::os::unix::net::UnixStream::connect(work.path("docker.sock")).is_ok() {
            break true;
        }
        if daemon.try_wait().unwrap().is_some() || Instant::now() > end {
            break false;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let scanned = up.then(|| {
        let file = work.write("image.tar", archive());
        let loaded = Command::new("curl")
            .args(["--silent", "--fail", "--unix-socket", &place("docker.sock"), "--data-binary", &format!("@{file}")])
            .args(["--header", "Content-Type: application/x-tar", "http://docker/images/load"])
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{loaded:?}");
        let environment = [("DOCKER_HOST", host.as_str())];
        (local(&work, "docker://demo:1", &environment), local(&work, "docker://demo:9", &environment))
    });
    let _ = Command::new("kill").arg(daemon.id().to_string()).status();
    let _ = daemon.wait();
    let Some((there, missing)) = scanned else {
        eprintln!("SKIPPED: dockerd does not come up here; it needs root");
        return;
    };
    finds_django(&there);
    missing.failed_with(&["cannot get 'demo:9' from Docker", "404"]);
}

/// containerd as its package installs it, with everything of its own below a work folder: packed layers, then only unpacked ones.
#[test]
fn a_real_containerd_gives_an_image_packed_or_not() {
    let work = Work::new();
    let address = work.text("containerd.sock");
    let config = format!(
        "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\nroot = '{}'\nstate = '{}'\n",
        work.text("root"),
        work.text("state")
    );
    let config = work.write("containerd.toml", config.into_bytes());
    let daemon = Command::new("containerd")
        .args(["--config", &config, "--address", &address])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let daemon = match daemon {
        Ok(daemon) => Daemon(daemon),
        Err(error) => {
            eprintln!("SKIPPED: containerd cannot be started: {error} (scripts/install/debian.sh)");
            return;
        }
    };
    let ctr = |args: &[&str]| {
        let mut command = Command::new("ctr");
        command.args(["--address", &address, "--namespace", "default"]).args(args).output().unwrap()
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !ctr(&["version"]).status.success() {
        if Instant::now() > end {
            eprintln!("SKIPPED: containerd does not come up here; it needs root");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let file = work.write("image.tar", archive());
    let imported = ctr(&["images", "import", "--snapshotter", "overlayfs", &file]);
    assert!(imported.status.success(), "{imported:?}");
    let cache = work.text("cache");
    let environment = [("CONTAINERD_ADDRESS", address.as_str()), ("XDG_CACHE_HOME", cache.as_str())];
    let kept = || std::fs::read_dir(work.path("cache/stella/inventories")).map_or(0, Iterator::count);
    let packed = local(&work, "containerd://demo:1", &environment);
    finds_django(&packed);
    assert_eq!(kept(), 1, "the digest of its manifest stands for all of it");
    assert_eq!(local(&work, "containerd://demo:1", &environment).out, packed.out);
    let missing = local(&work, "containerd://demo:9", &environment);
    missing.failed_with(&["cannot get 'demo:9' from containerd", "the runtime has no such image (namespace default)"]);

    let gone = ctr(&["content", "rm", &Digest::of(layer()).to_string()]);
    assert!(gone.status.success(), "{gone:?}");
    let unpacked = local(&work, "containerd://demo:1", &environment);
    finds_django(&unpacked);
    assert!(unpacked.err.contains("only unpacked layers are kept of the image"), "{unpacked:?}");
    assert_eq!(unpacked.json()["digest"], packed.json()["digest"]);
    assert_eq!(kept(), 1, "folders are not what the digest stands for");
    let views = ctr(&["snapshots", "list"]);
    assert!(!String::from_utf8_lossy(&views.stdout).contains("stella-"), "{views:?}");
    drop(daemon);
}

/// A process that ends with the test.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
