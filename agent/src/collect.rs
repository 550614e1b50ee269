//! Observations become events: the pure middle of the agent, without clock, network or `/proc`.

use stella_api::runtime::RuntimeEvent;

use crate::cgroup::Membership;
use crate::clock::BootTime;
use crate::containers::{Container, Containers, Drifted, Entrypoint, Met, Used};
use crate::events::Origin;
use crate::identity::{Answer, Identity, Workload};
use crate::lost_event::LostEvent;
use crate::observation::{FileOrigin, LossReason, Observation, Process, SeenFile};
use crate::package_database::ChangedDatabase;

const SECOND: u64 = 1_000_000_000;
/// What `/proc` counts the start of a process in.
const TICK: u64 = SECOND / 100;
/// Files in one event at most, so that an event stays far below the size of a batch.
const FILES_AN_EVENT: usize = 128;

/// How long things wait; nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// Libraries wait this long for more of their container.
    pub batch: u64,
    /// A container found by a pass waits this long for the kernel to tell that it saw the start.
    pub settle: u64,
    /// A start waits at most this long for the runtime to know the container.
    pub identity: u64,
    /// An ended container is remembered this long.
    pub grace: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { batch: SECOND / 2, settle: SECOND / 4, identity: 5 * SECOND, grace: 60 * SECOND }
    }
}

/// An event whose files are still to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The event, without libraries.
    pub event: RuntimeEvent,
    /// The files to describe in it.
    pub files: Vec<SeenFile>,
    /// Processes through which they can be read.
    pub pids: Vec<u32>,
}

/// What an observation asks the caller to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// Nothing.
    Nothing,
    /// Look at the mappings of this process at once: a program has just been started in it.
    LookAt(Process),
}

/// Keeps the containers and says what is to be reported.
pub struct Collector {
    containers: Containers,
    origin: Origin,
    boot: BootTime,
    delays: Delays,
    /// Since when the kernel tells of every start and mapping, in nanoseconds since boot; never without eBPF.
    complete_since: Option<u64>,
    lost: Vec<(LossReason, u64)>,
    /// Lost events of containers that are forgotten.
    orphans: Vec<LostEvent>,
    met: u64,
    ownerless: u64,
}

impl Collector {
    /// With no containers. `complete_since` is when the hooks were attached, in nanoseconds since boot.
    #[must_use]
    pub fn new(origin: Origin, boot: BootTime, delays: Delays, complete_since: Option<u64>) -> Self {
        Self {
            containers: Containers::default(),
            origin,
            boot,
            delays,
            complete_since,
            lost: Vec::new(),
            orphans: Vec::new(),
            met: 0,
            ownerless: 0,
        }
    }

    /// Follows the calendar clock where it was set, and says by how many milliseconds. The ids of events do not depend on it.
    pub fn follow_clock(&mut self, now: BootTime) -> Option<i64> {
        self.boot.follow(now)
    }

    /// Takes one observation.
    pub fn observe(&mut self, observation: Observation) -> Follow {
        match observation {
            Observation::Exec { process, at, program, arguments, first } => {
                return self.exec(process, at, program, arguments, first);
            }
            Observation::Mapped { process, at, file } => {
                self.drift(&process, at, &file, Used::Mapped, &[]);
                let container = self.meet(&process, at, false);
                container.note_file(file, at);
            }
            Observation::Opened { process, at, file } => {
                let container = self.meet(&process, at, false);
                container.note_opened(file, at);
            }
            Observation::Exit { process, at } => {
                if let Some(container) = self.containers.get_mut(&process.container.id) {
                    container.ended.get_or_insert(at);
                }
            }
            Observation::Running { process, at, arguments, files } => self.running(&process, at, arguments, files),
            Observation::DatabaseChanged { process, at, database } => {
                let ChangedDatabase { manager, path, inode, removed } = database;
                let used = if removed { Used::Removed(manager) } else { Used::Written(manager) };
                let file = SeenFile { path, inode, device: 0, opened: false, origin: FileOrigin::Upper };
                self.drift(&process, at, &file, used, &[]);
            }
            Observation::SweepDone { began } => {
                for container in self.containers.iter_mut().filter(|c| c.last_met < began) {
                    container.ended.get_or_insert(began);
                }
            }
            Observation::Lost { container, reason, .. } => self.note_gap(container.as_deref(), reason),
            Observation::EventLost(lost) => self.event_lost(lost),
        }
        Follow::Nothing
    }

