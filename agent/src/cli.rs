//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use regex::Regex;
use stella_inventory::Limits;

use crate::host_process::HostProcess;
use crate::pressure::Thresholds;

const EXAMPLES: &str = "\
Examples:
  # On a node of a cluster, as the DaemonSet runs it
  stella-zastava --server https://stella.stella-system.svc:8080 --token-file /var/run/secrets/stella/token

  # What runs on this host at this moment, as JSON lines, without a server
  stella-zastava --once --output json

  # Watch, and print every event
  stella-zastava --output json

  # Treat a plain process as a container (no root, no container runtime)
  stella-zastava --observe proc --host-process web=4711,registry.example/web:1.2 --server http://localhost:8080";

/// Sees which containers start on this node and which libraries they really load, and tells the server.
#[derive(Debug, Parser)]
#[command(name = "stella-zastava", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// A piece of work instead of watching.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to watch.
    #[command(flatten)]
    pub watch: Watch,
    /// Log more (-v, -vv, -vvv); RUST_LOG goes before it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Work the agent gives to a process of its own.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read one image from the runtime's content store and send its inventory (started by the agent itself, with limits)
    ReadImage(ReadImage),
}

/// Flags of `read-image`.
#[derive(Debug, Args)]
pub struct ReadImage {
    /// Where the inventory goes.
    #[command(flatten)]
    pub server: Server,
    /// The node's name.
    #[arg(long, env = "NODE_NAME", default_value_t = host_name())]
    pub node: String,
    /// Socket of the container runtime (unix:///path).
    #[arg(long, env = "CONTAINER_RUNTIME_ENDPOINT")]
    pub runtime_endpoint: Option<String>,
    /// Proc filesystem that shows the node's processes.
    #[arg(long, env = "STELLA_ZASTAVA_PROC_ROOT", default_value = "/proc")]
    pub proc_root: PathBuf,
    /// How much an image may make this program do: `entries=5000000,layer-bytes=64GiB`. See the documentation.
    #[arg(long, env = "STELLA_LIMITS", value_name = "NAME=VALUE,...", default_value = "", hide_default_value = true)]
    pub limits: Limits,
    /// The piece of work this answers.
    #[arg(long)]
    pub work_id: Option<String>,
    /// The `traceparent` that requests to the server go on with.
    #[arg(long)]
    pub traceparent: Option<String>,
    /// The image as pods name it.
    #[arg(long)]
    pub image_ref: Option<String>,
    /// Manifest, index or configuration digest of the image.
    #[arg(long)]
    pub digest: Option<stella_domain::Digest>,
    /// Folder of a control group to move into; may be repeated.
    #[arg(long, hide = true, value_name = "FOLDER")]
    pub control_group: Vec<PathBuf>,
}

/// The server and how to speak to it.
#[derive(Debug, Clone, Args)]
pub struct Server {
    /// Base address of the server.
    #[arg(long, env = "STELLA_SERVER")]
    pub server: Option<stella_api::client::Url>,
    /// File with the bearer token; read again for every request, since the kubelet renews it.
    #[arg(long, env = "STELLA_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The token is a Kubernetes service account's: ask the server for one of its authority in its place (RFC 7523), and use that.
    #[arg(long, env = "STELLA_EXCHANGE_TOKEN")]
    pub exchange_token: bool,
    /// PEM file with the authorities to trust for the server.
    #[arg(long, env = "STELLA_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

/// What the agent does about blocked images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Report only.
    Listen,
    /// Stop containers whose image is blocked (not supported by this version).
    Enforce,
}

/// Where observations come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Observe {
    /// eBPF where the kernel and the agent's rights allow it, else polling `/proc`, which the status says.
    Auto,
    /// eBPF, or fail.
    Ebpf,
    /// Polling `/proc`.
    Proc,
}

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One JSON envelope a line on standard output.
    Json,
}

/// When a record in the spool is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// After every write: survives a power failure at any moment.
    Always,
    /// Once a second: survives the agent's death at any moment, a power failure but for the last second.
    Interval,
    /// When the kernel pleases: survives the agent's death at any moment.
    Never,
}

