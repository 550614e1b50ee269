//! The agent with its kernel side, against real processes in cgroups shaped like containers'. Needs root.

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use support::{Agent, Container, can_use_kernel, eventually, free_address, get, leave_out, metric};

const WATCH: [&str; 4] = ["--observe", "ebpf", "--output", "json"];

/// An agent whose hooks are attached; `None` where they cannot be.
fn watching(test: &str) -> Option<Agent> {
    let agent = can_use_kernel(test).then(|| Agent::start(WATCH))?;
    agent.wait_for_hooks();
    Some(agent)
}

fn paths(events: &[Value]) -> BTreeSet<String> {
    let libraries = events.iter().filter_map(|event| event["loadedLibs"].as_array()).flatten();
    libraries.map(|library| library["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_container_is_seen_from_its_start_to_its_end_with_all_it_loads() {
    let Some(agent) = watching("a_container_is_seen_from_its_start_to_its_end_with_all_it_loads") else { return };
    let container = Container::new(1);
    container.run(&["--pid", "--fork", "sh", "-c", "ls / >/dev/null; sleep 0.2"]);
    agent.wait_for(&container.id, "ContainerStop");

    let events = agent.events_of(&container.id);
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("ContainerStart", "ContainerStop"), "{kinds:?}");
    assert_eq!(events[0]["annotations"]["stella.observedFromStart"], "true");
    assert_eq!(events[0]["process"]["entrypoint"][0], "sh");
    assert_eq!(events[0]["workload"]["platform"], "kubernetes");

    let loaded = paths(&events);
    let real = |path: &str| std::fs::canonicalize(path).unwrap().to_str().unwrap().to_owned();
    for program in ["/bin/sh", "/bin/ls", "/bin/sleep"] {
        assert!(loaded.contains(&real(program)), "{program} is missing in {loaded:?}");
    }
    for library in ["libc.so.6", "ld-linux", "libselinux"] {
        assert!(loaded.iter().any(|path| path.contains(library)), "{library} is missing in {loaded:?}");
    }
    let ids: BTreeSet<&str> = events.iter().map(|event| event["eventId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "ids are unique");
    let all: Vec<_> = events.iter().filter_map(|event| event["loadedLibs"].as_array()).flatten().collect();
    assert_eq!(all.len(), loaded.len(), "a library is reported once");
    assert_eq!(agent.terminate(), 0);
}

#[test]
fn code_that_is_opened_is_reported_once_and_by_what_it_belongs_to() {
    let Some(agent) = watching("code_that_is_opened_is_reported_once_and_by_what_it_belongs_to") else { return };
    let folder = tempfile::tempdir().unwrap();
    let modules = folder.path().join("node_modules/left/lib");
    std::fs::create_dir_all(&modules).unwrap();
    let files =
        ["a.py", "main.js", "log4j.jar", "notes.txt", "node_modules/left/index.js", "node_modules/left/lib/x.mjs"];
    for file in files {
        std::fs::write(folder.path().join(file), "1").unwrap();
    }
    let container = Container::new(500);
    let all = files.map(|file| folder.path().join(file).to_str().unwrap().to_owned()).join(" ");
    container.run(&["--pid", "--fork", "sh", "-c", &format!("cat {all} {all} >/dev/null; sleep 0.2")]);
    agent.wait_for(&container.id, "ContainerStop");

    let events = agent.events_of(&container.id);
    assert_eq!(events[0]["annotations"]["stella.observedOpenings"], "true");
    let libraries: Vec<&Value> = events.iter().filter_map(|event| event["loadedLibs"].as_array()).flatten().collect();
    let opened: Vec<&str> =
        libraries.iter().filter(|l| l["opened"] == true).filter_map(|l| l["path"].as_str()).collect();
    let mut expected = ["a.py", "log4j.jar", "main.js", "node_modules/left/index.js"].map(|f| folder.path().join(f));
    expected.sort();
    assert_eq!(opened.iter().map(|path| std::path::PathBuf::from(*path)).collect::<Vec<_>>(), expected);
    assert!(libraries.iter().any(|l| l["opened"].is_null() && l["path"].as_str().unwrap().ends_with("/cat")));

    let address = free_address();
    let blind = Agent::start(WATCH.into_iter().chain(["--opened-files", "false", "--metrics-listen", &address]));
    blind.wait_for_hooks();
    let container = Container::new(501);
    container.run(&["--pid", "--fork", "sh", "-c", &format!("cat {all} >/dev/null; sleep 0.2")]);
    let start = blind.wait_for(&container.id, "ContainerStart");
    assert!(start["annotations"]["stella.observedOpenings"].is_null(), "what is not watched is not claimed");
    assert!(get(&address, "/status").contains("\"openings\":\"unseen\""));
}

/// Maps the first file to read, makes it executable and drops it at once, so that no pass finds it; then maps the second to read, and
/// a piece of memory that is no file, which is made executable.
const PROTECT: &str = r"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
READ, WRITE, EXEC, PRIVATE, ANONYMOUS, PAGE = 1, 2, 4, 2, 0x20, 4096
def map_to_read(path):
    return libc.mmap(None, PAGE, READ, PRIVATE, os.open(path, os.O_RDONLY), 0)
first = map_to_read(sys.argv[1])
assert libc.mprotect(first, PAGE, READ | EXEC) == 0, os.strerror(ctypes.get_errno())
assert libc.munmap(first, PAGE) == 0
map_to_read(sys.argv[2])
memory = libc.mmap(None, PAGE, READ | WRITE, PRIVATE | ANONYMOUS, -1, 0)
assert libc.mprotect(memory, PAGE, READ | EXEC) == 0
";

#[test]
fn a_mapping_that_is_made_executable_later_is_a_loaded_library() {
    let Some(agent) = watching("a_mapping_that_is_made_executable_later_is_a_loaded_library") else { return };
    let log = agent.log();
    let hooked = log.lines().any(|line| line.contains("what=\"mprotect\"") && line.contains("seen by this hook"));
    if !hooked {
        return leave_out("a_mapping_that_is_made_executable_later_is_a_loaded_library", &format!("a hook: {log}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let library = |name: &str| {
        let path = folder.path().join(name);
        std::fs::copy("/bin/true", &path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (later, never) = (library("liblater.so"), library("libnever.so"));
    let container = Container::new(520);
    container.run(&["--pid", "--fork", "python3", "-c", PROTECT, &later, &never]);
    agent.wait_for(&container.id, "ContainerStop");
    let loaded = paths(&agent.events_of(&container.id));
    assert!(loaded.contains(&later), "{loaded:?}\n{}", agent.log());
    assert!(!loaded.contains(&never), "it was only read: {loaded:?}");
}

#[test]
fn a_container_that_can_open_files_unseen_gets_a_gap() {
    let Some(agent) = watching("a_container_that_can_open_files_unseen_gets_a_gap") else { return };
    if !agent.log().contains("openings=\"tracepoint\"") {
        eprintln!("SKIPPED: a kernel with better hooks sees what is opened in whatever way; record.rs tests the rest");
        return;
    }
    let container = Container::new(510);
    // io_uring_setup has this number on every architecture. That it fails does not matter: the kernel may forbid it.
    let script = "import ctypes, time; ctypes.CDLL(None).syscall(425, 1, 0); time.sleep(0.3)";
    container.run(&["--pid", "--fork", "python3", "-c", script]);
    agent.wait_for(&container.id, "ContainerStop");
    let events = agent.events_of(&container.id);
    assert!(events.iter().any(|event| event["annotations"]["stella.gap"] == "io-uring"), "{events:?}");
}

#[test]
fn a_program_that_ends_at_once_is_still_attributed() {
    let Some(agent) = watching("a_program_that_ends_at_once_is_still_attributed") else { return };
    let containers: Vec<Container> = (100..120).map(Container::new).collect();
    for container in &containers {
        container.run(&["/bin/true"]);
    }
    for container in &containers {
        let start = agent.wait_for(&container.id, "ContainerStart");
        assert_eq!(start["annotations"]["stella.observedFromStart"], "true");
        agent.wait_for(&container.id, "ContainerStop");
        let loaded = paths(&agent.events_of(&container.id));
        assert!(loaded.iter().any(|path| path.ends_with("/true")), "{loaded:?}");
        assert!(loaded.iter().any(|path| path.contains("libc.so.6")), "{loaded:?}");
    }
}

#[test]
fn a_container_that_ran_before_the_agent_is_covered_and_said_to_be_late() {
    if !can_use_kernel("a_container_that_ran_before_the_agent_is_covered_and_said_to_be_late") {
        return;
    }
    let container = Container::new(200);
    let mut first = container.start(&["sleep", "20"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let agent = Agent::start(WATCH);
    let start = agent.wait_for(&container.id, "ContainerStart");
    assert_eq!(start["annotations"]["stella.observedFromStart"], "false");
    let loaded = agent.wait_for(&container.id, "LibrariesLoaded");
    assert!(paths(&[loaded]).iter().any(|path| path.ends_with("/sleep")));
    first.kill().unwrap();
    first.wait().unwrap();
    agent.wait_for(&container.id, "ContainerStop");
}

#[test]
fn a_process_that_enters_a_container_from_outside_is_the_containers() {
    let Some(agent) = watching("a_process_that_enters_a_container_from_outside_is_the_containers") else { return };
    let container = Container::new(210);
    let mut first = container.start(&["sleep", "30"]);
    agent.wait_for(&container.id, "ContainerStart");
    // As a runtime does for `kubectl exec`: first its cgroup, then its namespaces, then the program.
    let script = r#"echo $$ > "$0/cgroup.procs" && exec nsenter --target "$1" --mount ls /"#;
    let pid = first.id().to_string();
    let entered = Command::new("sh").args(["-c", script]).arg(&container.cgroup).arg(&pid).output().unwrap();
    assert!(entered.status.success(), "{}", String::from_utf8_lossy(&entered.stderr));
    eventually("what it ran", std::time::Duration::from_secs(10), || {
        paths(&agent.events_of(&container.id)).iter().any(|path| path.ends_with("/ls")).then_some(())
    });
    let events = agent.events_of(&container.id);
    assert_eq!(events.iter().filter(|event| event["kind"] == "ContainerStart").count(), 1, "{events:?}");
    assert!(!paths(&events).iter().any(|path| path.ends_with("/nsenter")), "its helper is the host's: {events:?}");
    first.kill().unwrap();
    first.wait().unwrap();
    agent.wait_for(&container.id, "ContainerStop");
}

#[test]
fn monitors_in_the_hosts_mounts_are_not_containers() {
    let Some(agent) = watching("monitors_in_the_hosts_mounts_are_not_containers") else { return };
    let container = Container::new(300);
    let script = r#"echo $$ > "$0/cgroup.procs" && exec ls /"#;
    let helper = Command::new("sh").args(["-c", script]).arg(&container.cgroup).output().unwrap();
    assert!(helper.status.success());
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(agent.events_of(&container.id), Vec::<Value>::new());
}

/// What `cgroup.rs` reads of `/proc`, in every set-up: `## NAME`, `# ENGINE pod|none` or `# no container`, and the lines.
const SET_UPS: &str = include_str!("../src/cgroup/set_ups.txt");

#[test]
fn in_every_set_up_the_kernel_names_the_container() {
    if !can_use_kernel("in_every_set_up_the_kernel_names_the_container") {
        return;
    }
    let address = free_address();
    let agent = Agent::start(WATCH.into_iter().chain(["--metrics-listen", &address]));
    agent.wait_for_hooks();
    let mut ran = Vec::new();
    for (number, set_up) in (2000..).zip(SET_UPS.split("## ").skip(1)) {
        let mut lines = set_up.lines();
        let (name, expected) = (lines.next().unwrap(), lines.next().unwrap());
        let paths = lines.filter_map(|line| line.splitn(3, ':').nth(2));
        // What a sibling's namespace shows is the same group under another name.
        let Some(path) = paths.filter(|path| path.contains("CID")).find(|path| !path.contains("..")) else { continue };
        let container = Container::shaped(number, path);
        container.run(&["/bin/true"]);
        ran.push((name, expected, container));
    }
    assert!(ran.len() > 40, "{} of them were made", ran.len());
    let (none, some): (Vec<_>, Vec<_>) = ran.iter().partition(|(_, expected, _)| *expected == "# no container");
    for (name, expected, container) in some {
        let start = agent.wait_for(&container.id, "ContainerStart");
        let id = start["workload"]["containerId"].as_str().unwrap();
        let engine: &[&str] = match id.split_once("://").unwrap().0 {
            "containerd" => &["Containerd", "Unnamed"],
            "cri-o" => &["Crio"],
            "docker" => &["Docker"],
            "podman" => &["Podman"],
            other => panic!("{name}: {other}"),
        };
        let place = if start["workload"]["platform"] == "kubernetes" { "pod" } else { "none" };
        let told: Vec<String> = engine.iter().map(|engine| format!("# {engine} {place}")).collect();
        assert!(told.iter().any(|told| told == expected), "{name}: {told:?}");
        assert_eq!(start["annotations"]["stella.observedFromStart"], "true", "{name}");
    }
    for (name, _, container) in &none {
        assert_eq!(agent.events_of(&container.id), Vec::<Value>::new(), "{name}");
    }
    // What only looks like a container's, as monitors' cgroups do, is counted.
    let unattributed = metric(&get(&address, "/metrics"), "zastava_unattributed_total{reason=\"no-container\"}");
    assert!(unattributed >= 2, "{unattributed}");
}

#[test]
fn a_full_ring_loses_nothing_uncounted_and_marks_the_container() {
    let test = "a_full_ring_loses_nothing_uncounted_and_marks_the_container";
    if !can_use_kernel(test) {
        return;
    }
    let Some(storm) = storm() else {
        return leave_out(test, "a C compiler and a static C library");
    };
    let address = free_address();
    let small = ["--ring-bytes", "4096", "--every-occurrence", "--metrics-listen", &address];
    let agent = Agent::start(WATCH.into_iter().chain(small));
    agent.wait_for_hooks();
    let container = Container::new(400);
    // Stopped, nobody reads the ring: it overflows on the fastest machine too. Then both run together.
    let storm = |starts: u64| -> u64 {
        let starts = starts.to_string();
        container.run(&[&storm, &starts, "0"]).split_whitespace().next().unwrap().parse().unwrap()
    };
    agent.signal(Signal::STOP);
    let mut done = storm(1000);
    agent.signal(Signal::CONT);
    done += storm(2000);
    agent.wait_for(&container.id, "LibrariesLoaded");
    // The kernel side's counts are read once a second; on a busy machine they lag behind what was received.
    let text = eventually("as many received as were submitted", std::time::Duration::from_secs(20), || {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let text = get(&address, "/metrics");
        let submitted = metric(&text, "zastava_kernel_events_total{kind=\"submitted\"}");
        (metric(&text, "zastava_records_received_total") == submitted && submitted > 0).then_some(text)
    });
    let kernel = |kind: &str| metric(&text, &format!("zastava_kernel_events_total{{kind=\"{kind}\"}}"));
    let lost = metric(&text, "zastava_events_lost_total{reason=\"ring-full\"}");
    assert_eq!(done, 3000);
    assert!(kernel("exec") > done, "every start is counted: {text}");
    assert!(lost > 0, "a ring of one page cannot hold this");
    let seen = ["exec", "mapping", "exit", "opening"].map(kernel).iter().sum::<u64>();
    assert_eq!(seen, kernel("submitted") + kernel("repeated") + lost);
    // It is told with what the container does next or after a while, which a busy machine makes longer.
    eventually("the container's observation has a gap", std::time::Duration::from_secs(20), || {
        let marked = agent.events_of(&container.id).iter().any(|e| e["annotations"]["stella.gap"] == "ring-full");
        marked.then_some(())
    });
}

/// The generator, compiled; `None` where there is no compiler.
fn storm() -> Option<String> {
    let path = format!("{}/storm", env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/storm/storm.c");
    let compiled = Command::new("cc").args(["-O2", "-static", "-o", &path, source]).status();
    compiled.is_ok_and(|status| status.success()).then_some(path)
}