    /// The containers whose owner is to be asked for; they count as asked from now on.
    pub fn wanted(&mut self) -> Vec<Membership> {
        let wanted = self.containers.iter_mut().filter(|c| c.identity == Identity::Wanted);
        wanted
            .map(|container| {
                container.identity = Identity::Asked;
                container.membership.clone()
            })
            .collect()
    }

    /// Takes the answer to such a question.
    pub fn answered(&mut self, id: &str, answer: Answer, now: u64) {
        let patience = self.delays.identity;
        let Some(container) = self.containers.get_mut(id) else { return };
        container.identity = match answer {
            Answer::Known(workload) => Identity::Known(workload),
            Answer::Ignored => Identity::Ignored,
            Answer::NotYet if now < container.first_seen + patience && container.ended.is_none() => Identity::Wanted,
            Answer::NotYet => {
                self.ownerless += 1;
                Identity::Known(Workload::default())
            }
        };
    }

    /// What is to be reported by now. With `all`, also what would wait for more of its kind.
    pub fn due(&mut self, now: u64, all: bool) -> Vec<Due> {
        let mut due = Vec::new();
        let Self { containers, origin, boot, delays, .. } = self;
        for container in containers.iter_mut() {
            match container.identity {
                Identity::Known(_) => report(container, origin, *boot, *delays, now, all, &mut due),
                Identity::Ignored => forget_waiting(container),
                Identity::Wanted | Identity::Asked => {}
            }
        }
        for lost in self.orphans.drain(..) {
            let event = self.origin.gap_of_lost(lost, self.boot.timestamp(now));
            due.push(Due { event, files: Vec::new(), pids: Vec::new() });
        }
        self.containers.forget_ended(now.saturating_sub(self.delays.grace));
        due
    }

    /// What was lost here since the last call, for the metrics.
    pub fn take_losses(&mut self) -> Vec<(LossReason, u64)> {
        std::mem::take(&mut self.lost)
    }

