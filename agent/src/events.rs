//! Events as they go on the wire.

use std::collections::BTreeMap;

use stella_api::runtime::{
    DRIFT, DRIFT_PATH, Delta, EVENT_SCHEMA, EXECUTED, EventEnvelope, EventKind, Evidence, GAP, IMAGE_DIGEST,
    OBSERVED_FROM_START, OBSERVED_OPENINGS, ProcessInfo, RuntimeEvent, RuntimeInfo, WorkloadRef,
};
use stella_domain::{Hasher, Timestamp};

use crate::cgroup::{Engine, Membership};
use crate::containers::{Container, Drifted, Used};
use crate::identity::{Identity, Workload};
use crate::lost_event::LostEvent;
use crate::observation::SeenFile;

/// What all events of one run of the agent share.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The node's name.
    pub node: String,
    /// The tenant the agent believes it reports for.
    pub tenant: String,
    /// The kernel's name of this boot.
    pub boot_id: String,
    /// When this run began, in nanoseconds since boot; tells the observations of two runs apart.
    pub run: u64,
    /// The runtime of the node, when one answers.
    pub runtime: Option<RuntimeInfo>,
    /// The way in which mappings are seen.
    pub hook: String,
    /// Whether openings of code files are seen.
    pub openings: bool,
}

#[cfg(test)]
impl Origin {
    /// One for tests.
    pub fn of_tests() -> Self {
        Self {
            node: "n".to_owned(),
            tenant: "tenant-default".to_owned(),
            boot_id: "b".to_owned(),
            run: 1,
            runtime: None,
            hook: "fentry".to_owned(),
            openings: true,
        }
    }
}

impl Origin {
    /// The start of a container.
    #[must_use]
    pub fn start(&self, container: &Container, when: Timestamp) -> RuntimeEvent {
        let started = container.entrypoint.started.to_string();
        let run = self.run.to_string();
        // Seen from its start, a container's start is one occurrence whoever reports it. An observation that began
        // later is one of this run of the agent.
        let distinction = if container.from_start { started } else { format!("{started} {run}") };
        let mut event = self.event(container, EventKind::ContainerStart, when, &[&distinction]);
        event.process =
            Some(ProcessInfo { pid: container.entrypoint.pid, entrypoint: container.entrypoint.arguments.clone() });
        let program = container.entrypoint.program.iter();
        event.evidence.extend(program.map(|path| Evidence { signal: EXECUTED.to_owned(), value: path.clone() }));
        event.annotations.insert(OBSERVED_FROM_START.to_owned(), container.from_start.to_string());
        if container.from_start && self.openings {
            event.annotations.insert(OBSERVED_OPENINGS.to_owned(), true.to_string());
        }
        if let Identity::Known(workload) = &container.identity {
            for (signal, digest) in [("image.manifest", workload.manifest), ("image.config", workload.config)] {
                event.evidence.extend(digest.map(|d| Evidence { signal: signal.to_owned(), value: d.to_string() }));
            }
        }
        event
    }

    /// Libraries that were loaded; the library entries themselves are filled in later.
    #[must_use]
    pub fn libraries(&self, container: &Container, files: &[SeenFile], when: Timestamp) -> RuntimeEvent {
        let mut paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        let mut event = self.event(container, EventKind::LibrariesLoaded, when, &paths);
        event.evidence = vec![Evidence { signal: "mappings".to_owned(), value: self.hook.clone() }];
        event
    }

    /// A file that is not the image's, or a package database that was changed; its hash is filled in later.
    #[must_use]
    pub fn drift(&self, container: &Container, drifted: &Drifted, when: Timestamp) -> RuntimeEvent {
        let (path, reason) = (&drifted.file.path, drifted.reason());
        let mut event = self.event(container, EventKind::Drift, when, &[path, reason]);
        let mut delta = Delta {
            baseline_image_digest: event.annotations.get(IMAGE_DIGEST).cloned().unwrap_or_default(),
            ..Delta::default()
        };
        let place = match drifted.used {
            Used::Executed => &mut delta.new_binaries,
            Used::Mapped => &mut delta.unknown_libs,
            Used::Written(_) | Used::Removed(_) => &mut delta.changed_files,
        };
        place.push(path.clone());
        event.delta = Some(delta);
        let told = |signal: &str, value: &str| Evidence { signal: signal.to_owned(), value: value.to_owned() };
        event.evidence = vec![told(DRIFT, reason), told(DRIFT_PATH, path), told("drift.use", drifted.used.name())];
        match drifted.used.package_manager() {
            // It was found afterwards: who changed it is not known.
            Some(manager) => event.evidence.push(told("package.manager", manager)),
            None => {
                let executed = drifted.used == Used::Executed;
                let arguments = if executed { drifted.arguments.clone() } else { vec![drifted.command.clone()] };
                event.process = Some(ProcessInfo { pid: drifted.pid, entrypoint: arguments });
                event.evidence.push(told("process.command", &drifted.command));
            }
        }
        event
    }

    /// The end of a container.
    #[must_use]
    pub fn stop(&self, container: &Container, when: Timestamp) -> RuntimeEvent {
        self.event(container, EventKind::ContainerStop, when, &[&container.entrypoint.started.to_string()])
    }

    /// News of a gap, where no other event of the container can carry it.
    #[must_use]
    pub fn gap(&self, container: &Container, when: Timestamp) -> RuntimeEvent {
        self.event(container, EventKind::LibrariesLoaded, when, &["gap", &self.run.to_string()])
    }

