//! What the agent costs and whether it loses anything, under storms of program starts in a container.
//!
//! `cargo bench -p stella-zastava` as root, with tracefs mounted and a C compiler. For each storm: the generator's
//! own count, what the kernel side counted, what the agent received and what was counted as lost (the three must
//! agree exactly), processor time of the agent as a share of one core, and its memory.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use support::{Agent, Container, can_use_kernel, free_address, get, metric};

struct Storm {
    name: &'static str,
    starts: u64,
    per_second: u64,
    flags: &'static [&'static str],
}

const STORMS: [Storm; 6] = [
    Storm { name: "idle", starts: 0, per_second: 0, flags: &[] },
    Storm { name: "1,000/s", starts: 10_000, per_second: 1000, flags: &[] },
    Storm { name: "1,000/s, each reported", starts: 10_000, per_second: 1000, flags: &["--every-occurrence"] },
    Storm { name: "5,000/s", starts: 25_000, per_second: 5000, flags: &[] },
    Storm { name: "5,000/s, each reported", starts: 25_000, per_second: 5000, flags: &["--every-occurrence"] },
    Storm {
        name: "5,000/s, ring of 4 KiB",
        starts: 25_000,
        per_second: 5000,
        flags: &["--every-occurrence", "--ring-bytes", "4096"],
    },
];

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
    println!(
        "{:<26}{:>9}{:>9}{:>10}{:>9}{:>9}{:>8}{:>8}{:>8}{:>8}",
        "storm", "started", "rate/s", "kernel", "received", "lost", "missing", "cpu", "rss", "peak"
    );
    let agreed = STORMS.iter().enumerate().all(|(number, storm)| run(number as u64, storm, &generator));
    if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One storm with an agent of its own; whether every start is accounted for.
fn run(number: u64, storm: &Storm, generator: &str) -> bool {
    let address = free_address();
    let flags = ["--observe", "ebpf", "--output", "json", "--metrics-listen", &address];
    let agent = Agent::start(flags.into_iter().chain(storm.flags.iter().copied()));
    agent.wait_for_hooks();
    std::thread::sleep(Duration::from_secs(2));
    let (busy_before, began) = (agent.usage().0, Instant::now());
    let container = Container::new(9000 + number);
    let (started, micros) = if storm.starts == 0 {
        std::thread::sleep(Duration::from_secs(10));
        (0, 1)
    } else {
        let printed = container.run(&[generator, &storm.starts.to_string(), &storm.per_second.to_string()]);
        let mut numbers = printed.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1))
    };
    let (lasted, (busy, rss, peak)) = (began.elapsed(), agent.usage());
    let account = settled_account(&address);
    let share = (busy - busy_before).as_secs_f64() / lasted.as_secs_f64() * 100.0;
    println!(
        "{:<26}{started:>9}{:>9}{:>10}{:>9}{:>9}{:>8}{share:>7.2}%{:>5} MiB{:>4} MiB",
        storm.name,
        started * 1_000_000 / micros,
        account.execs,
        account.received,
        account.lost,
        account.missing,
        rss >> 20,
        peak >> 20,
    );
    let other_containers_may_add = account.execs >= started;
    agent.terminate() == 0 && account.missing == 0 && other_containers_may_add
}

struct Account {
    execs: u64,
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
            return Account { execs: kernel("exec"), received, lost, missing };
        }
    }
}
