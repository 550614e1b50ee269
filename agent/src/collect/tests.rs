use stella_api::runtime::{EventKind, GAP, IMAGE_DIGEST, OBSERVED_FROM_START};

use super::*;
use crate::cgroup::Engine;
use crate::observation::FileOrigin;

const MS: u64 = 1_000_000;

fn collector(complete_since: Option<u64>) -> Collector {
    let origin = Origin::of_tests();
    Collector::new(origin, BootTime::at_millis(0), Delays::default(), complete_since)
}

fn process(container: u8, pid: u32, started: u64) -> Process {
    let membership =
        Membership { engine: Engine::Containerd, id: format!("{container:02x}").repeat(32), pod_uid: None };
    Process { container: membership, pid, started, command: "x".to_owned() }
}

fn file(path: &str) -> SeenFile {
    SeenFile { path: path.to_owned(), inode: 1, device: 1, opened: false, origin: FileOrigin::Image }
}

fn exec(process: Process, at: u64, first: bool) -> Observation {
    Observation::Exec { process, at, program: Some(file("/bin/app")), arguments: vec!["app".to_owned()], first }
}

fn know_all(collector: &mut Collector, now: u64) {
    for membership in collector.wanted() {
        collector.answered(&membership.id, Answer::Known(Workload::default()), now);
    }
}

fn kinds(due: &[Due]) -> Vec<EventKind> {
    due.iter().map(|due| due.event.kind).collect()
}

#[test]
fn a_container_starts_loads_and_stops_in_that_order() {
    let mut collector = collector(Some(0));
    let app = process(1, 100, 50);
    assert_eq!(collector.observe(exec(app.clone(), 1000 * MS, true)), Follow::LookAt(app.clone()));
    collector.observe(Observation::Mapped { process: app.clone(), at: 1001 * MS, file: file("/lib/libc.so.6") });
    assert!(collector.due(1002 * MS, false).is_empty(), "nobody knows the container yet");
    know_all(&mut collector, 1003 * MS);
    let start = collector.due(1003 * MS, false);
    assert_eq!(kinds(&start), [EventKind::ContainerStart]);
    assert_eq!(start[0].event.annotations[OBSERVED_FROM_START], "true");
    assert_eq!(start[0].event.process.as_ref().unwrap().entrypoint, ["app"]);
    let libraries = collector.due(1500 * MS, false);
    assert_eq!(kinds(&libraries), [EventKind::LibrariesLoaded]);
    assert_eq!(libraries[0].files, [file("/bin/app"), file("/lib/libc.so.6")]);
    collector.observe(Observation::Mapped { process: app.clone(), at: 1600 * MS, file: file("/lib/libm.so.6") });
    collector.observe(Observation::Exit { process: app, at: 1601 * MS });
    let end = collector.due(1602 * MS, false);
    assert_eq!(kinds(&end), [EventKind::LibrariesLoaded, EventKind::ContainerStop], "libraries do not outwait the end");
    collector.due(70_000 * MS, false);
    assert_eq!(collector.len(), 0, "forgotten after the grace");
}

#[test]
fn a_container_that_ran_before_is_not_observed_from_its_start() {
    let mut collector = collector(Some(1000 * MS));
    let old = process(1, 100, 50);
    let files = vec![file("/bin/app")];
    collector.observe(Observation::Running { process: old.clone(), at: 1100 * MS, arguments: vec![], files });
    // The kernel never saw this container before, so it takes the next program for the first.
    collector.observe(exec(process(1, 101, 105), 1200 * MS, true));
    know_all(&mut collector, 1300 * MS);
    let due = collector.due(1400 * MS, false);
    assert_eq!(due[0].event.annotations[OBSERVED_FROM_START], "false");
    assert_eq!(due[0].event.process.as_ref().unwrap().pid, 100);
}

#[test]
fn a_pass_that_meets_a_new_container_before_its_exec_is_read_does_not_make_it_late() {
    let mut collector = collector(Some(1000 * MS));
    let new = process(1, 100, 110);
    let files = vec![file("/bin/app")];
    collector.observe(Observation::Running { process: new.clone(), at: 1101 * MS, arguments: vec![], files });
    know_all(&mut collector, 1101 * MS);
    assert!(collector.due(1102 * MS, false).is_empty());
    collector.observe(exec(new, 1100 * MS, true));
    assert_eq!(collector.due(1103 * MS, false)[0].event.annotations[OBSERVED_FROM_START], "true");
}

