//! What the agent costs and whether it loses anything, under storms of program starts and of executable mappings in a container.
//!
//! `cargo bench -p stella-zastava --bench storm` as root, with a C compiler and a static C library; `BENCH_TURNS` (5) repetitions, in which
//! the storms take turns. With two processors or more the generator has the first one and the agent the second.
//!
//! For each storm: the generator's own count, what the kernel side counted, what the agent received and what was counted as lost
//! (the three must agree exactly), processor time of the agent as a share of one core, and its memory. Then what an occurrence
//! costs whoever causes it: without an agent, with one, and without one again.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use support::{Agent, Container, can_use_kernel, free_address, get, metric};

/// Seconds over which an agent is looked at while nothing happens.
const IDLE: Duration = Duration::from_secs(10);
/// Containers that stand there meanwhile.
const IDLE_CONTAINERS: u64 = 50;

#[derive(Clone, Copy)]
enum Load {
    Idle,
    /// Starts, and how many a second; 0 is as fast as it goes.
    Starts(u64, u64),
    /// Executable mappings, and of how many files, as fast as it goes.
    Mappings(u64, u64),
    /// The least system call.
    Calls(u64),
}

struct Storm {
    name: &'static str,
    load: Load,
    flags: &'static [&'static str],
}

const EACH: &[&str] = &["--every-occurrence"];

const STORMS: [Storm; 8] = [
    Storm { name: "idle, 50 containers", load: Load::Idle, flags: &[] },
    Storm { name: "1,000 starts/s", load: Load::Starts(10_000, 1000), flags: &[] },
    Storm { name: "1,000 starts/s, each reported", load: Load::Starts(10_000, 1000), flags: EACH },
    Storm { name: "5,000 starts/s", load: Load::Starts(25_000, 5000), flags: &[] },
    Storm { name: "5,000 starts/s, each reported", load: Load::Starts(25_000, 5000), flags: EACH },
    Storm { name: "mappings of 1 file", load: Load::Mappings(200_000, 1), flags: &[] },
    Storm { name: "mappings of 10,000 files", load: Load::Mappings(200_000, 10_000), flags: &[] },
    Storm {
        name: "5,000 starts/s, ring of 4 KiB",
        load: Load::Starts(25_000, 5000),
        flags: &["--every-occurrence", "--ring-bytes", "4096"],
    },
];

/// What is measured of who causes it.
const COSTS: [(&str, Load); 3] = [
    ("a start", Load::Starts(5000, 0)),
    ("a mapping", Load::Mappings(100_000, 1)),
    ("a null system call", Load::Calls(2_000_000)),
];

/// The generator, the folder whose files it maps, and the number of the next container.
struct Ground {
    generator: String,
    folder: tempfile::TempDir,
    next: u64,
}

