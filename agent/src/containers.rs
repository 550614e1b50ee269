//! The containers of the node, and what is known and not yet said of each.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::cgroup::Membership;
use crate::identity::Identity;
use crate::observation::{FileOrigin, SeenFile};
use crate::opened;

/// Containers kept at most.
const MOST_CONTAINERS: usize = 4096;
/// Files remembered as reported for one container.
const MOST_FILES: usize = 16_384;
/// Files remembered as drifted for one container; more of them are counted as lost.
const MOST_DRIFTED: usize = 1024;
/// Processes remembered for reading a container's files through.
const MOST_PIDS: usize = 8;

/// The process a container was started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entrypoint {
    /// Process id on the node.
    pub pid: u32,
    /// When it started, in hundredths of a second since boot.
    pub started: u64,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The file that was executed, as the kernel resolved it; absent for a container that ran before it was watched.
    pub program: Option<String>,
}

/// What became of a file that drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// It was executed.
    Executed,
    /// It was mapped executable.
    Mapped,
    /// It is the database of that package manager, and was written.
    Written(&'static str),
    /// It is the database of that package manager, and is there no more.
    Removed(&'static str),
}

impl Used {
    /// The name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Mapped => "mapped",
            Self::Written(_) => "written",
            Self::Removed(_) => "removed",
        }
    }

    /// The package manager whose database it is.
    #[must_use]
    pub const fn package_manager(self) -> Option<&'static str> {
        match self {
            Self::Executed | Self::Mapped => None,
            Self::Written(manager) | Self::Removed(manager) => Some(manager),
        }
    }
}

/// A file that was executed or mapped and is not the image's, or a package database that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// The file.
    pub file: SeenFile,
    /// What became of it.
    pub used: Used,
    /// The process.
    pub pid: u32,
    /// Its name.
    pub command: String,
    /// Its arguments, as far as captured.
    pub arguments: Vec<String>,
    /// When.
    pub at: u64,
}

impl Drifted {
    /// Why it is drift: the name in events and in the tags of rules.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.used.package_manager() {
            Some(_) => "package-database",
            None => self.file.origin.drift().unwrap_or_default(),
        }
    }
}

/// One container.
#[derive(Debug)]
pub struct Container {
    /// As its cgroup names it.
    pub membership: Membership,
    /// Who it belongs to.
    pub identity: Identity,
    /// When it was first seen, in nanoseconds since boot.
    pub first_seen: u64,
    /// When it was last met by a pass or an event.
    pub last_met: u64,
    /// Whether its first process was seen to start.
    pub from_start: bool,
    /// Its first process.
    pub entrypoint: Entrypoint,
    /// Whether its start was reported.
    pub announced: bool,
    /// Files to report, and since when the oldest of them waits.
    pub waiting: BTreeMap<String, SeenFile>,
    /// When the oldest waiting file was seen.
    pub waiting_since: Option<u64>,
    /// Why its observation has a gap that is still to be reported.
    pub gap: Option<String>,
    /// When it ended.
    pub ended: Option<u64>,
    /// Whether its end was reported.
    pub stopped: bool,
    /// Processes through which its files can be read, newest last.
    pub pids: Vec<u32>,
    has_gap: bool,
    reported: HashSet<String>,
    opened: HashSet<String>,
    drifts: Vec<Drifted>,
    drifted: HashSet<String>,
}

impl Container {
    fn new(membership: Membership, at: u64, from_start: bool) -> Self {
        Self {
            membership,
            identity: Identity::Wanted,
            first_seen: at,
            last_met: at,
            from_start,
            entrypoint: Entrypoint::default(),
            announced: false,
            waiting: BTreeMap::new(),
            waiting_since: None,
            gap: None,
            ended: None,
            stopped: false,
            pids: Vec::new(),
            has_gap: false,
            reported: HashSet::new(),
            opened: HashSet::new(),
            drifts: Vec::new(),
            drifted: HashSet::new(),
        }
    }

    /// Takes note of a file; `false` when it was reported or waits already.
    pub fn note_file(&mut self, file: SeenFile, at: u64) -> bool {
        if self.reported.contains(&file.path) {
            return false;
        }
        if let Some(waiting) = self.waiting.get_mut(&file.path) {
            // A pass may come before the kernel's record, which says more.
            if waiting.origin == FileOrigin::Unseen && file.origin != FileOrigin::Unseen {
                waiting.origin = file.origin;
            }
            return false;
        }
        self.waiting_since.get_or_insert(at);
        self.waiting.insert(file.path.clone(), file);
        true
    }

