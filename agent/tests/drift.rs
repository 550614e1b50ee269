//! Files that are not the image's, executed and mapped by real processes on a real overlay. Needs root and Python.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Agent, Container, can_use_kernel, leave_out};

/// Makes an overlay over the host's root, with a volume in it, and runs a program there. `$0` is an empty folder.
const ENTER: &str = r#"
set -e
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay none -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount -t proc none "$0/root/proc"
mkdir -p "$0/root/data" "$0/root/before"
mount -t tmpfs none "$0/root/data"
cd "$0/root"
pivot_root . before
exec chroot . /bin/sh -c "umount -l /before; $1"
"#;

/// The same over a folder that is there already, and that the host sees, too, as it does a runtime's.
const ENTER_OVER: &str = r#"
set -e
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay none -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mkdir -p "$0/root/before"
cd "$0/root"
pivot_root . before
exec chroot . /bin/sh -c "umount -l /before; $1"
"#;

const MEMORY: &str = "import os; fd = os.memfd_create('hidden'); os.write(fd, open('/bin/sleep', 'rb').read()); \
     os.execve(fd, ['sleep', '1'], {})";
const DELETED: &str = "import os, shutil; shutil.copy('/bin/sleep', '/opt/gone'); fd = os.open('/opt/gone', os.O_RDONLY); \
     os.unlink('/opt/gone'); os.execve(fd, ['sleep', '1'], {})";
const LIBRARY: &str = "import ctypes, ctypes.util, glob, shutil; \
     shutil.copy(glob.glob('/lib/*/libz.so.1')[0], '/opt/libfresh.so'); ctypes.CDLL('/opt/libfresh.so')";

fn told<'a>(event: &'a Value, signal: &str) -> &'a str {
    let mut evidence = event["evidence"].as_array().into_iter().flatten();
    evidence.find(|e| e["signal"] == signal).and_then(|e| e["value"].as_str()).unwrap_or_default()
}

#[test]
fn what_is_written_downloaded_deleted_or_only_in_memory_is_drift_and_the_image_is_not() {
    if !can_use_kernel("what_is_written_downloaded_deleted_or_only_in_memory_is_drift_and_the_image_is_not") {
        return;
    }
    let agent = Agent::start(["--observe", "ebpf", "--output", "json"]);
    agent.wait_for_hooks();
    let container = Container::new(700);
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "ls / >/dev/null; mkdir -p /opt; cp /bin/sleep /opt/fresh; /opt/fresh 1; /opt/fresh 0; cp /bin/sleep /data/tool; \
         /data/tool 1; python3 -c \"{MEMORY}\"; python3 -c \"{DELETED}\"; python3 -c \"{LIBRARY}\"; cp /bin/true /opt/short; \
         /opt/short; rm /opt/short; sleep 0.3"
    );
    container.run(&["sh", "-c", ENTER, folder.path().to_str().unwrap(), &script]);
    agent.wait_for(&container.id, "ContainerStop");

    let events = agent.events_of(&container.id);
    let drifts: Vec<&Value> = events.iter().filter(|event| event["kind"] == "Drift").collect();
    let mut found = BTreeMap::new();
    for drift in &drifts {
        let path = told(drift, "drift.path").to_owned();
        let before = found.insert(path, (told(drift, "drift").to_owned(), told(drift, "drift.use").to_owned()));
        assert_eq!(before, None, "each file once: {drift}");
    }
    let entry = |path: &str, reason: &str, used: &str| (path.to_owned(), (reason.to_owned(), used.to_owned()));
    let expected = BTreeMap::from([
        entry("/opt/fresh", "upper-layer", "executed"),
        entry("/opt/short", "upper-layer", "executed"),
        entry("/data/tool", "volume", "executed"),
        entry("memfd:hidden", "memory", "executed"),
        entry("/opt/gone", "deleted", "executed"),
        entry("/opt/libfresh.so", "upper-layer", "mapped"),
    ]);
    assert_eq!(found, expected, "{drifts:#?}");

    let hash = |drift: &&&Value| drift["loadedLibs"][0]["sha256"].as_str().map(str::to_owned);
    let of = |path: &str| drifts.iter().find(|drift| told(drift, "drift.path") == path).unwrap();
    let original = hash(&of("/opt/fresh")).expect("it ran for a second: it could be read");
    for path in ["/data/tool", "memfd:hidden", "/opt/gone"] {
        assert_eq!(hash(&of(path)).as_ref(), Some(&original), "{path} is the same program");
    }
    assert_eq!(of("/opt/fresh")["process"]["entrypoint"][0], "/opt/fresh");
    assert_eq!(of("/opt/fresh")["delta"]["newBinaries"][0], "/opt/fresh");
    assert_eq!(of("/opt/libfresh.so")["delta"]["unknownLibs"][0], "/opt/libfresh.so");
    let loaded = events.iter().filter(|event| event["kind"] == "LibrariesLoaded");
    let loaded: Vec<&Value> = loaded.filter_map(|event| event["loadedLibs"].as_array()).flatten().collect();
    assert!(loaded.iter().any(|library| library["path"] == "/opt/fresh"), "what drifted was used, too");
    assert!(!loaded.iter().any(|library| library["path"].as_str().unwrap().contains("memfd")), "memory is no library");
    let from_image: Vec<&str> =
        loaded.iter().filter(|l| l["fromImage"] == true).filter_map(|l| l["path"].as_str()).collect();
    assert!(from_image.iter().any(|path| path.contains("libc.so.6")), "the image's libraries are told: {loaded:?}");
    assert!(!from_image.iter().any(|path| path.starts_with("/opt/") || path.starts_with("/data/")), "{from_image:?}");
}

