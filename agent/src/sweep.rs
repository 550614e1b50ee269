//! A pass over `/proc`: every process of a container, with what it has mapped at this moment.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::cgroup::{Engine, Membership};
use crate::clock::{BootTime, since_boot};
use crate::observation::{Observation, Process};
use crate::package_database;
use crate::procfs::ProcFs;

/// How the name of runc's first stage begins.
const RUNTIME_STAGE: &str = "runc:[";
/// Nanoseconds in a hundredth of a second, the unit in which `/proc` shows when a process started.
const TICK: u64 = 10_000_000;

/// Finds processes of containers.
#[derive(Debug, Clone)]
pub struct Sweeper {
    proc: ProcFs,
    host_mounts: Option<u32>,
    named: Vec<NamedProcess>,
}

/// A process that is treated as a container, with its descendants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedProcess {
    /// The process.
    pub pid: u32,
    /// The id it goes by: 64 hex digits.
    pub id: String,
}

impl Sweeper {
    /// Over `proc`; `named` processes count as containers wherever they run.
    #[must_use]
    pub fn new(proc: ProcFs, named: Vec<NamedProcess>) -> Self {
        let host_mounts = proc.host_mounts();
        Self { proc, host_mounts, named }
    }

    /// Whether there are processes that only a pass knows as containers.
    #[must_use]
    pub fn has_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// Every process found, the oldest first, so that a container's first process leads; then that the pass is done.
    #[must_use]
    pub fn pass(&self) -> Vec<Observation> {
        let began = since_boot();
        let found = self.found();
        let mut seen: Vec<Observation> =
            found.into_iter().filter_map(|(started, pid, container)| self.look_at(started, pid, container)).collect();
        seen.push(Observation::SweepDone { began });
        seen
    }

    /// Every package database found to be changed since its container started, and how many containers were looked at. `boot` turns
    /// instants since boot into those that files are stamped with.
    #[must_use]
    pub fn changed_databases(&self, boot: BootTime) -> (Vec<Observation>, usize) {
        let (mut looked_at, mut seen) = (HashSet::new(), Vec::new());
        for (started, pid, container) in self.found() {
            // A named process has the host's root. The oldest process of a container leads, and stands for all of them.
            if container.engine == Engine::Process || looked_at.contains(&container.id) {
                continue;
            }
            let Some(command) = self.proc.command(pid).filter(|name| !name.starts_with(RUNTIME_STAGE)) else {
                continue;
            };
            looked_at.insert(container.id.clone());
            let changed = package_database::changed(&self.proc, pid, boot.timestamp(started.saturating_mul(TICK)));
            let process = Process { container, pid, started, command };
            let at = since_boot();
            let told = |database| Observation::DatabaseChanged { process: process.clone(), at, database };
            seen.extend(changed.into_iter().map(told));
        }
        (seen, looked_at.len())
    }

    /// Start, id and container of every process of one, the oldest first.
    fn found(&self) -> Vec<(u64, u32, Membership)> {
        let pids = self.proc.pids().unwrap_or_else(|error| {
            tracing::error!(%error, proc = %self.proc.root().display(), "cannot list processes");
            Vec::new()
        });
        let mut found: Vec<(u64, u32, Membership)> = pids
            .iter()
            .filter_map(|pid| Some((*pid, self.container_of(*pid)?)))
            .chain(self.descendants(&pids))
            .filter_map(|(pid, membership)| Some((self.proc.started(pid)?, pid, membership)))
            .collect();
        found.sort_unstable_by_key(|(started, pid, _)| (*started, *pid));
        found
    }

    /// What a process of a container has mapped now; `None` when it is gone or still the runtime's own.
    #[must_use]
    pub fn look_at(&self, started: u64, pid: u32, container: Membership) -> Option<Observation> {
        let command = self.proc.command(pid)?;
        // runc's first stage waits inside the container's cgroup before it becomes the container's program.
        if command.starts_with(RUNTIME_STAGE) {
            return None;
        }
        let files = self.proc.mapped_files(pid).unwrap_or_else(|error| {
            tracing::debug!(%error, pid, "mappings cannot be read (is CAP_SYS_PTRACE missing?)");
            BTreeSet::default()
        });
        Some(Observation::Running {
            at: since_boot(),
            arguments: self.proc.arguments(pid),
            files: files.into_iter().collect(),
            process: Process { container, pid, started, command },
        })
    }

    /// The container of a process by its cgroup. A process in the host's mount namespace is a runtime's helper; one
    /// whose namespace is not shown counts, so that its container is not taken for ended.
    fn container_of(&self, pid: u32) -> Option<Membership> {
        let membership = self.proc.membership(pid)?;
        let counts = match self.proc.namespace(pid, "mnt") {
            Some(mounts) => Some(mounts) != self.host_mounts,
            None => !self.proc.is_defunct(pid),
        };
        counts.then_some(membership)
    }

    /// Named processes and what they started, with the container each counts for.
    fn descendants(&self, pids: &[u32]) -> Vec<(u32, Membership)> {
        if self.named.is_empty() {
            return Vec::new();
        }
        let parents: HashMap<u32, u32> = pids.iter().filter_map(|pid| Some((*pid, self.proc.parent(*pid)?))).collect();
        let ancestors = |pid: u32| std::iter::successors(Some(pid), |pid| parents.get(pid).copied()).take(64);
        pids.iter()
            .filter_map(|pid| {
                let named = ancestors(*pid).find_map(|ancestor| self.named.iter().find(|n| n.pid == ancestor))?;
                Some((*pid, Membership { engine: Engine::Process, id: named.id.clone(), pod_uid: None }))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_process_is_found_with_its_children_and_files() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let id = "cd".repeat(32);
        let named = vec![NamedProcess { pid: std::process::id(), id: id.clone() }];
        let sweeper = Sweeper::new(ProcFs::new("/proc"), named);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        // The child is this program itself until its exec is done.
        let mapped = loop {
            let pass = sweeper.pass();
            assert!(matches!(pass.last(), Some(Observation::SweepDone { .. })));
            let found = pass.into_iter().find_map(|seen| match seen {
                Observation::Running { process, files, .. } if process.pid == child.id() => Some((process, files)),
                _ => None,
            });
            let (process, files) = found.expect("the child is met");
            assert_eq!(process.container.id, id);
            if files.iter().any(|file| file.path.ends_with("/sleep")) {
                break files;
            }
            assert!(std::time::Instant::now() < deadline, "sleep is never seen");
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(mapped.iter().any(|file| file.path.contains("libc")), "{mapped:?}");
    }
}