    /// Takes note of an opened file, unless it shows the use of nothing that another one has not shown.
    pub fn note_opened(&mut self, file: SeenFile, at: u64) {
        let shows = opened::shows(&file.path);
        if self.opened.contains(shows) {
            return;
        }
        if self.opened.len() < MOST_FILES {
            self.opened.insert(shows.to_owned());
        }
        self.note_file(file, at);
    }

    /// Takes note of a file that is not the image's; `false` when there are too many of them to tell.
    pub fn note_drift(&mut self, drifted: Drifted) -> bool {
        if self.drifted.contains(&drifted.file.path) {
            return true;
        }
        if self.drifted.len() >= MOST_DRIFTED {
            return false;
        }
        self.drifted.insert(drifted.file.path.clone());
        self.drifts.push(drifted);
        true
    }

    /// Takes what drifted and was not reported yet.
    pub fn take_drifts(&mut self) -> Vec<Drifted> {
        std::mem::take(&mut self.drifts)
    }

    /// Takes note of a process of the container.
    pub fn note_pid(&mut self, pid: u32) {
        if pid == 0 || self.pids.contains(&pid) {
            return;
        }
        if self.pids.len() == MOST_PIDS {
            // The first is the entrypoint, which lives longest.
            self.pids.remove(1);
        }
        self.pids.push(pid);
    }

    /// Takes the files that wait, at most `most`; they count as reported from now on.
    pub fn take_files(&mut self, most: usize) -> Vec<SeenFile> {
        let mut files = Vec::new();
        while files.len() < most
            && let Some((path, file)) = self.waiting.pop_first()
        {
            if self.reported.len() < MOST_FILES {
                self.reported.insert(path);
            }
            files.push(file);
        }
        if self.waiting.is_empty() {
            self.waiting_since = None;
        }
        files
    }

    /// Records that events of this container were lost. Only the first gap matters: the observation is incomplete
    /// from then on.
    pub fn note_gap(&mut self, reason: &str) {
        if !self.has_gap {
            self.has_gap = true;
            self.gap = Some(reason.to_owned());
        }
    }

    /// What told of the gap was lost itself.
    pub fn tell_gap_again(&mut self, reason: &str) {
        self.has_gap = true;
        self.gap.get_or_insert_with(|| reason.to_owned());
    }
}

/// The containers by id. Bounded: when full, the one that ended first makes room, else the one met longest ago.
#[derive(Debug, Default)]
pub struct Containers {
    by_id: HashMap<String, Container>,
}

/// What [`Containers::meet`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Met {
    /// It was known.
    Known,
    /// It is new.
    New,
    /// It is new, and another one that had not ended made room for it.
    NewInsteadOfLive,
}

impl Containers {
    /// The container of that membership, made when it is new.
    pub fn meet(&mut self, membership: &Membership, at: u64, from_start: bool) -> (&mut Container, Met) {
        let mut met = Met::Known;
        if !self.by_id.contains_key(&membership.id) {
            met = if self.make_room() { Met::NewInsteadOfLive } else { Met::New };
        }
        let container = self
            .by_id
            .entry(membership.id.clone())
            .or_insert_with(|| Container::new(membership.clone(), at, from_start));
        container.last_met = container.last_met.max(at);
        (container, met)
    }

    /// Forgets a container, so that one of the same id that starts again is new.
    pub fn forget(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// The container of that id.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Container> {
        self.by_id.get_mut(id)
    }

    /// The containers whose ids begin with `prefix`.
    pub fn starting_with(&mut self, prefix: &str) -> impl Iterator<Item = &mut Container> {
        self.by_id.values_mut().filter(move |container| container.membership.id.starts_with(prefix))
    }

    /// All containers, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Container> {
        self.by_id.values_mut()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Forgets those that ended before `before` and have nothing left to say.
    pub fn forget_ended(&mut self, before: u64) {
        self.by_id.retain(|_, c| !(c.stopped && c.ended.is_some_and(|ended| ended < before)));
    }

