//! What the tests of the whole program share: the agent, a container-shaped cgroup, a server.
#![allow(dead_code, reason = "every test uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

/// Whether eBPF and cgroups can be used here. Root mounts what is only not mounted.
pub fn can_use_kernel(test: &str) -> bool {
    const TRACEFS: &str = "/sys/kernel/tracing";
    if is_root() && !Path::new(TRACEFS).join("events").exists() {
        // What it could not do shows below.
        let _ = Command::new("mount").args(["-t", "tracefs", "nodev", TRACEFS]).status();
    }
    let missing = if !is_root() {
        "root"
    } else if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        "kernel types (BTF)"
    } else if cgroup_root().is_none() {
        "a cgroup hierarchy"
    } else if !Path::new("/sys/kernel/tracing/events/syscalls/sys_enter_mmap").exists() {
        "tracefs at /sys/kernel/tracing"
    } else {
        return true;
    };
    leave_out(test, missing);
    false
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A test is left out for want of something. Root can have everything that tests need, so that it fails there, as it does in CI;
/// `STELLA_MAY_SKIP=1` is for machines whose kernel does not allow it.
pub fn leave_out(test: &str, missing: &str) {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| value == "1");
    let may = set("STELLA_MAY_SKIP") || !is_root() && !set("STELLA_REQUIRE_KERNEL");
    assert!(may, "{test} needs {missing}, and nothing is left out here (STELLA_MAY_SKIP=1 would)");
    eprintln!("SKIPPED: {test} needs {missing}");
}

/// Where containers' cgroups can be made: the memory hierarchy of version 1, or version 2.
pub fn cgroup_root() -> Option<PathBuf> {
    ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.join("cgroup.procs").exists())
}

