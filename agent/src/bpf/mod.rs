//! The kernel side: loading, attaching and reading it.

mod counters;
mod probe;
mod record;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned};
use rustix::process::{Resource, Rlimit, setrlimit};
use stella_api::node_status::Refused;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::metrics::Metrics;
use crate::observation::{LossReason, Observation};
use crate::procfs::ProcFs;
use crate::rights::{self, Rights};
use counters::Counters;
pub use probe::Hook;

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zastava.bpf.o"));

const READ_COUNTERS_EVERY: Duration = Duration::from_secs(1);

/// Why the kernel side cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// The kernel does not describe its types.
    #[error("no kernel types at /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF is needed): {0}")]
    Btf(String),
    /// The host's namespaces cannot be told.
    #[error(
        "cannot read the namespaces in {0}/1/ns: the agent needs the host's pid namespace (hostPID) and CAP_SYS_PTRACE"
    )]
    HostNamespaces(String),
    /// The kernel refused the object.
    #[error("the kernel refused the programs (CAP_BPF and CAP_PERFMON are needed): {0}")]
    Load(String),
    /// A program could not be attached.
    #[error(transparent)]
    Attach(#[from] probe::AttachError),
    /// A map is missing or of another kind than the agent was built with.
    #[error("map {name}: {reason}")]
    Map {
        /// The map.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The ring could not be watched.
    #[error("cannot wait for the ring: {0}")]
    Ring(std::io::Error),
}

impl BpfError {
    /// The right, mount or option that is missing, where it can be told.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::HostNamespaces(_) => Some("CAP_SYS_PTRACE or hostPID".to_owned()),
            _ => Rights::own().missing_for_bpf().or_else(rights::missing_from_kernel),
        }
    }
}

/// How the kernel side is set up.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bytes of the ring; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Files remembered as sent.
    pub seen_files: u32,
    /// Whether openings of code files are watched.
    pub openings: bool,
    /// Whether a file is sent once a container only; off for measuring.
    pub deduplicate: bool,
}

/// The loaded and attached kernel side. Dropping it detaches everything.
pub struct Kernel {
    _programs: Ebpf,
    ring: AsyncFd<RingBuf<MapData>>,
    counters: Counters,
    gaps: HashMap<MapData, u64, u64>,
    first_process: HashMap<MapData, u64, u32>,
    mappings: Option<Hook>,
    protections: Option<Hook>,
    openings: Option<Hook>,
    refused: Vec<Refused>,
}

impl Kernel {
    /// Loads and attaches. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel lacks something or the agent a right; the message says which.
    pub fn load(settings: Settings, proc: &ProcFs) -> Result<Self, BpfError> {
        let hidden = || BpfError::HostNamespaces(proc.root().display().to_string());
        let (host_mounts, agent_pids) = (proc.host_mounts().ok_or_else(hidden)?, proc.own_pids().ok_or_else(hidden)?);
        allow_locked_memory();
        if !Path::new("/sys/kernel/btf/vmlinux").exists() {
            return Err(BpfError::Btf("no such file".to_owned()));
        }
        let btf = Btf::from_sys_fs().map_err(|error| BpfError::Btf(error.to_string()))?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("host_mount_namespace", &host_mounts, true)
            .override_global("agent_pid_namespace", &agent_pids, true)
            .override_global("deduplicate", &u32::from(settings.deduplicate), true)
            .map_max_entries("events", settings.ring_bytes)
            .map_max_entries("seen", settings.seen_files)
            .load(OBJECT)
            .map_err(|error| BpfError::Load(chain(&error)))?;
        let ring = take(&mut ebpf, "events", RingBuf::try_from)?;
        let counters = take(&mut ebpf, "counters", PerCpuArray::try_from)?;
        let gaps = take(&mut ebpf, "gaps", HashMap::try_from)?;
        let first_process = take(&mut ebpf, "first_process", HashMap::try_from)?;
        probe::attach_processes(&mut ebpf)?;
        let mut refused = Vec::new();
        let mappings = probe::attach_mappings(&mut ebpf, &btf, &mut refused);
        let protections = probe::attach_protections(&mut ebpf, &btf, &mut refused);
        let openings = settings.openings.then(|| probe::attach_openings(&mut ebpf, &btf, &mut refused)).flatten();
        let (ring, counters) = (watch(ring)?, Counters::new(counters));
        Ok(Self { _programs: ebpf, ring, counters, gaps, first_process, mappings, protections, openings, refused })
    }

    /// The hook by which executable mappings are seen; without one they are found by passes over `/proc`.
    #[must_use]
    pub fn mappings(&self) -> Option<Hook> {
        self.mappings
    }

    /// The hook by which mappings are seen that are made executable later; without one they are found by passes over `/proc`.
    #[must_use]
    pub fn protections(&self) -> Option<Hook> {
        self.protections
    }