/// A filesystem in memory that the host sees; an upper layer cannot lie on an overlay. Taken away when it goes.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(folder.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            leave_out(test, "the right to mount a disk of its own");
            return None;
        }
        std::fs::write(folder.path().join("here"), "").unwrap();
        let disk = Self(folder);
        let seen = Path::new("/proc/1/root").join(disk.0.path().strip_prefix("/").unwrap()).join("here");
        // Where the first process may not be looked at, the agent takes the path as its own.
        let hidden = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        if std::fs::metadata(seen).map_or_else(|error| hidden(&error), |_| true) {
            return Some(disk);
        }
        leave_out(test, "a first process with the same mounts");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_package_database_that_is_written_is_drift_and_one_whose_mode_changes_is_not() {
    let test = "a_package_database_that_is_written_is_drift_and_one_whose_mode_changes_is_not";
    if !can_use_kernel(test) {
        return;
    }
    let Some(disk) = Disk::new(test) else { return };
    let agent = Agent::start(["--observe", "ebpf", "--output", "json", "--database-seconds", "1"]);
    agent.wait_for_hooks();
    let (changed, same) = (Container::new(710), Container::new(711));
    let folder = |name: &str| {
        let folder = disk.0.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder.to_str().unwrap().to_owned()
    };
    // As package managers do: a new file takes the place of the old one. Apart from its mode the other stays what it is.
    let write = "sleep 1; mkdir -p /var/lib/dpkg /lib/apk/db; echo 'Package: new' > /var/lib/dpkg/status-new; \
         mv /var/lib/dpkg/status-new /var/lib/dpkg/status; echo P:new > /lib/apk/db/installed; sleep 4";
    let touch =
        "sleep 1; test ! -e /var/lib/dpkg/status || chmod 600 /var/lib/dpkg/status; mkdir -p /var/lib/rpm; sleep 4";
    let mut running = [
        changed.start(&["sh", "-c", ENTER_OVER, &folder("changed"), write]),
        same.start(&["sh", "-c", ENTER_OVER, &folder("same"), touch]),
    ];
    for container in [&changed, &same] {
        agent.wait_for(&container.id, "ContainerStop");
    }
    assert!(running.iter_mut().all(|child| child.wait().unwrap().success()));

    let drifts = |container: &Container| -> Vec<Value> {
        let events = agent.events_of(&container.id);
        events.into_iter().filter(|event| told(event, "drift") == "package-database").collect()
    };
    let found = drifts(&changed);
    let told = |signal: &str| found.iter().map(|drift| told(drift, signal).to_owned()).collect::<Vec<_>>();
    let dpkg = found.iter().find(|drift| drift["delta"]["changedFiles"][0] == "/var/lib/dpkg/status");
    let dpkg = dpkg.unwrap_or_else(|| panic!("{found:#?}\n{}", agent.log()));
    assert!(dpkg["loadedLibs"][0]["sha256"].is_string(), "it can be read: {dpkg}");
    assert!(dpkg["process"].is_null(), "who did it is not known: {dpkg}");
    // Where /lib is a link the other lies in /usr/lib.
    assert_eq!(told("package.manager"), ["dpkg", "apk"], "each once: {found:#?}");
    assert_eq!(told("drift.use"), ["written", "written"]);
    assert!(drifts(&same).is_empty(), "{:#?}", drifts(&same));
}