/// Waits until `check` gives something.
pub fn eventually<T>(what: &str, within: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running agent; killed when dropped.
pub struct Agent {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    log: Arc<Mutex<String>>,
}

impl Agent {
    pub fn start<'a>(flags: impl IntoIterator<Item = &'a str>) -> Self {
        Self::start_under(&[], flags)
    }

    /// Started by another program, which runs it in its own place.
    pub fn start_under<'a>(starter: &[&str], flags: impl IntoIterator<Item = &'a str>) -> Self {
        let line: Vec<&str> = starter.iter().copied().chain([env!("CARGO_BIN_EXE_stella-zastava")]).collect();
        let mut child = Command::new(line[0])
            .args(&line[1..])
            .args(flags)
            .env("RUST_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let (lines, log) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(String::new())));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (to_lines, to_log) = (Arc::clone(&lines), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let envelope: Value = serde_json::from_str(&line).expect("one JSON document a line");
                to_lines.lock().unwrap().push(envelope["event"].clone());
            }
        });
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let mut log = to_log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, lines, log }
    }

    /// Waits until the log says that the hooks are attached.
    pub fn wait_for_hooks(&self) {
        eventually("hooks attached", Duration::from_secs(30), || {
            let log = self.log();
            assert!(!log.contains("NO EBPF"), "{log}");
            log.contains(" watching ").then_some(())
        });
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Events printed so far of the container with that id.
    pub fn events_of(&self, id: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|e| e["workload"]["containerId"].as_str().unwrap().ends_with(id)).cloned().collect()
    }

    /// The first printed event of that kind and container.
    pub fn wait_for(&self, id: &str, kind: &str) -> Value {
        eventually(&format!("{kind} of {id}"), Duration::from_secs(15), || {
            self.events_of(id).into_iter().find(|event| event["kind"] == kind)
        })
    }

    /// Processor time so far, and resident and peak bytes.
    pub fn usage(&self) -> (Duration, u64, u64) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (Duration::from_millis(ticks * 10), kib("VmRSS:") << 10, kib("VmHWM:") << 10)
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it with SIGTERM and returns its exit code.
    pub fn terminate(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Waits for its own end.
    pub fn finish(mut self) -> (i32, Vec<Value>) {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        std::thread::sleep(Duration::from_millis(100));
        (code, self.lines.lock().unwrap().clone())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process with a mount namespace of its own in a cgroup shaped like a container's.
pub struct Container {
    pub id: String,
    pub cgroup: PathBuf,
    /// The folders that were made for it, outermost first.
    made: Vec<PathBuf>,
}

impl Container {
    /// An empty cgroup as containerd makes it in a pod; `number` makes the id.
    pub fn new(number: u64) -> Self {
        Self::shaped(number, "/kubepods/burstable/podUID/CID")
    }

    /// An empty cgroup at a path in which `CID` stands for the id, `UID` for a pod's, and `U_ID` for that as systemd has it.
    pub fn shaped(number: u64, path: &str) -> Self {
        // Like a real id, it differs in its leading digits.
        let id = format!("{:08x}{:08x}{:048x}", number, std::process::id(), 0xfeed_u64);
        let uid = format!("1f7a2c3d-5e6f-4a8b-{:04x}-{:012x}", number, std::process::id());
        let path = path.replace("U_ID", &uid.replace('-', "_")).replace("UID", &uid).replace("CID", &id);
        let cgroup = cgroup_root().unwrap().join(path.trim_start_matches('/'));
        let mut made: Vec<PathBuf> =
            cgroup.ancestors().take_while(|folder| !folder.exists()).map(PathBuf::from).collect();
        made.reverse();
        std::fs::create_dir_all(&cgroup).unwrap();
        Self { id, cgroup, made }
    }

    /// Starts a program as the container's first process.
    pub fn start(&self, program: &[&str]) -> Child {
        let script = r#"echo $$ > "$0/cgroup.procs" && exec unshare --mount "$@""#;
        Command::new("sh")
            .args(["-c", script])
            .arg(&self.cgroup)
            .args(program)
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts")
    }

    /// Runs a program to its end and returns what it printed.
    pub fn run(&self, program: &[&str]) -> String {
        let output = self.start(program).wait_with_output().unwrap();
        assert!(output.status.success(), "{program:?}: {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The last process may still be on its way out.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.cgroup).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Those above may be shared with a container that is still there.
        for folder in self.made.iter().rev().skip(1) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Takes batches as the server does. `answer` decides status and headers of each request for events.
pub struct Server {
    pub address: String,
    events: Arc<Mutex<Vec<Value>>>,
    requests: Arc<Mutex<Vec<String>>>,
    work: Arc<Mutex<Option<String>>>,
    statuses: Arc<Mutex<Vec<Value>>>,
}

pub type Answer = dyn Fn(usize, &Value) -> (u16, String) + Send + Sync;

impl Server {
    pub fn start(answer: Box<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (events, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let work = Arc::new(Mutex::new(None));
        let statuses = Arc::new(Mutex::new(Vec::new()));
        let to_statuses = Arc::clone(&statuses);
        let (to_events, to_requests, from_work) = (Arc::clone(&events), Arc::clone(&requests), Arc::clone(&work));
        let answer: Arc<Answer> = Arc::from(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (events, requests, answer) =
                    (Arc::clone(&to_events), Arc::clone(&to_requests), Arc::clone(&answer));
                let (work, statuses) = (Arc::clone(&from_work), Arc::clone(&to_statuses));
                std::thread::spawn(move || {
                    // A client that went away in the middle is its own affair.
                    let _ = serve(stream, &events, &requests, &work, &statuses, answer.as_ref());
                });
            }
        });
        Self { address, events, requests, work, statuses }
    }

    /// What the next work stream begins with, as server-sent events.
    pub fn give_work(&self, text: String) {
        *self.work.lock().unwrap() = Some(text);
    }

    /// Events of accepted batches, and inventories.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// What the agent said of itself.
    pub fn statuses(&self) -> Vec<Value> {
        self.statuses.lock().unwrap().clone()
    }

    /// Request lines and headers so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    events: &Mutex<Vec<Value>>,
    requests: &Mutex<Vec<String>>,
    work: &Mutex<Option<String>>,
    statuses: &Mutex<Vec<Value>>,
    answer: &Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let length = header("content-length").and_then(|value| value.parse::<usize>().ok());
    let trace = header("traceparent");
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    if head.starts_with("POST /layers/missing") || head.starts_with("POST /api/v1/inventories") {
        let mut body: Value = serde_json::from_slice(&body).expect("a JSON body");
        let text = match body.get("layers") {
            Some(layers) => format!(r#"{{"missing":{layers}}}"#),
            None => {
                // Beside what was sent.
                body["traceparent"] = trace.into();
                events.lock().unwrap().push(body);
                r#"{"imageDigest":null,"missing":[]}"#.to_owned()
            }
        };
        let length = text.len();
        return write!(stream, "HTTP/1.1 200 X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
    }
    if head.starts_with("POST /connect/token") {
        // Whose it is can be seen from the token.
        let form = String::from_utf8(body).expect("a form");
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        let text = match form.strip_prefix(grant) {
            Some(own) => {
                format!(r#"{{"access_token":"for-{own}","token_type":"Bearer","expires_in":3600,"scope":"x"}}"#)
            }
            None => "{}".to_owned(),
        };
        let length = text.len();
        return write!(stream, "HTTP/1.1 200 X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
    }
    if head.starts_with("POST /api/v1/nodes/") {
        statuses.lock().unwrap().push(serde_json::from_slice(&body).expect("a JSON body"));
        return stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    }
    if head.starts_with("GET /api/v1/nodes/") {
        requests.lock().unwrap().push(head);
        let text = work.lock().unwrap().take().unwrap_or_default();
        write!(stream, "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{text}")?;
        stream.flush()?;
        // The stream stays open until the test is over.
        std::thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    if !head.starts_with("POST /api/v1/runtime/events") {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let batch: Value = serde_json::from_slice(&body).expect("a JSON body");
    let number = {
        let mut requests = requests.lock().unwrap();
        requests.push(head);
        requests.len() - 1
    };
    let (status, headers) = answer(number, &batch);
    let sent = batch["events"].as_array().unwrap();
    let text = if status == 202 {
        let mut events = events.lock().unwrap();
        events.extend(sent.iter().map(|envelope| envelope["event"].clone()));
        format!(r#"{{"accepted":{},"duplicates":0}}"#, sent.len())
    } else {
        "{}".to_owned()
    };
    let length = text.len();
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{text}")
}

/// A metric's value in Prometheus text; zero when it is not there.
pub fn metric(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// GET over plain HTTP.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// A port that was free a moment ago.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