#[test]
fn a_container_that_starts_while_hooks_are_being_attached_is_not_observed_from_its_start() {
    let mut collector = collector(Some(1000 * MS));
    collector.observe(exec(process(1, 100, 99), 999 * MS, true));
    collector.observe(exec(process(2, 200, 99), 1000 * MS, true));
    know_all(&mut collector, 1001 * MS);
    let early = collector.due(1002 * MS, false);
    assert_eq!(
        (kinds(&early), early[0].event.annotations[OBSERVED_FROM_START].as_str()),
        (vec![EventKind::ContainerStart], "true")
    );
    let late = collector.due(1400 * MS, false);
    assert_eq!(
        (kinds(&late), late[0].event.annotations[OBSERVED_FROM_START].as_str()),
        (vec![EventKind::ContainerStart], "false")
    );
}

#[test]
fn a_container_started_again_under_its_id_is_a_new_one() {
    let mut collector = collector(Some(0));
    collector.observe(exec(process(1, 100, 50), 1000 * MS, true));
    know_all(&mut collector, 1000 * MS);
    let first = collector.due(2000 * MS, false);
    collector.observe(Observation::Exit { process: process(1, 100, 50), at: 2500 * MS });
    collector.due(2600 * MS, false);
    collector.observe(exec(process(1, 200, 300), 3000 * MS, true));
    know_all(&mut collector, 3000 * MS);
    let second = collector.due(4000 * MS, false);
    assert_eq!(kinds(&second), [EventKind::ContainerStart, EventKind::LibrariesLoaded]);
    assert_ne!(first[0].event.event_id, second[0].event.event_id);
}

#[test]
fn a_loss_marks_its_container_or_all_and_only_once() {
    let mut collector = collector(Some(0));
    for (container, pid) in [(1, 100), (2, 200)] {
        collector.observe(exec(process(container, pid, 50), 1000 * MS, true));
    }
    know_all(&mut collector, 1000 * MS);
    collector.due(2000 * MS, false);
    let lost = |container| Observation::Lost { container, reason: LossReason::RingFull, count: 3 };
    collector.observe(lost(Some("01".repeat(8))));
    let due = collector.due(2001 * MS, false);
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].event.annotations[GAP], "ring-full");
    assert!(due[0].event.workload.container_id.ends_with(&"01".repeat(32)));
    collector.observe(lost(None));
    let due = collector.due(2002 * MS, false);
    assert_eq!(due.len(), 1, "the first container has its gap already");
    assert!(due[0].event.workload.container_id.ends_with(&"02".repeat(32)));
}

#[test]
fn a_gap_is_told_again_where_its_event_was_lost() {
    let mut collector = collector(Some(0));
    collector.observe(exec(process(1, 100, 50), 1000 * MS, true));
    know_all(&mut collector, 1000 * MS);
    collector.due(2000 * MS, false);
    collector.observe(Observation::Lost { container: None, reason: LossReason::SpoolUnwritable, count: 1 });
    let first = collector.due(2001 * MS, false);
    assert!(collector.due(2002 * MS, false).is_empty());
    collector.observe(Observation::EventLost(lost_event(&first[0].event, LossReason::SpoolUnwritable)));
    let again = collector.due(2003 * MS, false);
    assert_eq!((first.len(), again.len()), (1, 1));
    assert_eq!(again[0].event.annotations[GAP], "spool-unwritable");
    assert_eq!(again[0].event.event_id, first[0].event.event_id, "the same occurrence");
}

/// As it is read from its record.
fn lost_event(event: &RuntimeEvent, reason: LossReason) -> LostEvent {
    let record = serde_json::to_vec(&crate::events::envelope(event.clone())).unwrap();
    LostEvent::read(&record, reason).unwrap()
}

