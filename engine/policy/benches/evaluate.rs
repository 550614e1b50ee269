//! How fast policies are evaluated: `cargo bench -p stella-policy`. See docs/benchmarks.md.
//!
//! Prints a line a part; exits with 1 when a goal is missed. With `opa` on PATH the Rego part runs beside `opa bench`.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use stella_domain::{Reachability, Severity};
use stella_policy::{Compiled, Context, FindingInput, Format, Module, evaluate, finding_document, parse};

fn finding(n: usize) -> FindingInput {
    let mut finding = FindingInput::new(format!("f{n}"), Severity::ALL[n % 7]);
    finding.advisory_ids = vec![format!("CVE-2024-{n:05}"), format!("GHSA-aaaa-bbbb-{n:04}")];
    finding.source = Some(["NVD", "debian", "ghsa"][n % 3].to_owned());
    finding.package = format!("package-{}", n % 300);
    finding.version = "1.2.3".to_owned();
    finding.purl = Some(format!("pkg:npm/package-{}@1.2.3", n % 300));
    finding.path = Some(format!("app/node_modules/package-{}/package.json", n % 300));
    finding.licenses = vec!["MIT".to_owned()];
    finding.reachability = Reachability::ALL[n % 6];
    finding.kev = n.is_multiple_of(97);
    finding.epss = Some((n % 100) as f64 / 100.0);
    finding.fix_available = n.is_multiple_of(2);
    finding
}

/// Rules as people write them, of every kind of condition; few match, so that most findings are held against all of them.
fn rules(count: usize) -> Compiled {
    let rule = |n: usize| {
        let condition = match n % 8 {
            0 => format!("match: {{packages: [nothing-{n}, none-{n}*]}}"),
            1 => format!("match: {{cves: [CVE-2023-{n:05}, CVE-2022-*]}}"),
            2 => format!("match: {{purls: ['pkg:pypi/*', 'pkg:npm/*-{n}x@*']}}"),
            3 => "severity: [Critical], reachability: [runtime], kev: true, fixAvailable: true, sources: [suse]"
                .to_owned(),
            4 => format!("epssMin: 0.95, licenses: [GPL-3.0-only, 'AGPL-{n}']"),
            5 => format!("match: {{paths: ['usr/lib/*/{n}/**', 'opt/**/x{n}.so']}}"),
            6 => format!("severity: [High, Critical], vendors: [vendor{n}]"),
            _ => format!("severity: [High], tags: [tag{n}], environments: [prod]"),
        };
        format!("- {{name: r{n}, {condition}, action: {}}}\n", ["block", "warn", "defer"][n % 3])
    };
    let text = format!("version: '1.0'\nrules:\n{}", (0..count).map(rule).collect::<String>());
    Compiled::new("bench", 0, &parse(&text, Format::Yaml).accept().expect("the policy is good")).expect("it compiles")
}

fn context() -> Context {
    Context {
        image: Some("registry.local/team/app:1".to_owned()),
        repository: Some("registry.local/team/app".to_owned()),
        environment: Some("prod".to_owned()),
        now: "2026-01-01T00:00:00Z".parse().expect("an instant"),
        ..Context::default()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn told(part: &str, took: Duration, goal: Option<Duration>) -> bool {
    let kept = goal.is_none_or(|goal| took <= goal);
    let verdict =
        goal.map_or(String::new(), |goal| format!(", goal {goal:?}: {}", if kept { "kept" } else { "MISSED" }));
    println!("{part}: {took:?}{verdict}");
    kept
}

/// Processor time of this thread, which other work on the machine does not lengthen by waiting.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

const RUNS: u32 = 1000;

fn one_image() -> bool {
    let (policy, context) = ([rules(200)], context());
    let findings: Vec<_> = (0..1000).map(finding).collect();
    let run = || assert_eq!(evaluate(&policy, &findings, &context).verdicts.len(), 1000);
    run();
    // The kernel counts in ticks: one run may be shorter than that.
    let began = processor();
    (0..RUNS).for_each(|_| run());
    let each = (processor() - began) / RUNS;
    told(&format!("1,000 findings x 200 rules, processor time, mean of {RUNS}"), each, Some(Duration::from_millis(2)))
}

/// 1,000 images of 1,000 findings, as they come out of a store: made, evaluated, dropped.
fn a_million() -> bool {
    let (policy, context) = (rules(200), context());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (policy, context) = (&policy, &context);
            scope.spawn(move || {
                for image in (worker..1000).step_by(2) {
                    let findings: Vec<_> = (0..1000).map(|n| finding(image * 1000 + n)).collect();
                    assert_eq!(evaluate(&[policy], &findings, context).verdicts.len(), 1000);
                }
            });
        }
    });
    let kept = told("1,000,000 findings x 200 rules, two threads", began.elapsed(), Some(Duration::from_secs(20)));
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("  most memory: {}", peak.trim_start_matches("VmHWM:").trim());
    kept
}

/// 20 rules of Rego as one `verdict`.
fn rego_source() -> String {
    let rule = |n: usize| {
        format!(
            "reasons contains \"r{n}\" if {{\n\tinput.finding.severity == \"{}\"\n\tinput.finding.epss > 0.{}\n\tsome id in input.finding.advisoryIds\n\tstartswith(id, \"CVE-20{}\")\n}}\n\n",
            Severity::ALL[n % 7],
            10 + n,
            10 + n
        )
    };
    let rules: String = (0..20).map(rule).collect();
    format!("package stella.policy\n\n{rules}verdict := \"block\" if count(reasons) > 0\n")
}

fn rego() {
    let source = rego_source();
    let module = Module::compile(&source).expect("it compiles");
    let context = context();
    let documents: Vec<_> = (0..1000).map(|n| finding_document(&finding(n), &context)).collect();
    let run = || {
        let began = Instant::now();
        assert_eq!(module.values(documents.clone()).expect("it answers").len(), 1000);
        began.elapsed()
    };
    run();
    told("Rego of 20 rules x 1,000 findings, one core, median of 10", median((0..10).map(|_| run()).collect()), None);
    let folder = std::env::temp_dir().join(format!("stella-policy-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (policy, data) = (folder.join("policy.rego"), folder.join("data.json"));
    std::fs::write(&policy, source).expect("a file");
    std::fs::write(&data, serde_json::json!({"inputs": documents}).to_string()).expect("a file");
    let query = "[v | some i in data.inputs; v := [x | x := data.stella.policy.verdict with input as i]]";
    let output = Command::new("opa")
        .args(["bench", "--format", "json", "--data"])
        .args([&policy])
        .arg("--data")
        .args([&data])
        .arg(query)
        .output();
    match output.ok().and_then(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()) {
        Some(report) => {
            let (nanos, runs) = (report["T"].as_f64().unwrap_or_default(), report["N"].as_f64().unwrap_or(1.0));
            told("the same by `opa bench`, a run", Duration::from_nanos((nanos / runs) as u64), None);
        }
        None => println!("the same by `opa bench`: not run, opa is not on PATH"),
    }
    let _ = std::fs::remove_dir_all(&folder);
}

fn main() -> ExitCode {
    // `cargo test` runs benches too, without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let kept = [one_image(), a_million()];
    rego();
    if kept.into_iter().all(|kept| kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