    /// Makes room for one more; `true` when a container that had not ended had to go.
    fn make_room(&mut self) -> bool {
        if self.by_id.len() < MOST_CONTAINERS {
            return false;
        }
        let least = self.by_id.values().min_by_key(|c| (c.ended.is_none(), c.ended.unwrap_or(c.last_met)));
        let Some((id, live)) = least.map(|c| (c.membership.id.clone(), c.ended.is_none())) else { return false };
        self.by_id.remove(&id);
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Engine;

    fn membership(n: usize) -> Membership {
        Membership { engine: Engine::Containerd, id: format!("{n:064x}"), pod_uid: None }
    }

    fn file(path: &str) -> SeenFile {
        SeenFile { path: path.to_owned(), inode: 1, device: 1, opened: false, origin: FileOrigin::Image }
    }

    #[test]
    fn a_file_is_said_once() {
        let mut containers = Containers::default();
        let (container, _) = containers.meet(&membership(1), 5, true);
        assert!(container.note_file(file("/a"), 5));
        assert!(!container.note_file(file("/a"), 6));
        assert_eq!(container.take_files(10).len(), 1);
        assert!(!container.note_file(file("/a"), 7));
        assert_eq!(container.waiting_since, None);
    }

    #[test]
    fn where_a_waiting_file_comes_from_is_learnt_from_the_kernel() {
        let mut containers = Containers::default();
        let (container, _) = containers.meet(&membership(1), 5, true);
        let of = |origin| SeenFile { origin, ..file("/lib/a.so") };
        assert!(container.note_file(of(FileOrigin::Unseen), 5));
        assert!(!container.note_file(of(FileOrigin::Image), 6));
        assert!(!container.note_file(of(FileOrigin::Unseen), 7));
        assert_eq!(container.take_files(1), [of(FileOrigin::Image)]);
    }

    #[test]
    fn a_drifted_file_is_said_once_and_too_many_are_admitted() {
        let mut containers = Containers::default();
        let (container, _) = containers.meet(&membership(1), 5, true);
        let drifted = |path: String| Drifted {
            file: SeenFile { origin: FileOrigin::Upper, ..file(&path) },
            used: Used::Executed,
            pid: 1,
            command: String::new(),
            arguments: Vec::new(),
            at: 5,
        };
        assert!(container.note_drift(drifted("/a".to_owned())) && container.note_drift(drifted("/a".to_owned())));
        assert_eq!(container.take_drifts().len(), 1);
        assert!((1..MOST_DRIFTED).all(|n| container.note_drift(drifted(format!("/{n}")))));
        assert!(!container.note_drift(drifted("/one-more".to_owned())));
        assert_eq!(container.take_drifts().len(), MOST_DRIFTED - 1);
    }

    #[test]
    fn one_opened_file_shows_a_whole_package() {
        let mut containers = Containers::default();
        let (container, _) = containers.meet(&membership(1), 5, true);
        for path in ["/app/node_modules/left/index.js", "/app/node_modules/left/lib/a.js", "/app/main.js"] {
            container.note_opened(file(path), 5);
        }
        let sent: Vec<String> = container.take_files(10).into_iter().map(|file| file.path).collect();
        assert_eq!(sent, ["/app/main.js", "/app/node_modules/left/index.js"]);
    }

    #[test]
    fn the_table_is_bounded_and_the_dead_go_first() {
        let mut containers = Containers::default();
        for n in 0..MOST_CONTAINERS {
            assert_eq!(containers.meet(&membership(n), n as u64, true).1, Met::New);
        }
        containers.get_mut(&membership(77).id).unwrap().ended = Some(9999);
        assert_eq!(containers.meet(&membership(50_000), 1, true).1, Met::New);
        assert!(containers.get_mut(&membership(77).id).is_none());
        assert_eq!(containers.meet(&membership(50_001), 1, true).1, Met::NewInsteadOfLive);
        assert_eq!(containers.len(), MOST_CONTAINERS);
    }

    #[test]
    fn the_entrypoint_stays_among_the_processes() {
        let mut containers = Containers::default();
        let (container, _) = containers.meet(&membership(1), 5, true);
        (1..100).for_each(|pid| container.note_pid(pid));
        assert_eq!((container.pids[0], container.pids.len()), (1, MOST_PIDS));
    }
}