    /// The hook by which openings of code files are seen, if any.
    #[must_use]
    pub fn openings(&self) -> Option<Hook> {
        self.openings
    }

    /// The hooks that were tried and refused.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Tells the kernel the first process of a container that was running before it was attached.
    ///
    /// # Errors
    /// When the kernel refuses the entry.
    pub fn set_first_process(&mut self, container: &str, pid: u32) -> Result<(), MapError> {
        match u64::from_str_radix(container.get(..16).unwrap_or_default(), 16) {
            Ok(key) => self.first_process.insert(key, pid, 0),
            Err(_) => Ok(()),
        }
    }

    /// Reads records until the receiver is gone. A full channel holds the reading up; what the ring then cannot
    /// take is counted by the kernel side.
    ///
    /// # Errors
    /// When the ring or a map cannot be read any more.
    pub async fn run(
        mut self,
        proc: ProcFs,
        to: mpsc::Sender<Observation>,
        metrics: Arc<Metrics>,
    ) -> Result<(), BpfError> {
        let mut tick = tokio::time::interval(READ_COUNTERS_EVERY);
        loop {
            tokio::select! {
                ready = self.ring.readable_mut() => {
                    let mut guard = ready.map_err(BpfError::Ring)?;
                    while let Some(record) = guard.get_inner_mut().next() {
                        metrics.records_received.inc();
                        let read = record::read(&record, |pid, inode| path_of(&proc, pid, inode));
                        drop(record);
                        let observation = match read {
                            Ok(Some(observation)) => observation,
                            Ok(None) => continue,
                            Err(record::RecordError::NoContainer) => {
                                metrics.unattributed.with_label_values(&["no-container"]).inc();
                                continue;
                            }
                            Err(error) => {
                                tracing::error!(%error, "unreadable record");
                                Observation::Lost { container: None, reason: LossReason::Unreadable, count: 1 }
                            }
                        };
                        if let Observation::Lost { reason, count, .. } = &observation {
                            metrics.count_lost(*reason, *count);
                        }
                        if to.send(observation).await.is_err() {
                            return Ok(());
                        }
                    }
                    guard.clear_ready();
                }
                _ = tick.tick() => {
                    for lost in self.losses(&metrics)? {
                        if to.send(lost).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    fn losses(&mut self, metrics: &Metrics) -> Result<Vec<Observation>, BpfError> {
        let unreadable = |error: MapError| BpfError::Map { name: "counters", reason: error.to_string() };
        let counts = self.counters.take().map_err(unreadable)?;
        metrics.count_kernel(&counts);
        if counts.lost == 0 {
            return Ok(Vec::new());
        }
        tracing::warn!(lost = counts.lost, "the ring was full: events were lost");
        if counts.unattributed > 0 {
            return Ok(vec![Observation::Lost { container: None, reason: LossReason::RingFull, count: counts.lost }]);
        }
        let affected: Vec<(u64, u64)> = self.gaps.iter().filter_map(Result::ok).collect();
        let mut losses = Vec::with_capacity(affected.len());
        for (key, count) in affected {
            match self.gaps.remove(&key) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(BpfError::Map { name: "gaps", reason: error.to_string() }),
            }
            let container = Some(format!("{key:016x}"));
            losses.push(Observation::Lost { container, reason: LossReason::RingFull, count });
        }
        Ok(losses)
    }
}

pub use counters::Counts;

fn take<T, E: std::fmt::Display>(
    ebpf: &mut Ebpf,
    name: &'static str,
    convert: impl FnOnce(Map) -> Result<T, E>,
) -> Result<T, BpfError> {
    let wrong = |reason: String| BpfError::Map { name, reason };
    let map = ebpf.take_map(name).ok_or_else(|| wrong("the object has no such map".to_owned()))?;
    convert(map).map_err(|error| wrong(error.to_string()))
}

/// Kernels before 5.11 count maps as locked memory. Later ones do not care whether this is granted.
fn allow_locked_memory() {
    let all = Rlimit { current: None, maximum: None };
    if let Err(error) = setrlimit(Resource::Memlock, all) {
        tracing::debug!(%error, "the limit of locked memory stays; kernels before 5.11 need CAP_SYS_RESOURCE here");
    }
}

#[allow(unsafe_code, reason = "tokio cannot see that the descriptor stays what it is")]
fn watch(ring: RingBuf<MapData>) -> Result<AsyncFd<RingBuf<MapData>>, BpfError> {
    // SAFETY: the ring owns its map's descriptor, always gives the same one, and closes it only when it is dropped,
    // which the registration outlives nowhere: both are in the `AsyncFd`.
    unsafe { AsyncFd::register(ring) }.map_err(|error| BpfError::Ring(error.into()))
}

fn path_of(proc: &ProcFs, pid: u32, inode: u64) -> Option<String> {
    proc.mapped_files(pid).ok()?.into_iter().find(|file| file.inode == inode).map(|file| file.path)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