#[test]
fn a_container_that_is_forgotten_gets_its_gap_when_its_lost_event_is_told() {
    let mut collector = collector(Some(0));
    let app = process(1, 100, 50);
    collector.observe(exec(app.clone(), 1000 * MS, true));
    for membership in collector.wanted() {
        let workload = Workload {
            namespace: "shop".to_owned(),
            pod: "web".to_owned(),
            manifest: Some(stella_domain::Digest::of("m")),
            ..Workload::default()
        };
        collector.answered(&membership.id, Answer::Known(workload), 1000 * MS);
    }
    collector.observe(Observation::Exit { process: app, at: 1100 * MS });
    let all = collector.due(2000 * MS, true);
    assert_eq!(kinds(&all), [EventKind::ContainerStart, EventKind::LibrariesLoaded, EventKind::ContainerStop]);
    collector.due(70_000 * MS, false);
    assert_eq!(collector.len(), 0, "forgotten");

    // Hours later the disk has room again.
    collector.observe(Observation::Lost { container: None, reason: LossReason::SpoolUnwritable, count: 3 });
    collector.observe(Observation::EventLost(lost_event(&all[1].event, LossReason::SpoolUnwritable)));
    let due = collector.due(9_000_000 * MS, false);
    assert_eq!(kinds(&due), [EventKind::ContainerStop], "nothing else would end it for the server");
    assert_ne!(due[0].event.event_id, all[2].event.event_id, "its end as it was told first is another event");
    let event = &due[0].event;
    assert_eq!(event.annotations[GAP], "spool-unwritable");
    assert_eq!(event.workload, all[1].event.workload, "whose it was is known");
    assert_eq!(event.annotations[IMAGE_DIGEST], all[1].event.annotations[IMAGE_DIGEST]);
    assert!(event.loaded_libs.is_empty() && due[0].files.is_empty());
    assert!(collector.due(9_000_001 * MS, true).is_empty(), "once");
}

#[test]
fn a_lost_event_that_told_of_no_gap_makes_one_only_where_none_is_told() {
    let mut collector = collector(Some(0));
    collector.observe(exec(process(1, 100, 50), 1000 * MS, true));
    know_all(&mut collector, 1000 * MS);
    let all = collector.due(2000 * MS, false);
    let lost = lost_event(&all[1].event, LossReason::Refused);
    collector.observe(Observation::EventLost(lost.clone()));
    let gap = collector.due(2001 * MS, false);
    assert_eq!(gap[0].event.annotations[GAP], "refused");
    collector.observe(Observation::EventLost(lost));
    assert!(collector.due(2002 * MS, false).is_empty(), "its gap is told");
    collector.observe(Observation::EventLost(lost_event(&gap[0].event, LossReason::SpoolFull)));
    assert_eq!(collector.due(2003 * MS, false).len(), 1, "what told of it was lost");
}

#[test]
fn of_what_a_damaged_segment_held_every_gap_is_told_again() {
    let mut collector = collector(Some(0));
    for (container, pid) in [(1, 100), (2, 200)] {
        collector.observe(exec(process(container, pid, 50), 1000 * MS, true));
    }
    know_all(&mut collector, 1000 * MS);
    collector.due(2000 * MS, false);
    collector.observe(Observation::Lost { container: Some("01".repeat(8)), reason: LossReason::RingFull, count: 1 });
    assert_eq!(collector.due(2001 * MS, false).len(), 1);
    collector.observe(Observation::Lost { container: None, reason: LossReason::SpoolDamaged, count: 9 });
    let due = collector.due(2002 * MS, false);
    assert_eq!(due.len(), 2, "also of the one whose gap may have been in it");
    assert!(due.iter().all(|due| due.event.annotations[GAP] == "spool-damaged"));
}

#[test]
fn a_pass_that_no_longer_meets_a_container_ends_it() {
    let mut collector = collector(None);
    let app = process(1, 100, 50);
    collector.observe(Observation::Running { process: app, at: 1000 * MS, arguments: vec![], files: vec![] });
    know_all(&mut collector, 1000 * MS);
    collector.observe(Observation::SweepDone { began: 1000 * MS });
    assert_eq!(kinds(&collector.due(1500 * MS, false)), [EventKind::ContainerStart]);
    collector.observe(Observation::SweepDone { began: 2000 * MS });
    assert_eq!(kinds(&collector.due(2001 * MS, false)), [EventKind::ContainerStop]);
}

#[test]
fn nobody_knowing_a_container_delays_its_start_but_does_not_hide_it() {
    let mut collector = collector(Some(0));
    collector.observe(exec(process(1, 100, 50), 1000 * MS, true));
    let membership = collector.wanted().remove(0);
    collector.answered(&membership.id, Answer::NotYet, 1100 * MS);
    assert_eq!(collector.wanted().len(), 1, "asked again");
    collector.answered(&membership.id, Answer::NotYet, 6100 * MS);
    assert_eq!(collector.due(6100 * MS, false)[0].event.kind, EventKind::ContainerStart);
    assert_eq!(collector.take_met(), (1, 1), "one was met, and its owner stays unknown");
    assert_eq!(collector.take_met(), (0, 0), "counted once");
}

