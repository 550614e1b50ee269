//! Nothing is lost uncounted between the recorder and the server: what was recorded is sent, waits, or is counted as lost; whatever
//! becomes of the server, the agent, the disk and the clock. A made-up proc filesystem shows as many containers as a test wants.

mod support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use support::{Agent, Server, eventually, free_address, get, leave_out, metric};

const FILES: u32 = 100;

/// A proc filesystem in which each process is a container of its own, with many files mapped.
struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("sys/kernel/random");
        std::fs::create_dir_all(&kernel).unwrap();
        std::fs::write(kernel.join("boot_id"), "8a4b6f0e-0c1d-4b6a-9f53-3d5f8c1b2a79\n").unwrap();
        Self(folder)
    }

    fn show(&self, numbers: Range<u32>) {
        for number in numbers {
            let process = self.0.path().join(number.to_string());
            std::fs::create_dir(&process).unwrap();
            let put = |name: &str, text: String| std::fs::write(process.join(name), text).unwrap();
            let mapping = |file: u32| {
                let folder = "x".repeat(150);
                format!("7f00-7f01 r-xp 00000000 fe:01 {} /usr/lib/{folder}/lib{file}.so\n", number * FILES + file)
            };
            put("maps", (0..FILES).map(mapping).collect());
            put("comm", "app\n".to_owned());
            put("cmdline", "app\0".to_owned());
            put("stat", format!("{number} (app) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {number} 1 1"));
            // Last: without it it is no container.
            put("cgroup", format!("0::/docker/{number:064x}\n"));
        }
    }
}

/// A server that takes nothing until its door is opened.
fn server() -> (Server, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let answer = move |_: usize, _: &Value| match is_open.load(Ordering::SeqCst) {
        true => (202, String::new()),
        false => (503, "retry-after: 1\r\n".to_owned()),
    };
    (Server::start(Box::new(answer)), open)
}

/// An agent on a made-up node.
struct Node {
    agent: Agent,
    address: String,
}

impl Node {
    fn start(starter: &[&str], proc: &Proc, server: &Server, spool: &Path, more: &[&str]) -> Self {
        let address = free_address();
        let flags = [
            "--observe",
            "proc",
            "--proc-root",
            proc.0.path().to_str().unwrap(),
            "--spool-dir",
            spool.to_str().unwrap(),
            "--server",
            &server.address,
            "--metrics-listen",
            &address,
        ];
        let agent = Agent::start_under(starter, flags.into_iter().chain(more.iter().copied()));
        let node = Self { agent, address };
        eventually("the agent answers", Duration::from_secs(30), || {
            std::net::TcpStream::connect(&node.address).is_ok().then_some(())
        });
        node
    }

    fn account(&self) -> Account {
        let text = get(&self.address, "/metrics");
        let sum = |name: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        let lost = |reason: &str| metric(&text, &format!("zastava_events_lost_total{{reason=\"{reason}\"}}"));
        Account {
            recorded: sum("zastava_events_recorded_total{"),
            recovered: metric(&text, "zastava_events_recovered_total"),
            sent: sum("zastava_events_sent_total{"),
            waiting: metric(&text, "zastava_spool_events"),
            dropped: lost("spool-full") + lost("spool-damaged") + lost("refused"),
            unwritten: lost("spool-unwritable"),
        }
    }

    /// Once so many events came to the recorder, and no more come. What tells of a loss comes besides.
    fn after(&self, events: u64) -> Account {
        self.still(&format!("{events} events"), |account| account.recorded + account.unwritten >= events)
    }

    /// Once nothing waits any more, either.
    fn at_rest(&self, events: u64) -> Account {
        let all = |account: &Account| account.recorded + account.unwritten >= events && account.waiting == 0;
        self.still("nothing waits", all)
    }

    /// An account that is as wanted and stays the same for a while: its lines are not all read at one instant.
    fn still(&self, what: &str, wanted: impl Fn(&Account) -> bool) -> Account {
        let mut before = self.account();
        eventually(what, Duration::from_secs(90), || {
            std::thread::sleep(Duration::from_secs(2));
            let account = self.account();
            let same = std::mem::replace(&mut before, account.clone()) == account;
            (same && wanted(&account)).then_some(account)
        })
    }
}