    /// Containers met here since the last call, and those of them whose owner the runtime never knew.
    pub fn take_met(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.met), std::mem::take(&mut self.ownerless))
    }

    /// How many containers are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.containers.len()
    }

    /// Whether a start has not been reported yet.
    pub fn is_waiting(&mut self) -> bool {
        self.containers.iter_mut().any(|c| matches!(c.identity, Identity::Wanted | Identity::Asked))
    }

    fn exec(
        &mut self,
        process: Process,
        at: u64,
        program: Option<SeenFile>,
        arguments: Vec<String>,
        first: bool,
    ) -> Follow {
        let ended_before = self.containers.get_mut(&process.container.id).is_some_and(|c| c.ended.is_some());
        if first && ended_before {
            // Docker starts a stopped container again under the same id.
            self.containers.forget(&process.container.id);
        }
        let complete_since = self.complete_since;
        // Starts are told a while before the last hook is attached: what was loaded meanwhile was not seen.
        let starts_in_sight = first && complete_since.is_some_and(|since| at >= since);
        self.meet(&process, at, starts_in_sight);
        if let Some(file) = &program {
            self.drift(&process, at, file, Used::Executed, &arguments);
        }
        // Executed memory is no file that a package could own.
        let program = program.filter(|file| file.origin != FileOrigin::Memory);
        let container = self.meet(&process, at, false);
        let began = container.entrypoint.started.saturating_mul(TICK);
        if first && !container.announced && complete_since.is_some_and(|since| began >= since) {
            container.from_start = true;
        }
        if container.entrypoint.pid == process.pid && container.entrypoint.arguments.is_empty() {
            container.entrypoint.arguments = arguments;
            container.entrypoint.program = program.as_ref().map(|file| file.path.clone());
        }
        let news = match program {
            Some(file) => container.note_file(file, at),
            None => true,
        };
        if news { Follow::LookAt(process) } else { Follow::Nothing }
    }

    fn drift(&mut self, process: &Process, at: u64, file: &SeenFile, used: Used, arguments: &[String]) {
        if file.origin.drift().is_none() {
            return;
        }
        let drifted = Drifted {
            file: file.clone(),
            used,
            pid: process.pid,
            command: process.command.clone(),
            arguments: arguments.to_vec(),
            at,
        };
        let container = self.meet(process, at, false);
        if !container.note_drift(drifted) {
            container.note_gap(LossReason::TableFull.name());
            self.lost.push((LossReason::TableFull, 1));
        }
    }

    fn running(&mut self, process: &Process, at: u64, arguments: Vec<String>, files: Vec<SeenFile>) {
        let container = self.meet(process, at, false);
        if container.entrypoint.arguments.is_empty() && container.entrypoint.pid == process.pid {
            container.entrypoint.arguments = arguments;
        }
        for file in files {
            container.note_file(file, at);
        }
    }

    fn meet(&mut self, process: &Process, at: u64, from_start: bool) -> &mut Container {
        let (container, met) = self.containers.meet(&process.container, at, from_start);
        if met != Met::Known {
            self.met += 1;
            container.entrypoint = Entrypoint { pid: process.pid, started: process.started, ..Entrypoint::default() };
        }
        container.note_pid(process.pid);
        if met == Met::NewInsteadOfLive {
            self.lost.push((LossReason::TableFull, 1));
        }
        container
    }

    /// Of a container that is forgotten the event alone tells whose it was.
    fn event_lost(&mut self, lost: LostEvent) {
        match self.containers.get_mut(lost.container()) {
            Some(container) if lost.told_gap => container.tell_gap_again(lost.reason.name()),
            Some(container) => container.note_gap(lost.reason.name()),
            None => self.orphans.push(lost),
        }
    }

    fn note_gap(&mut self, container: Option<&str>, reason: LossReason) {
        match container {
            // Whose events they were can be read no more; any of them may have told of a gap.
            None if reason == LossReason::SpoolDamaged => {
                self.containers.iter_mut().for_each(|c| c.tell_gap_again(reason.name()));
            }
            Some(prefix) => self.containers.starting_with(prefix).for_each(|c| c.note_gap(reason.name())),
            None => self.containers.iter_mut().for_each(|c| c.note_gap(reason.name())),
        }
    }
}

fn report(
    container: &mut Container,
    origin: &Origin,
    boot: BootTime,
    delays: Delays,
    now: u64,
    all: bool,
    due: &mut Vec<Due>,
) {
    let settled = container.from_start || now >= container.first_seen + delays.settle;
    if !container.announced {
        if !settled && !all {
            return;
        }
        let event = origin.start(container, boot.timestamp(container.first_seen));
        container.announced = true;
        container.gap = None;
        due.push(Due { event, files: Vec::new(), pids: Vec::new() });
    }
    let ended = container.ended.is_some();
    while let Some(since) = container.waiting_since
        && (all || ended || now >= since + delays.batch || container.waiting.len() >= FILES_AN_EVENT)
    {
        let files = container.take_files(FILES_AN_EVENT);
        let event = origin.libraries(container, &files, boot.timestamp(since));
        container.gap = None;
        due.push(Due { event, files, pids: container.pids.clone() });
    }
    for drifted in container.take_drifts() {
        let event = origin.drift(container, &drifted, boot.timestamp(drifted.at));
        // Of what is removed there is nothing to read.
        let files = if matches!(drifted.used, Used::Removed(_)) { Vec::new() } else { vec![drifted.file] };
        due.push(Due { event, files, pids: vec![drifted.pid] });
    }
    if container.gap.is_some() {
        let event = origin.gap(container, boot.timestamp(now));
        container.gap = None;
        due.push(Due { event, files: Vec::new(), pids: Vec::new() });
    }
    if let Some(at) = container.ended.filter(|_| !container.stopped) {
        container.stopped = true;
        due.push(Due { event: origin.stop(container, boot.timestamp(at)), files: Vec::new(), pids: Vec::new() });
    }
}

fn forget_waiting(container: &mut Container) {
    while !container.take_files(FILES_AN_EVENT).is_empty() {}
    container.take_drifts();
    container.gap = None;
    container.stopped = container.ended.is_some();
}

#[cfg(test)]
mod tests;