/// Flags of watching.
#[derive(Debug, Args)]
pub struct Watch {
    /// Where events go.
    #[command(flatten)]
    pub server: Server,
    /// What to do about blocked images.
    #[arg(long, env = "STELLA_ZASTAVA_MODE", value_enum, default_value = "listen")]
    pub mode: Mode,
    /// Regular expression; containers whose image reference matches are not reported.
    #[arg(long, env = "STELLA_ZASTAVA_FILTER_IMAGE", value_name = "REGEX")]
    pub filter_image: Option<Regex>,
    /// Worker threads.
    #[arg(long, env = "STELLA_ZASTAVA_THREADS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// The node's name.
    #[arg(long, env = "NODE_NAME", default_value_t = host_name())]
    pub node: String,
    /// The tenant reported; the server derives it from the namespace where there is one.
    #[arg(long, env = "STELLA_TENANT", default_value_t = stella_domain::Tenant::default())]
    pub tenant: stella_domain::Tenant,
    /// Socket of the container runtime (unix:///path); the usual places are tried without it.
    #[arg(long, env = "CONTAINER_RUNTIME_ENDPOINT")]
    pub runtime_endpoint: Option<String>,
    /// How much an image may make the process that reads it do: `entries=5000000,layer-bytes=64GiB`. See the documentation.
    #[arg(long, env = "STELLA_LIMITS", value_name = "NAME=VALUE,...", default_value = "", hide_default_value = true)]
    pub limits: Limits,
    /// Report what runs now, and end.
    #[arg(long)]
    pub once: bool,
    /// Print events on standard output.
    #[arg(long, value_enum)]
    pub output: Option<Output>,
    /// Where observations come from.
    #[arg(long, env = "STELLA_ZASTAVA_OBSERVE", value_enum, default_value = "auto")]
    pub observe: Observe,
    /// Folder for events the server has not taken yet.
    #[arg(long, env = "STELLA_ZASTAVA_SPOOL_DIR", default_value = "/var/lib/stella-zastava/spool")]
    pub spool_dir: PathBuf,
    /// Bytes the spool may take; the oldest events go first.
    #[arg(long, env = "STELLA_ZASTAVA_SPOOL_BYTES", default_value_t = 256 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub spool_bytes: u64,
    /// When the spool is forced to the disk.
    #[arg(long, env = "STELLA_ZASTAVA_SPOOL_FSYNC", value_enum, default_value = "interval")]
    pub spool_fsync: Fsync,
    /// Seconds between two reports of how the node is watched.
    #[arg(long, env = "STELLA_ZASTAVA_STATUS_SECONDS", default_value_t = stella_api::node_status::REPORT_SECONDS, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub status_seconds: u64,
    /// Seconds between two looks at the package databases of running containers.
    #[arg(long, env = "STELLA_ZASTAVA_DATABASE_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub database_seconds: u64,
    /// Address for /metrics, /healthz and /status.
    #[arg(long, env = "STELLA_ZASTAVA_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Proc filesystem that shows the node's processes.
    #[arg(long, env = "STELLA_ZASTAVA_PROC_ROOT", default_value = "/proc")]
    pub proc_root: PathBuf,
    /// JSON file of identities, for hosts without CRI: container id to imageRef, digest, namespace, pod, container.
    #[arg(long, env = "STELLA_ZASTAVA_CONTAINERS", value_name = "FILE")]
    pub containers: Option<PathBuf>,
    /// Treat a process and its descendants as a container: NAME=PID[,IMAGE]. May be repeated.
    #[arg(long, value_name = "NAME=PID[,IMAGE]")]
    pub host_process: Vec<HostProcess>,
    /// Bytes of libraries hashed a second, averaged over half a minute.
    #[arg(long, env = "STELLA_ZASTAVA_HASH_RATE", default_value_t = 16 << 20)]
    pub hash_rate: u64,
    /// From which percentages on the node is under pressure, so that no image is read: NAME=PERCENT,... with `cpu`, `memory` and
    /// `io` (of ten seconds in which some task waited) and `available` (memory, where the kernel tells of no waiting). 0 looks away.
    #[arg(long, env = "STELLA_ZASTAVA_PRESSURE", value_name = "NAME=PERCENT,...", default_value_t)]
    pub pressure: Thresholds,
    /// Percent of one processor that the process which reads an image may use, where the agent can give it a control group.
    #[arg(long, env = "STELLA_ZASTAVA_READER_CPU_PERCENT", value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub reader_cpu_percent: u32,
    /// Bytes of memory that it may use in such a group.
    #[arg(long, env = "STELLA_ZASTAVA_READER_MEMORY_BYTES", value_name = "BYTES", default_value_t = 1 << 30, value_parser = clap::value_parser!(u64).range(64 << 20..))]
    pub reader_memory_bytes: u64,
    /// Whether openings of code files (.py, .js, .jar, ...) are watched, without which nothing can be said of the use of most
    /// language packages.
    #[arg(long, env = "STELLA_ZASTAVA_OPENED_FILES", default_value_t = true, action = clap::ArgAction::Set)]
    pub opened_files: bool,
    /// Bytes of the kernel's ring; a power of two, at least 4096.
    #[arg(long, env = "STELLA_ZASTAVA_RING_BYTES", default_value_t = 4 << 20, value_parser = ring_bytes)]
    pub ring_bytes: u32,
    /// Report every start of a program and every mapping to the agent, known or not; for measuring.
    #[arg(long, hide = true)]
    pub every_occurrence: bool,
}

fn ring_bytes(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(bytes) if bytes.is_power_of_two() && bytes >= 4096 => Ok(bytes),
        _ => Err("expected a power of two of at least 4096".to_owned()),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_ring_is_a_power_of_two() {
        assert!(Cli::try_parse_from(["stella-zastava", "--ring-bytes", "5000"]).is_err());
        assert!(Cli::try_parse_from(["stella-zastava", "--ring-bytes", "8192"]).is_ok());
    }
}