#[test]
fn init_and_ephemeral_containers_of_a_pod_are_containers_of_their_own() {
    let mut collector = collector(Some(0));
    let of_pod = |container, pid| {
        let mut process = process(container, pid, 50);
        process.container.pod_uid = Some("1f7a2c3d-5e6f-4a8b-9c0d-1e2f3a4b5c6d".to_owned());
        process
    };
    let (init, app, ephemeral) = (of_pod(1, 100), of_pod(2, 200), of_pod(3, 300));
    collector.observe(exec(init.clone(), 1000 * MS, true));
    collector.observe(Observation::Exit { process: init, at: 1100 * MS });
    collector.observe(exec(app, 1200 * MS, true));
    collector.observe(exec(ephemeral, 5000 * MS, true));
    for membership in collector.wanted() {
        let workload =
            Workload { pod: "web".to_owned(), container: membership.id[..2].to_owned(), ..Workload::default() };
        collector.answered(&membership.id, Answer::Known(workload), 5001 * MS);
    }
    let due = collector.due(6000 * MS, true);
    let of = |container: &str| -> Vec<EventKind> {
        due.iter().filter(|due| due.event.workload.container == container).map(|due| due.event.kind).collect()
    };
    use EventKind::{ContainerStart, ContainerStop, LibrariesLoaded};
    assert_eq!(of("01"), [ContainerStart, LibrariesLoaded, ContainerStop]);
    assert_eq!(of("02"), [ContainerStart, LibrariesLoaded]);
    assert_eq!(of("03"), [ContainerStart, LibrariesLoaded]);
    assert!(due.iter().all(|due| due.event.workload.pod == "web" && due.event.workload.platform == "kubernetes"));
}

#[test]
fn a_clock_that_is_set_changes_stamps_and_no_ids() {
    let app = process(1, 100, 50);
    let events = |set: Option<i64>| {
        let mut collector = collector(Some(0));
        collector.observe(exec(app.clone(), 1000 * MS, true));
        know_all(&mut collector, 1001 * MS);
        let mut due = collector.due(1002 * MS, true);
        if let Some(millis) = set {
            assert_eq!(collector.follow_clock(BootTime::at_millis(millis)), Some(millis));
        }
        collector.observe(Observation::Mapped { process: app.clone(), at: 2000 * MS, file: file("/lib/libm.so.6") });
        collector.observe(Observation::Exit { process: app.clone(), at: 3000 * MS });
        due.extend(collector.due(3001 * MS, true));
        due
    };
    let still = events(None);
    for millis in [-86_400_000, 86_400_000] {
        let set = events(Some(millis));
        let ids = |due: &[Due]| due.iter().map(|due| due.event.event_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&set), ids(&still), "set by {millis} ms");
        let last = |due: &[Due]| due.last().unwrap().event.when.as_millis();
        assert_eq!(last(&set) - last(&still), millis);
        assert_eq!(set[0].event.when, still[0].event.when);
    }
}

#[test]
fn an_ignored_container_is_never_reported() {
    let mut collector = collector(Some(0));
    collector.observe(exec(process(1, 100, 50), 1000 * MS, true));
    let membership = collector.wanted().remove(0);
    collector.answered(&membership.id, Answer::Ignored, 1100 * MS);
    collector.observe(Observation::Exit { process: process(1, 100, 50), at: 1200 * MS });
    assert!(collector.due(9000 * MS, true).is_empty());
    collector.due(70_000 * MS, false);
    assert_eq!(collector.len(), 0);
}

#[test]
fn many_libraries_make_several_events() {
    let mut collector = collector(Some(0));
    let app = process(1, 100, 50);
    collector.observe(exec(app.clone(), 1000 * MS, true));
    for n in 0..300 {
        collector.observe(Observation::Mapped {
            process: app.clone(),
            at: 1000 * MS,
            file: file(&format!("/lib/{n}")),
        });
    }
    know_all(&mut collector, 1000 * MS);
    let due = collector.due(1600 * MS, false);
    let sizes: Vec<usize> = due.iter().map(|due| due.files.len()).collect();
    assert_eq!(sizes, [0, 128, 128, 45]);
}