    /// The same of a container that is forgotten, from an event of it that was lost. It is told with the end: a container that is
    /// forgotten has ended, and what told so may be lost, too.
    #[must_use]
    pub fn gap_of_lost(&self, lost: LostEvent, when: Timestamp) -> RuntimeEvent {
        let kind = EventKind::ContainerStop;
        let event_id = event_id(&self.boot_id, lost.container(), kind, &["gap", &self.run.to_string()]);
        let mut event = RuntimeEvent { event_id, when, kind, ..*lost.event };
        event.annotations.insert(GAP.to_owned(), lost.reason.name().to_owned());
        event
    }

    fn event(&self, container: &Container, kind: EventKind, when: Timestamp, subject: &[&str]) -> RuntimeEvent {
        let membership = &container.membership;
        let unknown = Workload::default();
        let workload = match &container.identity {
            Identity::Known(workload) => workload,
            _ => &unknown,
        };
        let mut annotations = BTreeMap::new();
        if let Some(digest) = workload.manifest.or(workload.config) {
            annotations.insert(IMAGE_DIGEST.to_owned(), digest.to_string());
        }
        if let Some(reason) = &container.gap {
            annotations.insert(GAP.to_owned(), reason.clone());
        }
        RuntimeEvent {
            event_id: event_id(&self.boot_id, &membership.id, kind, subject),
            when,
            kind,
            tenant: self.tenant.clone(),
            node: self.node.clone(),
            runtime: self.runtime_of(membership),
            workload: WorkloadRef {
                platform: if membership.pod_uid.is_some() || !workload.pod.is_empty() { "kubernetes" } else { "host" }
                    .to_owned(),
                namespace: workload.namespace.clone(),
                pod: workload.pod.clone(),
                container: workload.container.clone(),
                container_id: format!("{}://{}", membership.engine.name(), membership.id),
                image_ref: workload.image_ref.clone(),
            },
            process: None,
            loaded_libs: Vec::new(),
            posture: None,
            delta: None,
            evidence: Vec::new(),
            annotations,
        }
    }

    fn runtime_of(&self, membership: &Membership) -> RuntimeInfo {
        match &self.runtime {
            Some(runtime) if membership.engine != Engine::Process => runtime.clone(),
            _ => RuntimeInfo { engine: membership.engine.name().to_owned(), version: String::new() },
        }
    }
}

/// The id of an occurrence: the same whenever, and however often, it is reported.
fn event_id(boot_id: &str, container: &str, kind: EventKind, subject: &[&str]) -> String {
    let mut hasher = Hasher::new();
    hasher.field(boot_id);
    hasher.field(container);
    hasher.field(format!("{kind:?}"));
    for part in subject {
        hasher.field(part);
    }
    hasher.finish().hex()
}

/// Puts an event into its envelope.
#[must_use]
pub fn envelope(event: RuntimeEvent) -> EventEnvelope {
    EventEnvelope { schema_version: EVENT_SCHEMA.to_owned(), event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::Containers;
    use crate::observation::FileOrigin;

    fn with_container(from_start: bool, check: impl FnOnce(&mut Container)) {
        let membership = Membership { engine: Engine::Crio, id: "ab".repeat(32), pod_uid: None };
        check(Containers::default().meet(&membership, 1, from_start).0);
    }

    fn file(path: &str) -> SeenFile {
        SeenFile { path: path.to_owned(), inode: 7, device: 1, opened: false, origin: FileOrigin::Image }
    }

    #[test]
    fn the_id_of_a_set_of_libraries_ignores_order_and_time() {
        with_container(true, |container| {
            let id = |files: &[SeenFile], at| {
                Origin::of_tests().libraries(container, files, Timestamp::from_millis(at)).event_id
            };
            assert_eq!(id(&[file("/a"), file("/b")], 1), id(&[file("/b"), file("/a")], 2));
            assert_ne!(id(&[file("/a")], 1), id(&[file("/b")], 1));
            assert_eq!(id(&[file("/a")], 1).len(), 64);
        });
    }

    #[test]
    fn a_late_observation_is_told_apart_from_that_of_an_earlier_run() {
        let ids = |from_start| {
            let mut ids = Vec::new();
            with_container(from_start, |container| {
                for run in [1, 2] {
                    ids.push(Origin { run, ..Origin::of_tests() }.start(container, Timestamp::from_millis(0)).event_id);
                }
            });
            ids[0] == ids[1]
        };
        assert!(ids(true));
        assert!(!ids(false));
    }

    #[test]
    fn a_start_names_image_digest_and_where_the_observation_began() {
        with_container(true, |container| {
            let digest = stella_domain::Digest::of("m");
            container.identity =
                Identity::Known(Workload { manifest: Some(digest), pod: "p".to_owned(), ..Workload::default() });
            container.gap = Some("ring-full".to_owned());
            let event = Origin::of_tests().start(container, Timestamp::from_millis(0));
            assert_eq!(event.annotations[IMAGE_DIGEST], digest.to_string());
            assert_eq!(event.annotations[OBSERVED_FROM_START], "true");
            assert_eq!(event.annotations[OBSERVED_OPENINGS], "true");
            assert_eq!(event.annotations[GAP], "ring-full");
            assert_eq!(event.workload.platform, "kubernetes");
            assert_eq!(event.workload.container_id, format!("cri-o://{}", "ab".repeat(32)));
        });
    }
}