struct Standing {
    running: Vec<Child>,
    _containers: Vec<Container>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() -> ExitCode {
    if !can_use_kernel("the storm") {
        return ExitCode::FAILURE;
    }
    let generator = format!("{}/storm", env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/storm/storm.c");
    let compiled = Command::new("cc").args(["-O2", "-static", "-o", &generator, source]).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("the storm needs a C compiler and a static C library");
        return ExitCode::FAILURE;
    }
    let turns = std::env::var("BENCH_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(5);
    let mut ground = Ground { generator, folder: tempfile::tempdir().expect("a folder"), next: 9000 };
    println!(
        "{:<31}{:>9}{:>9}{:>10}{:>9}{:>9}{:>8}{:>8}{:>8}{:>8}",
        "storm", "done", "rate/s", "kernel", "received", "lost", "missing", "cpu", "rss", "peak"
    );
    let mut agreed = true;
    for _ in 0..turns {
        for storm in &STORMS {
            agreed &= ground.storm(storm);
        }
    }
    println!("\n{:<31}{:>12}{:>12}{:>12}{:>12}{:>9}", "cost", "before", "with", "after", "added", "share");
    for (name, load) in COSTS {
        let mut added: Vec<(f64, f64)> = (0..turns).map(|_| ground.cost(name, load)).collect();
        added.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((nanos, share)) = added.get(added.len() / 2) {
            println!("{name:<31}{:>48}{share:>8.1}%", format!("the middle of {turns}: {nanos:.0} ns"));
        }
    }
    if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What stands before a command so that it runs on one processor.
fn pinned(processor: usize) -> Vec<String> {
    let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    let command = ["taskset", "--cpu-list"].map(str::to_owned).into_iter().chain([processor.to_string()]);
    if several { command.collect() } else { Vec::new() }
}

fn agent(address: &str, flags: &[&str]) -> Agent {
    let starter = pinned(1);
    let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
    let usual = ["--observe", "ebpf", "--output", "json", "--metrics-listen", address];
    let agent = Agent::start_under(&starter, usual.into_iter().chain(flags.iter().copied()));
    agent.wait_for_hooks();
    agent
}

impl Ground {
    fn container(&mut self) -> Container {
        self.next += 1;
        Container::new(self.next)
    }

    /// Lets the generator work in a container of its own; how often it did it, and in how many microseconds.
    fn generate(&mut self, load: Load) -> (u64, u64) {
        let arguments = match load {
            Load::Idle => {
                std::thread::sleep(IDLE);
                return (0, 1);
            }
            Load::Starts(count, rate) => vec![count.to_string(), rate.to_string()],
            Load::Mappings(count, files) => {
                let folder = self.folder.path().display().to_string();
                vec!["mmap".to_owned(), count.to_string(), files.to_string(), folder]
            }
            Load::Calls(count) => vec!["syscall".to_owned(), count.to_string()],
        };
        let mut command = pinned(0);
        command.push(self.generator.clone());
        command.extend(arguments);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let printed = self.container().run(&command);
        let mut numbers = printed.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1).max(1))
    }

    /// Containers in which nothing happens.
    fn standing(&mut self) -> Standing {
        let containers: Vec<Container> = (0..IDLE_CONTAINERS).map(|_| self.container()).collect();
        let running = containers.iter().map(|container| container.start(&["sleep", "600"])).collect();
        Standing { running, _containers: containers }
    }

    /// One storm with an agent of its own; whether every occurrence is accounted for.
    fn storm(&mut self, storm: &Storm) -> bool {
        let address = free_address();
        let agent = agent(&address, storm.flags);
        let _standing = matches!(storm.load, Load::Idle).then(|| self.standing());
        std::thread::sleep(Duration::from_secs(2));
        let (busy_before, began) = (agent.usage().0, Instant::now());
        let (done, micros) = self.generate(storm.load);
        let (lasted, (busy, rss, peak)) = (began.elapsed(), agent.usage());
        let account = settled_account(&address);
        let share = (busy - busy_before).as_secs_f64() / lasted.as_secs_f64() * 100.0;
        println!(
            "{:<31}{done:>9}{:>9}{:>10}{:>9}{:>9}{:>8}{share:>7.2}%{:>5} MiB{:>4} MiB",
            storm.name,
            done * 1_000_000 / micros,
            account.seen,
            account.received,
            account.lost,
            account.missing,
            rss >> 20,
            peak >> 20,
        );
        let other_containers_may_add = account.seen >= done;
        agent.terminate() == 0 && account.missing == 0 && other_containers_may_add
    }

    /// What an agent adds to an occurrence: nanoseconds, and percent of what it takes without one.
    fn cost(&mut self, name: &str, load: Load) -> (f64, f64) {
        let mut nanos = || {
            let (done, micros) = self.generate(load);
            micros as f64 * 1000.0 / done.max(1) as f64
        };
        let before = nanos();
        let agent = agent(&free_address(), &[]);
        let with = nanos();
        drop(agent);
        let after = nanos();
        let without = f64::midpoint(before, after);
        let (added, share) = (with - without, (with / without - 1.0) * 100.0);
        println!("{name:<31}{before:>9.0} ns{with:>9.0} ns{after:>9.0} ns{added:>9.0} ns{share:>8.1}%");
        (added, share)
    }
}

struct Account {
    /// Starts, mappings, openings and ends in containers.
    seen: u64,
    received: u64,
    lost: u64,
    /// Seen by the kernel side, and neither known already, nor received, nor counted as lost.
    missing: i128,
}

/// The account since the agent's start. The kernel's counts are read once a second and other containers of the
/// machine go on, so a difference is given some seconds to vanish; a real one does not.
fn settled_account(address: &str) -> Account {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        std::thread::sleep(Duration::from_millis(1100));
        let text = get(address, "/metrics");
        let kernel = |kind: &str| metric(&text, &format!("zastava_kernel_events_total{{kind=\"{kind}\"}}"));
        let received = metric(&text, "zastava_records_received_total");
        let lost = metric(&text, "zastava_events_lost_total{reason=\"ring-full\"}");
        let seen = ["exec", "mapping", "exit", "opening"].map(kernel).iter().sum::<u64>();
        let missing = i128::from(seen) - i128::from(kernel("repeated") + received + lost);
        if missing == 0 || Instant::now() > deadline {
            return Account { seen, received, lost, missing };
        }
    }
}