#[test]
fn a_file_that_is_not_the_images_is_drift_once_and_memory_is_no_library() {
    let mut collector = collector(Some(0));
    let app = process(1, 100, 50);
    collector.observe(exec(app.clone(), 1000 * MS, true));
    let of = |path: &str, origin| SeenFile { origin, ..file(path) };
    for at in [1001, 1002] {
        for (path, origin) in [("/tmp/tool", FileOrigin::Upper), ("memfd:x", FileOrigin::Memory)] {
            let (process, program) = (process(1, 101, 60), Some(of(path, origin)));
            let arguments = vec!["tool".to_owned(), "-x".to_owned()];
            collector.observe(Observation::Exec { process, at: at * MS, program, arguments, first: false });
        }
        let mapped = of("/data/x.so", FileOrigin::Volume);
        collector.observe(Observation::Mapped { process: app.clone(), at: at * MS, file: mapped });
    }
    know_all(&mut collector, 1003 * MS);
    let due = collector.due(2000 * MS, false);
    let drifts: Vec<&Due> = due.iter().filter(|due| due.event.kind == EventKind::Drift).collect();
    let why = |due: &Due| due.event.evidence.iter().find(|e| e.signal == "drift").unwrap().value.clone();
    assert_eq!(drifts.iter().map(|due| why(due)).collect::<Vec<_>>(), ["upper-layer", "memory", "volume"]);
    assert_eq!(drifts[0].event.delta.as_ref().unwrap().new_binaries, ["/tmp/tool"]);
    assert_eq!(drifts[2].event.delta.as_ref().unwrap().unknown_libs, ["/data/x.so"]);
    assert_eq!(drifts[0].event.process.as_ref().unwrap().entrypoint, ["tool", "-x"]);
    let libraries = due.iter().filter(|due| due.event.kind == EventKind::LibrariesLoaded).flat_map(|due| &due.files);
    let loaded: Vec<&str> = libraries.map(|file| file.path.as_str()).collect();
    assert_eq!(loaded, ["/bin/app", "/data/x.so", "/tmp/tool"]);
    assert!(collector.due(3000 * MS, true).is_empty());
}

#[test]
fn what_a_process_does_under_a_pid_of_before_is_its_own_containers() {
    let mut collector = collector(Some(0));
    let (old, new) = (process(1, 4711, 50), process(2, 4711, 90));
    collector.observe(exec(old.clone(), 1000 * MS, true));
    collector.observe(Observation::Mapped { process: old.clone(), at: 1001 * MS, file: file("/lib/old.so") });
    collector.observe(Observation::Exit { process: old.clone(), at: 1010 * MS });
    // The kernel gives the number again at once, in another container.
    collector.observe(exec(new.clone(), 1011 * MS, true));
    collector.observe(Observation::Mapped { process: new.clone(), at: 1012 * MS, file: file("/lib/new.so") });
    know_all(&mut collector, 1013 * MS);
    let due = collector.due(9000 * MS, false);
    let libraries = |process: &Process| -> Vec<String> {
        let of_it = |due: &&Due| due.event.workload.container_id.ends_with(&process.container.id);
        due.iter().filter(of_it).flat_map(|due| &due.files).map(|file| file.path.clone()).collect()
    };
    assert_eq!(libraries(&old), ["/bin/app", "/lib/old.so"]);
    assert_eq!(libraries(&new), ["/bin/app", "/lib/new.so"]);
}

#[test]
fn a_changed_package_database_is_drift_once_and_no_library() {
    let mut collector = collector(Some(0));
    let app = process(1, 100, 50);
    collector.observe(exec(app.clone(), 1000 * MS, true));
    let changed = |path: &str, removed| ChangedDatabase { manager: "dpkg", path: path.to_owned(), inode: 5, removed };
    for at in [1001, 61_001] {
        for (path, removed) in [("/var/lib/dpkg/status", false), ("/lib/apk/db/installed", true)] {
            let (process, database) = (app.clone(), changed(path, removed));
            collector.observe(Observation::DatabaseChanged { process, at: at * MS, database });
        }
    }
    know_all(&mut collector, 61_002 * MS);
    let due = collector.due(61_003 * MS, true);
    let drifts: Vec<&Due> = due.iter().filter(|due| due.event.kind == EventKind::Drift).collect();
    let told = |due: &Due, signal: &str| due.event.evidence.iter().find(|e| e.signal == signal).unwrap().value.clone();
    assert_eq!(drifts.iter().map(|due| told(due, "drift.use")).collect::<Vec<_>>(), ["written", "removed"]);
    assert_eq!(told(drifts[0], "drift"), "package-database");
    assert_eq!(told(drifts[0], "package.manager"), "dpkg");
    assert_eq!(drifts[0].event.process, None, "who changed it is not known");
    assert_eq!(drifts[0].event.delta.as_ref().unwrap().changed_files, ["/var/lib/dpkg/status"]);
    assert_eq!((drifts[0].files.len(), drifts[1].files.len()), (1, 0), "what is removed cannot be read");
    let libraries = due.iter().filter(|due| due.event.kind == EventKind::LibrariesLoaded).flat_map(|due| &due.files);
    assert_eq!(libraries.map(|file| file.path.as_str()).collect::<Vec<_>>(), ["/bin/app"]);
}