/// What an agent counted of the events of its run.
#[derive(Debug, Clone, PartialEq)]
struct Account {
    recorded: u64,
    recovered: u64,
    sent: u64,
    waiting: u64,
    dropped: u64,
    unwritten: u64,
}

impl Account {
    fn check(&self) {
        let (put, gone) = (self.recorded + self.recovered, self.sent + self.waiting + self.dropped);
        assert_eq!(put, gone, "{self:?}");
    }
}

fn ids(server: &Server) -> BTreeSet<String> {
    let events = server.events();
    let ids: BTreeSet<String> = events.iter().map(|event| event["eventId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), events.len(), "each event once");
    ids
}

#[test]
fn what_a_full_spool_drops_is_counted_and_the_rest_arrives_once() {
    let (proc, (server, open), spool) = (Proc::new(), server(), tempfile::tempdir().unwrap());
    let node = Node::start(&[], &proc, &server, spool.path(), &["--spool-bytes", "1048576"]);
    proc.show(2000..2120);
    let account = node.after(240);
    account.check();
    assert!(account.dropped > 0, "1 MiB cannot hold them: {account:?}");
    open.store(true, Ordering::SeqCst);
    let account = node.at_rest(240);
    account.check();
    assert_eq!(ids(&server).len() as u64, account.recorded - account.dropped);
    // There is room again: with the next event the gaps are told of which the spool dropped what told of them.
    proc.show(2120..2121);
    eventually("every container that lost something has its gap", Duration::from_secs(30), || {
        let whole = |events: &[Value]| {
            let started = events.iter().any(|event| event["kind"] == "ContainerStart");
            started && events.iter().any(|event| event["loadedLibs"].is_array())
        };
        let has_gap = |events: &[Value]| events.iter().any(|event| event["annotations"]["stella.gap"] == "spool-full");
        let mut all = (2000..2120).map(|number| of_container(&server, number));
        all.all(|events| whole(&events) || has_gap(&events)).then_some(())
    });
    node.at_rest(240).check();
    ids(&server);
    assert_eq!(node.agent.terminate(), 0);
}

#[test]
fn what_a_killed_agent_had_recorded_is_on_the_account_of_the_next() {
    let (proc, (server, open), spool) = (Proc::new(), server(), tempfile::tempdir().unwrap());
    proc.show(2000..2040);
    let node = Node::start(&[], &proc, &server, spool.path(), &[]);
    node.after(80).check();
    node.agent.kill();
    let node = Node::start(&[], &proc, &server, spool.path(), &[]);
    let account = node.after(80);
    account.check();
    assert_eq!((account.recovered, account.waiting), (80, 160));
    open.store(true, Ordering::SeqCst);
    let account = node.at_rest(80);
    account.check();
    assert_eq!((account.sent, account.dropped), (160, 0));
    // The starts are of two observations; what was loaded is the same occurrence, which the server knows by its id.
    let ids: BTreeSet<String> =
        server.events().iter().map(|event| event["eventId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 120);
}

/// The events of a container.
fn of_container(server: &Server, number: u32) -> Vec<Value> {
    let (id, mut events) = (format!("{number:064x}"), server.events());
    events.retain(|event| event["workload"]["containerId"].as_str().unwrap().ends_with(&id));
    events
}

/// How many events of each of these containers tell that something of it could not be written.
fn gaps(server: &Server, numbers: Range<u32>) -> Vec<usize> {
    let told = |event: &&Value| event["annotations"]["stella.gap"] == "spool-unwritable";
    numbers.map(|number| of_container(server, number).iter().filter(told).count()).collect()
}

/// Whether an event was made for the gap only.
fn tells_gap_alone(event: &Value) -> bool {
    event["kind"] == "LibrariesLoaded" && event["loadedLibs"].is_null()
}

/// A disk of so many bytes; taken away when it goes.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(test: &str, bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        leave_out(test, "the right to mount a disk of its own");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_costs_only_what_it_has_no_room_for_and_the_agent_lives_on() {
    let test = "a_full_disk_costs_only_what_it_has_no_room_for_and_the_agent_lives_on";
    let Some(disk) = Disk::new(test, 512 << 10) else { return };
    let (proc, (server, open)) = (Proc::new(), server());
    let node = Node::start(&[], &proc, &server, disk.0.path(), &["--spool-bytes", "8388608"]);
    proc.show(2000..2100);
    let account = node.after(200);
    account.check();
    assert!(account.unwritten > 0 && account.dropped == 0, "{account:?}");
    // What tells of the loss does not add to it: two events of each container, and at most one of its gap.
    assert!(account.recorded + account.unwritten <= 300, "{account:?}");
    assert_eq!(get(&node.address, "/healthz"), "\"ok\"");
    open.store(true, Ordering::SeqCst);
    let account = node.at_rest(200);
    account.check();
    assert_eq!(ids(&server).len() as u64, account.recorded);
    let told: usize = gaps(&server, 2000..2100).iter().sum();
    // The segments that were sent made room, also for the gaps of all that lost something.
    proc.show(2100..2105);
    let missing = 100 - told as u64;
    let later = node.at_rest(account.recorded + account.unwritten + 10 + missing);
    later.check();
    assert_eq!(later.unwritten, account.unwritten, "{later:?}");
    assert_eq!(ids(&server).len() as u64, later.recorded);
    assert_eq!(gaps(&server, 2000..2100), [1; 100], "each has its gap, and is told once");
    // Those that came after may have been there when the others were told.
    let new: u64 = (2100..2105).flat_map(|number| of_container(&server, number)).filter(tells_gap_alone).count() as u64;
    assert_eq!(later.recorded, account.recorded + 10 + missing + new);
    assert_eq!(node.agent.terminate(), 0);
}

/// The library that makes programs see another calendar clock than the machine's.
fn false_clock() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|folder| folder.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

#[test]
fn a_clock_that_is_set_back_and_forth_loses_nothing_and_stamps_follow_it() {
    let test = "a_clock_that_is_set_back_and_forth_loses_nothing_and_stamps_follow_it";
    let Some(library) = false_clock() else { return leave_out(test, "faketime (scripts/install/debian.sh)") };
    let (proc, (server, open), folder) = (Proc::new(), server(), tempfile::tempdir().unwrap());
    let clock = folder.path().join("clock");
    let set = |offset: &str| std::fs::write(&clock, format!("{offset}\n")).unwrap();
    set("+0");
    let (preload, told) =
        (format!("LD_PRELOAD={}", library.display()), format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()));
    let starter = ["env", &preload, &told, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    let node = Node::start(&starter, &proc, &server, &folder.path().join("spool"), &[]);
    proc.show(2000..2010);
    node.after(20).check();
    for (offset, containers, said) in [("-2d", 2010..2020, 1), ("+30d", 2020..2030, 2)] {
        set(offset);
        eventually("the agent says so", Duration::from_secs(10), || {
            (node.agent.log().matches("the clock was set").count() == said).then_some(())
        });
        let events = u64::from(containers.end - 2000) * 2;
        proc.show(containers);
        node.after(events).check();
    }
    open.store(true, Ordering::SeqCst);
    let account = node.at_rest(60);
    account.check();
    assert_eq!((ids(&server).len(), account.sent, account.dropped + account.unwritten), (60, 60, 0));
    let days = |number: u32| -> Vec<String> {
        let events = of_container(&server, number);
        events.iter().map(|event| event["when"].as_str().unwrap()[..10].to_owned()).collect()
    };
    let (before, back, forth) = (days(2000), days(2010), days(2020));
    assert!(
        back.iter().max() < before.iter().min() && forth.iter().min() > before.iter().max(),
        "{back:?} {before:?} {forth:?}"
    );
    assert_eq!(node.agent.terminate(), 0);
}
