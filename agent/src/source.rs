//! Where observations come from: the kernel side where it can be had, else polling `/proc`.

use std::sync::Arc;
use std::time::Duration;

use stella_api::node_status::{HookFamily, HookInUse, Refused};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::bpf::{BpfError, Hook, Kernel, Settings};
use crate::cli::Observe;
use crate::clock::{BootTime, since_boot};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::observation::Observation;
use crate::procfs::ProcFs;
use crate::rights::{Capability, Rights, is_inner_pid_namespace};
use crate::sweep::Sweeper;

/// With hooks, a pass only finds what they cannot see: what was mapped before them, what no hook of `mprotect` saw, and lost events.
const PASS_BESIDE_HOOKS: Duration = Duration::from_secs(60);
/// Without hooks, or with processes the kernel side does not know as containers, a pass is all there is.
const PASS_ALONE: Duration = Duration::from_secs(1);

/// A chosen source, not started yet.
pub struct Source {
    kernel: Option<Kernel>,
    sweeper: Sweeper,
    every: Duration,
    attached: Option<u64>,
    refused: Vec<Refused>,
}

impl Source {
    /// Loads the kernel side, or falls back to polling where that is allowed, and says so.
    ///
    /// # Errors
    /// When eBPF was asked for and cannot be had.
    pub fn choose(observe: Observe, settings: Settings, proc: &ProcFs, sweeper: Sweeper) -> Result<Self, BpfError> {
        let mut refused = lacking(proc);
        let kernel = match observe {
            Observe::Proc => None,
            Observe::Ebpf => Some(Kernel::load(settings, proc)?),
            Observe::Auto => match Kernel::load(settings, proc) {
                Ok(kernel) => Some(kernel),
                Err(error) => {
                    let missing = error.missing();
                    tracing::warn!(
                        reason = %error,
                        missing = missing.as_deref().unwrap_or("unknown"),
                        "NO EBPF: polling /proc instead; processes and libraries that come and go between two passes are missed"
                    );
                    let (sees, hook, reason) = ("starts".to_owned(), "ebpf".to_owned(), error.to_string());
                    refused.push(Refused { sees, hook, reason, missing });
                    None
                }
            },
        };
        refused.extend(kernel.iter().flat_map(|kernel| kernel.refused().iter().cloned()));
        let only_mappings = |kernel: &&Kernel| kernel.mappings().is_some() && kernel.protections().is_none();
        refused.extend(kernel.iter().filter(only_mappings).map(|_| past_the_hooks()));
        let hooked = kernel.as_ref().is_some_and(|kernel| kernel.mappings().is_some());
        let every = if hooked && !sweeper.has_named() { PASS_BESIDE_HOOKS } else { PASS_ALONE };
        // A pass now and then misses what is mapped and dropped between two of them, so without a hook nothing is complete.
        Ok(Self { attached: hooked.then(since_boot), kernel, sweeper, every, refused })
    }

