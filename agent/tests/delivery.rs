//! Events reach the server whatever happens to either. No rights are needed: a plain process stands for a container.

mod support;

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::Duration;

use support::{Agent, Server, eventually};

/// A process that is treated as a container; ended when dropped.
struct Process(Child);

impl Process {
    fn start() -> Self {
        Self(Command::new("sleep").arg("60").spawn().unwrap())
    }

    fn flag(&self) -> String {
        format!("web={},r.example/web:1@sha256:{}", self.0.id(), "ab".repeat(32))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn flags<'a>(server: &'a str, spool: &'a str, process: &'a str) -> Vec<&'a str> {
    vec!["--observe", "proc", "--server", server, "--spool-dir", spool, "--host-process", process]
}

fn ids(events: &[serde_json::Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["eventId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn once_prints_what_runs_and_ends() {
    let process = Process::start();
    std::thread::sleep(Duration::from_millis(200));
    let flag = process.flag();
    let agent = Agent::start(["--once", "--output", "json", "--observe", "proc", "--host-process", &flag]);
    let (code, events) = agent.finish();
    assert_eq!(code, 0);
    let own: Vec<_> = events.iter().filter(|event| event["workload"]["container"] == "web").collect();
    assert_eq!(own[0]["kind"], "ContainerStart");
    assert_eq!(own[0]["workload"]["imageRef"], format!("r.example/web:1@sha256:{}", "ab".repeat(32)));
    assert_eq!(own[0]["annotations"]["stella.imageDigest"], format!("sha256:{}", "ab".repeat(32)));
    assert_eq!(own[0]["annotations"]["stella.observedFromStart"], "false");
    assert_eq!(own[1]["kind"], "LibrariesLoaded");
    let libraries = own[1]["loadedLibs"].as_array().unwrap();
    let sleep = libraries.iter().find(|l| l["path"].as_str().unwrap().ends_with("/sleep")).expect("the program itself");
    assert!(sleep["sha256"].is_string() && sleep["inode"].as_u64().unwrap() > 0, "{sleep}");
}

#[test]
fn events_survive_an_absent_server_and_a_killed_agent() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let (process, nobody) = (Process::start(), format!("http://{}", support::free_address()));
    let (spool, flag) = (spool.to_str().unwrap(), process.flag());
    let spooled = || -> String {
        let files = std::fs::read_dir(spool).into_iter().flatten().flatten();
        files.map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned()).collect()
    };
    let agent = Agent::start(flags(&nobody, spool, &flag));
    eventually("events are spooled", Duration::from_secs(10), || spooled().contains("/sleep").then_some(()));
    agent.kill();

    let server = Server::start(Box::new(|_, _| (202, String::new())));
    let agent = Agent::start(flags(&server.address, spool, &flag));
    let of_kind = |kind: &str| -> Vec<serde_json::Value> {
        let own = |event: &serde_json::Value| event["kind"] == kind && event["workload"]["container"] == "web";
        server.events().into_iter().filter(own).collect()
    };
    eventually("both runs arrive", Duration::from_secs(10), || {
        (of_kind("ContainerStart").len() == 2 && !of_kind("LibrariesLoaded").is_empty()).then_some(())
    });
    assert_eq!(ids(&of_kind("LibrariesLoaded")).len(), 1, "the same occurrence keeps its id over runs");
    assert_eq!(ids(&of_kind("ContainerStart")).len(), 2, "a late observation is one of its run");
    assert_eq!(agent.terminate(), 0);
}

#[test]
fn a_busy_server_is_waited_for_and_nothing_is_sent_twice_once_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start();
    let server = Server::start(Box::new(|number, _| match number {
        0 => (503, "retry-after: 1\r\n".to_owned()),
        1 => (429, "retry-after: 2\r\n".to_owned()),
        _ => (202, String::new()),
    }));
    let (spool, flag) = (dir.path().to_str().unwrap().to_owned(), process.flag());
    let token = dir.path().join("token");
    std::fs::write(&token, "secret-token\n").unwrap();
    let began = std::time::Instant::now();
    let mut all = flags(&server.address, &spool, &flag);
    all.extend(["--token-file", token.to_str().unwrap()]);
    let agent = Agent::start(all);
    let events = eventually("accepted at last", Duration::from_secs(15), || {
        Some(server.events()).filter(|events| !events.is_empty())
    });
    assert!(began.elapsed() >= Duration::from_secs(3), "Retry-After is honoured");
    std::thread::sleep(Duration::from_secs(1));
    let after = server.events();
    assert_eq!(ids(&after).len(), after.len(), "no duplicates from a server that answers");
    assert!(after.len() >= events.len());
    assert!(server.requests()[0].to_lowercase().contains("authorization: bearer secret-token"));
    assert_eq!(agent.terminate(), 0);
}

#[test]
fn the_token_of_a_service_account_is_changed_for_one_of_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start();
    let server = Server::start(Box::new(|number, _| (if number == 0 { 401 } else { 202 }, String::new())));
    let (spool, flag) = (dir.path().to_str().unwrap().to_owned(), process.flag());
    let token = dir.path().join("token");
    std::fs::write(&token, "own-token\n").unwrap();
    let mut all = flags(&server.address, &spool, &flag);
    all.extend(["--token-file", token.to_str().unwrap(), "--exchange-token"]);
    let agent = Agent::start(all);
    eventually("accepted at last", Duration::from_secs(15), || (!server.events().is_empty()).then_some(()));
    for request in server.requests() {
        assert!(request.to_lowercase().contains("authorization: bearer for-own-token"), "{request}");
    }
    assert_eq!(agent.terminate(), 0);
}

#[test]
fn one_event_the_server_will_never_take_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start();
    let server = Server::start(Box::new(|_, batch| {
        let starts = batch["events"].as_array().unwrap().iter().any(|e| e["event"]["kind"] == "ContainerStart");
        (if starts { 400 } else { 202 }, String::new())
    }));
    let (spool, flag) = (dir.path().to_str().unwrap().to_owned(), process.flag());
    let address = support::free_address();
    let mut all = flags(&server.address, &spool, &flag);
    all.extend(["--metrics-listen", &address]);
    let agent = Agent::start(all);
    eventually("the libraries arrive", Duration::from_secs(10), || {
        server.events().iter().any(|event| event["kind"] == "LibrariesLoaded").then_some(())
    });
    assert!(std::fs::read_to_string(dir.path().join("refused.jsonl")).unwrap().contains("ContainerStart"));
    let lost = support::metric(&support::get(&address, "/metrics"), "zastava_events_lost_total{reason=\"refused\"}");
    assert!(lost >= 1, "the refused event is counted");
    assert_eq!(support::get(&address, "/healthz"), "\"ok\"");
    assert!(support::get(&address, "/status").contains("\"hook\":\"proc-poll\""));
    drop(agent);
}

#[test]
fn what_cannot_be_done_is_said() {
    let failing = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_stella-zastava")).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failing(&["--mode", "enforce", "--output", "json"]).contains("not yet supported"));
    assert!(failing(&[]).contains("--server"));
    assert!(failing(&["--output", "json", "--host-process", "x=4000000"]).contains("no process 4000000"));
    assert!(failing(&["--output", "json", "--runtime-endpoint", "unix:///nowhere.sock"]).contains("does not answer"));
}
