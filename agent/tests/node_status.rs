//! What the agent says of the node, and what it says when a right or a mount is taken away. Needs root and util-linux.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{Agent, Server, can_use_kernel, eventually, free_address};

/// The rights that the chart gives, as numbers that every setpriv knows: SYS_PTRACE, PERFMON, BPF.
const GIVEN: [(&str, &str); 3] = [("CAP_SYS_PTRACE", "cap_19"), ("CAP_PERFMON", "cap_38"), ("CAP_BPF", "cap_39")];

fn server() -> Server {
    Server::start(Box::new(|_, _| (202, String::new())))
}

fn first_status(server: &Server) -> Value {
    eventually("a status", Duration::from_secs(30), || server.statuses().into_iter().next())
}

fn hook<'a>(status: &'a Value, sees: &str) -> Option<&'a str> {
    status["hooks"].as_array().unwrap().iter().find(|hook| hook["sees"] == sees)?["hook"].as_str()
}

/// What is missing, as the status says it, by what is not seen.
fn missing(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let refused = status["refused"].as_array().unwrap().iter();
    refused.map(|refused| (text(&refused["sees"]), text(&refused["missing"]))).collect()
}

/// The agent under setpriv with just those capabilities.
fn with_rights(rights: &[&str], flags: &[&str]) -> Agent {
    let set: String = rights.iter().map(|right| format!(",+{right}")).collect();
    let bounding = format!("--bounding-set=-all{set}");
    Agent::start_under(&["setpriv", &bounding, "--inh-caps=-all", "--no-new-privs"], flags.iter().copied())
}

#[test]
fn with_the_rights_of_the_chart_all_is_seen_and_told_and_told_again() {
    if !can_use_kernel("with_the_rights_of_the_chart_all_is_seen_and_told_and_told_again") {
        return;
    }
    let (server, spool) = (server(), tempfile::tempdir().unwrap());
    let rights = GIVEN.map(|(_, number)| number);
    let flags = [
        "--server",
        &server.address,
        "--spool-dir",
        spool.path().to_str().unwrap(),
        "--node",
        "n1",
        "--status-seconds",
        "1",
    ];
    let agent = with_rights(&rights, &flags);
    let status = first_status(&server);
    assert_eq!(hook(&status, "starts"), Some("raw-tracepoint"), "{status}\n{}", agent.log());
    assert!(hook(&status, "mappings").is_some_and(|hook| hook != "proc-poll"), "{status}");
    assert!(hook(&status, "openings").is_some(), "{status}");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(status["kernel"], release.trim());
    assert!(
        status["completeSince"].as_str().unwrap()
            >= status["since"].as_str().unwrap_or_default().split('.').next().unwrap()
    );
    for (name, _) in GIVEN {
        assert!(!missing(&status).iter().any(|(_, missing)| missing.contains(name)), "{status}");
    }
    let refused = status["refused"].as_array().unwrap();
    let unseen = refused.iter().any(|refused| refused["hook"] == "mprotect");
    assert_ne!(
        hook(&status, "mprotect").is_some(),
        unseen,
        "what hooks do not see is said, and nothing else: {status}"
    );
    assert!(status["pressure"].is_array(), "{status}");
    eventually("it is told again", Duration::from_secs(10), || (server.statuses().len() > 2).then_some(()));
}

#[test]
fn each_right_taken_away_is_named() {
    if !can_use_kernel("each_right_taken_away_is_named") {
        return;
    }
    for (name, number) in GIVEN {
        let (server, spool) = (server(), tempfile::tempdir().unwrap());
        let rights: Vec<&str> = GIVEN.iter().map(|(_, right)| *right).filter(|right| *right != number).collect();
        let flags = ["--server", &server.address, "--spool-dir", spool.path().to_str().unwrap()];
        let agent = with_rights(&rights, &flags);
        let status = first_status(&server);
        let named = missing(&status).iter().any(|(_, missing)| missing.contains(name));
        assert!(named, "{name} is not named: {status}\n{}", agent.log());
        assert!(agent.log().contains(name), "the log names {name}, too: {}", agent.log());
        let others = GIVEN.iter().filter(|(other, _)| *other != name);
        for (other, _) in others {
            assert!(!missing(&status).iter().any(|(_, missing)| missing == other), "{other} is there: {status}");
        }
    }
}

#[test]
fn without_ebpf_rights_or_tracefs_the_next_best_way_is_taken_and_said() {
    let test = "without_ebpf_rights_or_tracefs_the_next_best_way_is_taken_and_said";
    if !can_use_kernel(test) {
        return;
    }
    let (server, spool) = (server(), tempfile::tempdir().unwrap());
    let flags = ["--server", &server.address, "--spool-dir", spool.path().to_str().unwrap()];
    let agent = with_rights(&["cap_19"], &flags);
    let status = first_status(&server);
    assert_eq!(
        (hook(&status, "starts"), hook(&status, "mappings")),
        (Some("proc-poll"), Some("proc-poll")),
        "{status}"
    );
    assert!(agent.log().contains("NO EBPF"));
    drop(agent);

    // Without tracefs only hooks that need none are left.
    let (server, spool) = (self::server(), tempfile::tempdir().unwrap());
    let flags = ["--server", &server.address, "--spool-dir", spool.path().to_str().unwrap()];
    let hidden = "mount -t tmpfs none /sys/kernel/tracing && mount -t tmpfs none /sys/kernel/debug && exec \"$@\"";
    let agent = Agent::start_under(&["unshare", "--mount", "sh", "-c", hidden, "sh"], flags);
    let status = first_status(&server);
    let starts = hook(&status, "starts");
    assert_eq!(starts, Some("raw-tracepoint"), "{status}\n{}", agent.log());
    if hook(&status, "mappings") == Some("proc-passes") {
        let named = missing(&status).contains(&("mappings".to_owned(), "tracefs at /sys/kernel/tracing".to_owned()));
        assert!(named, "{status}");
    }
    drop(agent);

    // And without the kernel's types there is no eBPF at all.
    let (server, spool) = (self::server(), tempfile::tempdir().unwrap());
    let flags = ["--server", &server.address, "--spool-dir", spool.path().to_str().unwrap()];
    let hidden = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let agent = Agent::start_under(&["unshare", "--mount", "sh", "-c", hidden, "sh"], flags);
    let status = first_status(&server);
    assert!(
        missing(&status).iter().any(|(_, missing)| missing.contains("CONFIG_DEBUG_INFO_BTF")),
        "{status}\n{}",
        agent.log()
    );
}

#[test]
fn without_the_hosts_pids_that_is_said() {
    if !can_use_kernel("without_the_hosts_pids_that_is_said") {
        return;
    }
    let (server, spool) = (server(), tempfile::tempdir().unwrap());
    let address = free_address();
    let flags =
        ["--server", &server.address, "--spool-dir", spool.path().to_str().unwrap(), "--metrics-listen", &address];
    let agent = Agent::start_under(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"], flags);
    let status = first_status(&server);
    assert!(missing(&status).contains(&("processes".to_owned(), "hostPID".to_owned())), "{status}\n{}", agent.log());
    assert!(support::get(&address, "/status").contains("\"missing\":\"hostPID\""));
}