    /// How executable mappings are seen: a hook's name, `proc-passes` without one, or `proc-poll` without eBPF.
    #[must_use]
    pub fn hook(&self) -> &'static str {
        self.kernel.as_ref().map_or("proc-poll", |kernel| kernel.mappings().map_or("proc-passes", Hook::name))
    }

    /// How openings of code files are seen, if they are.
    #[must_use]
    pub fn openings(&self) -> Option<&'static str> {
        self.kernel.as_ref().and_then(Kernel::openings).map(Hook::name)
    }

    /// Every way in use.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookInUse> {
        let used = |sees: &str, hook: &str, family| HookInUse { sees: sees.to_owned(), hook: hook.to_owned(), family };
        let Some(kernel) = &self.kernel else {
            return ["starts", "mappings"].map(|sees| used(sees, self.hook(), HookFamily::Passes)).to_vec();
        };
        let mappings = kernel.mappings().map_or(HookFamily::Passes, Hook::family);
        let mut hooks =
            vec![used("starts", "raw-tracepoint", HookFamily::Portable), used("mappings", self.hook(), mappings)];
        hooks.extend(kernel.protections().map(|hook| used("mprotect", hook.name(), hook.family())));
        hooks.extend(kernel.openings().map(|hook| used("openings", hook.name(), hook.family())));
        hooks
    }

    /// What was tried and refused, and what the agent lacks.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Whether the kernel tells of starts.
    #[must_use]
    pub fn uses_ebpf(&self) -> bool {
        self.kernel.is_some()
    }

    /// Since when every start and every mapping of a container is seen, in nanoseconds since boot.
    #[must_use]
    pub fn complete_since(&self) -> Option<u64> {
        self.attached
    }

    /// Sends what runs already, then starts the tasks that send what comes. Package databases are looked at `databases_every` so often.
    ///
    /// # Errors
    /// When the kernel side cannot be told of the containers that run.
    pub async fn start(
        mut self,
        tasks: &mut JoinSet<Result<(), Failure>>,
        proc: ProcFs,
        to: mpsc::Sender<Observation>,
        metrics: Arc<Metrics>,
        databases_every: Duration,
    ) -> Result<(), BpfError> {
        metrics.observing.with_label_values(&[self.hook()]).set(1);
        let running = self.sweeper.pass();
        if let Some(kernel) = &mut self.kernel {
            // The oldest process of a container comes first in a pass, so it is told last.
            for seen in running.iter().rev() {
                if let Observation::Running { process, .. } = seen {
                    kernel
                        .set_first_process(&process.container.id, process.pid)
                        .map_err(|error| BpfError::Map { name: "first_process", reason: error.to_string() })?;
                }
            }
        }
        for seen in running {
            // A closed channel shows in the tasks below.
            let _ = to.send(seen).await;
        }
        tracing::info!(hook = self.hook(), openings = self.openings().unwrap_or("unseen"), "watching");
        let (databases, sender, counts) = (self.sweeper.clone(), to.clone(), Arc::clone(&metrics));
        tasks.spawn(async move {
            look_at_databases(databases, databases_every, sender, counts).await;
            Ok(())
        });
        let (sweeper, every, sender) = (self.sweeper, self.every, to.clone());
        tasks.spawn(async move {
            poll(sweeper, every, sender).await;
            Ok(())
        });
        if let Some(kernel) = self.kernel {
            tasks.spawn(async move { kernel.run(proc, to, metrics).await.map_err(Failure::from) });
        }
        Ok(())
    }
}

/// What keeps the agent from seeing all processes and their files, whatever tells of them.
fn lacking(proc: &ProcFs) -> Vec<Refused> {
    let mut lacking = Vec::new();
    let mut lacks = |sees: &str, reason: &str, missing: &str| {
        tracing::warn!(sees, reason, missing, "not everything can be seen");
        let (sees, hook) = (sees.to_owned(), "proc".to_owned());
        lacking.push(Refused { sees, hook, reason: reason.to_owned(), missing: Some(missing.to_owned()) });
    };
    if !Rights::own().has(Capability::SysPtrace) {
        lacks("files", "maps and roots of other processes cannot be read", Capability::SysPtrace.name());
    }
    if proc.own_pids().is_some_and(is_inner_pid_namespace) {
        lacks("processes", "only processes of an inner pid namespace are shown", "hostPID");
    }
    lacking
}

/// What the hooks of mappings do not see, where there is none for `mprotect`.
fn past_the_hooks() -> Refused {
    let reason = format!(
        "a file's mapping that is made executable later has no hook here; the passes every {} s find it while it lasts",
        PASS_BESIDE_HOOKS.as_secs()
    );
    Refused { sees: "mappings".to_owned(), hook: "mprotect".to_owned(), reason, missing: None }
}

async fn poll(sweeper: Sweeper, every: Duration, to: mpsc::Sender<Observation>) {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let sweeper = sweeper.clone();
        let Ok(pass) = tokio::task::spawn_blocking(move || sweeper.pass()).await else { return };
        for seen in pass {
            if to.send(seen).await.is_err() {
                return;
            }
        }
    }
}

/// A change that is found stays one, so that nothing is missed but in containers that end before the next look.
async fn look_at_databases(sweeper: Sweeper, every: Duration, to: mpsc::Sender<Observation>, metrics: Arc<Metrics>) {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let (sweeper, began) = (sweeper.clone(), std::time::Instant::now());
        let look = tokio::task::spawn_blocking(move || sweeper.changed_databases(BootTime::now()));
        let Ok((changed, containers)) = look.await else { return };
        let took = began.elapsed();
        metrics.database_look.set(i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
        tracing::debug!(containers, changed = changed.len(), took_us = took.as_micros(), "looked at package databases");
        for seen in changed {
            if to.send(seen).await.is_err() {
                return;
            }
        }
    }
}
