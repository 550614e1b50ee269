use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { bytes: 64 << 20, sync_each: false };

fn record(n: usize) -> Vec<u8> {
    format!("record {n} {}", "x".repeat(n % 37)).into_bytes()
}

fn open(dir: &Path) -> (Spool, Recovered) {
    Spool::open(dir, LIMITS).unwrap()
}

fn drain(spool: &mut Spool, most: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let batch = spool.peek(most, 1 << 20).unwrap();
        let Some(end) = batch.end else { return all };
        all.extend(batch.records);
        spool.acknowledge(end).unwrap();
    }
}

fn append(spool: &mut Spool, numbers: std::ops::Range<usize>) {
    for n in numbers {
        spool.append(&record(n)).unwrap();
    }
}

fn only_segment(dir: &Path) -> PathBuf {
    path_of(dir, *numbers(dir).unwrap().last().unwrap())
}

#[test]
fn gives_records_in_order_and_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    for n in 0..100 {
        assert_eq!(spool.append(&record(n)).unwrap(), Dropped::default());
    }
    assert_eq!(spool.len(), 100);
    assert_eq!(drain(&mut spool, 7), (0..100).map(record).collect::<Vec<_>>());
    assert_eq!(spool.len(), 0);
    assert!(spool.peek(7, 1000).unwrap().end.is_none());
}

#[test]
fn what_was_peeked_and_not_acknowledged_comes_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    append(&mut spool, 0..10);
    let first = spool.peek(4, 1 << 20).unwrap();
    spool.acknowledge(first.end.unwrap()).unwrap();
    assert_eq!(spool.peek(4, 1 << 20).unwrap().records.len(), 4);
    drop(spool);
    let (mut spool, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered { records: 6, ..Recovered::default() });
    assert_eq!(drain(&mut spool, 100), (4..10).map(record).collect::<Vec<_>>());
}

#[test]
fn a_segment_cut_at_any_byte_gives_a_prefix_and_takes_new_records() {
    let source = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(source.path());
    append(&mut spool, 0..8);
    drop(spool);
    let whole = fs::read(only_segment(source.path())).unwrap();
    for cut in 0..=whole.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path_of(dir.path(), 1), &whole[..cut]).unwrap();
        let (mut spool, recovered) = open(dir.path());
        spool.append(b"new").unwrap();
        let got = drain(&mut spool, 3);
        let (last, prefix) = got.split_last().unwrap();
        assert_eq!(last, b"new", "cut at {cut}");
        assert_eq!(prefix, (0..prefix.len()).map(record).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(recovered.records, prefix.len() as u64);
        assert!(cut < whole.len() || prefix.len() == 8);
    }
}

#[test]
fn a_cursor_cut_at_any_byte_only_repeats_records() {
    let source = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(source.path());
    append(&mut spool, 0..8);
    spool.acknowledge(spool.peek(5, 1 << 20).unwrap().end.unwrap()).unwrap();
    drop(spool);
    let cursor = fs::read(source.path().join("cursor")).unwrap();
    let whole = fs::read(only_segment(source.path())).unwrap();
    for cut in 0..=cursor.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path_of(dir.path(), 1), &whole).unwrap();
        fs::write(dir.path().join("cursor"), &cursor[..cut]).unwrap();
        let got = drain(&mut open(dir.path()).0, 3);
        let expected = if got.len() == 3 { 5..8 } else { 0..8 };
        assert_eq!(got, expected.map(record).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn the_oldest_go_first_when_it_is_full_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 1 << 20, sync_each: false };
    let (mut spool, _) = Spool::open(dir.path(), limits).unwrap();
    let big = |n: usize| [record(n), vec![b'y'; 10_000]].concat();
    assert!(spool.has_room());
    let (mut dropped, mut read) = (0, Vec::new());
    for n in 0..300 {
        let Dropped { count, records } = spool.append(&big(n)).unwrap();
        dropped += count;
        read.extend(records);
    }
    assert!(dropped > 0 && spool.bytes() <= limits.bytes && !spool.has_room());
    assert_eq!(read, (0..read.len()).map(big).collect::<Vec<_>>(), "what goes is shown");
    assert_eq!(read.len() as u64, dropped);
    let kept = drain(&mut spool, 10);
    assert!(spool.has_room());
    assert_eq!(kept.len() as u64 + dropped, 300, "every record is kept or counted");
    let first = 300 - kept.len();
    assert_eq!(kept, (first..300).map(big).collect::<Vec<_>>());
}

#[test]
fn records_dropped_while_they_were_being_sent_do_not_move_the_cursor_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = Spool::open(dir.path(), Limits { bytes: 1 << 20, sync_each: false }).unwrap();
    let big = vec![b'y'; 10_000];
    spool.append(&big).unwrap();
    let sending = spool.peek(1, 1 << 20).unwrap();
    for _ in 0..300 {
        spool.append(&big).unwrap();
    }
    let before = spool.len();
    spool.acknowledge(sending.end.unwrap()).unwrap();
    assert_eq!(spool.len(), before);
    assert_eq!(drain(&mut spool, 100).len() as u64, before);
}

#[test]
fn a_record_larger_than_the_batch_still_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    spool.append(&vec![1; 5000]).unwrap();
    spool.append(&[2]).unwrap();
    assert_eq!(spool.peek(10, 100).unwrap().records.len(), 1);
    assert!(spool.append(&vec![0; segment::MOST_CONTENT + 1]).is_err());
    assert_eq!(drain(&mut spool, 10).len(), 2);
}

#[test]
fn what_the_disk_lost_while_it_waited_is_counted_and_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    append(&mut spool, 0..10);
    let second = FIRST + 8 + record(0).len() as u64;
    let file = fs::OpenOptions::new().write(true).open(only_segment(dir.path())).unwrap();
    file.write_all_at(b"rot", second + 8).unwrap();
    let batch = spool.peek(100, 1 << 20).unwrap();
    assert_eq!((batch.records.clone(), batch.damaged), (vec![record(0)], 9));
    spool.acknowledge(batch.end.unwrap()).unwrap();
    assert_eq!(spool.len(), 0);
    append(&mut spool, 10..12);
    assert_eq!(drain(&mut spool, 100), (10..12).map(record).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_counted_is_not_forgotten_and_what_has_nothing_after_it_always() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    append(&mut spool, 0..10);
    let (part, whole) = (spool.peek(4, 1 << 20).unwrap().end.unwrap(), spool.peek(10, 1 << 20).unwrap().end.unwrap());
    let (segment, away) = (only_segment(dir.path()), dir.path().join("away"));
    fs::rename(&segment, &away).unwrap();
    assert!(spool.acknowledge(part).is_err());
    assert_eq!((spool.len(), spool.has_passed(part)), (10, false));
    fs::rename(&away, &segment).unwrap();
    assert_eq!(spool.peek(1, 1 << 20).unwrap().records, [record(0)]);
    fs::rename(&segment, &away).unwrap();
    spool.acknowledge(whole).unwrap();
    assert_eq!((spool.len(), spool.has_passed(whole)), (0, true));
}

/// A disk of so many bytes; `None` without the right to mount one. It is taken away when this goes.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        assert!(!rustix::process::geteuid().is_root(), "root can mount a disk of its own");
        eprintln!("SKIPPED: a disk of its own cannot be mounted (root is needed)");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no byte.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path().join("filling")).unwrap();
        for size in [1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        let _ = fs::remove_file(self.path().join("filling"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_costs_what_it_has_no_room_for_and_nothing_else() {
    let Some(disk) = Disk::new(1 << 20) else { return };
    let open = || Spool::open(disk.path(), Limits { bytes: 4 << 20, sync_each: false }).unwrap();
    let (mut spool, _) = open();
    let big = |n: usize| [record(n), vec![b'y'; 10_000]].concat();
    let (mut kept, mut refused) = (Vec::new(), 0);
    for n in 0..200 {
        match spool.append(&big(n)) {
            Ok(dropped) => {
                assert_eq!(dropped.count, 0);
                kept.push(big(n));
            }
            Err(error) => {
                assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
                refused += 1;
            }
        }
    }
    assert!(refused > 50 && spool.len() + refused == 200, "{refused} were refused");
    disk.fill();
    // What is sent is forgotten, also where the cursor cannot be written, and its segments make room.
    let batch = spool.peek(50, 1 << 20).unwrap();
    let _ = spool.acknowledge(batch.end.unwrap());
    assert_eq!(spool.len() as usize, kept.len() - 50);
    drop(spool);
    // A new start finds the same disk: it opens, and sends some again.
    disk.fill();
    let (mut spool, recovered) = open();
    assert!(recovered.records as usize >= kept.len() - 50 && recovered.damaged == 0, "{recovered:?}");
    assert!(spool.append(&big(1000)).is_err());
    disk.empty();
    spool.append(&big(1001)).unwrap();
    let got = drain(&mut spool, 10);
    assert_eq!(got.last(), Some(&big(1001)));
    assert!(kept.ends_with(&got[..got.len() - 1]));
    append(&mut spool, 0..10);
    assert_eq!(drain(&mut spool, 3), (0..10).map(record).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_had_no_room_is_made_when_there_is_some() {
    let Some(disk) = Disk::new(1 << 20) else { return };
    let limits = Limits { bytes: 1 << 20, sync_each: true };
    let (mut spool, _) = Spool::open(disk.path(), limits).unwrap();
    // The next record needs a new segment.
    let big = vec![b'y'; 60_000];
    spool.append(&big).unwrap();
    disk.fill();
    for _ in 0..3 {
        assert!(spool.append(&big).is_err());
    }
    assert_eq!(spool.len(), 1);
    disk.empty();
    spool.append(&big).unwrap();
    assert_eq!(drain(&mut spool, 10).len(), 2);
    // On a disk that is full for good, what was sent makes room for what comes.
    disk.fill();
    spool.append(&big).unwrap();
    assert_eq!(drain(&mut spool, 10).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is done while a disk is full and empty in turn: what was taken comes out once, in its order.
    #[test]
    fn survives_any_sequence_of_full_disks(steps in prop::collection::vec(0u8..10, 1..60)) {
        let Some(disk) = Disk::new(256 << 10) else { return Ok(()) };
        let big = |n: usize| [record(n), vec![b'z'; 7_000]].concat();
        let open = || Spool::open(disk.path(), Limits { bytes: 1 << 20, sync_each: false }).unwrap().0;
        let mut spool = open();
        let (mut taken, mut next) = (std::collections::VecDeque::new(), 0);
        for step in steps {
            match step {
                0..=4 => {
                    if spool.append(&big(next)).is_ok() {
                        taken.push_back(big(next));
                    }
                    next += 1;
                }
                5 => disk.fill(),
                6 => disk.empty(),
                7..=8 => {
                    let batch = spool.peek(3, 1 << 20).unwrap();
                    prop_assert_eq!(batch.damaged, 0);
                    for got in &batch.records {
                        prop_assert_eq!(got, &taken.pop_front().unwrap());
                    }
                    if let Some(end) = batch.end {
                        let _ = spool.acknowledge(end);
                    }
                }
                _ => {
                    drop(spool);
                    spool = open();
                    // Where the cursor could not be written, what was sent comes again: the server knows it.
                    let again = spool.len() as usize - taken.len();
                    if let Some(end) = spool.peek(again, 1 << 20).unwrap().end.filter(|_| again > 0) {
                        let _ = spool.acknowledge(end);
                    }
                }
            }
            prop_assert_eq!(spool.len() as usize, taken.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Appends, sends and kills in any order: nothing recorded and unsent is ever lost, nothing sent and
    /// acknowledged before the last kill comes again.
    #[test]
    fn survives_any_sequence_of_appends_sends_and_kills(steps in prop::collection::vec(0u8..10, 1..120)) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path()).0;
        let (mut written, mut sent) = (0, 0);
        for step in steps {
            match step {
                0..=5 => {
                    spool.append(&record(written)).unwrap();
                    written += 1;
                }
                6..=7 => {
                    let batch = spool.peek(3, 1 << 20).unwrap();
                    for got in &batch.records {
                        prop_assert_eq!(got, &record(sent));
                        sent += 1;
                    }
                    if let Some(end) = batch.end {
                        spool.acknowledge(end).unwrap();
                    }
                }
                8 => spool = open(dir.path()).0,
                _ => {
                    // Killed in the middle of a write: half a record at the end.
                    let path = only_segment(dir.path());
                    let mut bytes = fs::read(&path).unwrap();
                    bytes.extend([9, 0, 0, 0, 1, 2]);
                    fs::write(&path, bytes).unwrap();
                    spool = open(dir.path()).0;
                }
            }
            prop_assert_eq!(spool.len(), (written - sent) as u64);
        }
    }

    /// Whatever bytes stand in the folder, opening does not panic and what comes out are whole records.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        let mut content = b"stlspl1\n".to_vec();
        content.extend(&bytes);
        fs::write(path_of(dir.path(), 3), &content).unwrap();
        fs::write(dir.path().join("cursor"), &bytes).unwrap();
        let (mut spool, _) = open(dir.path());
        spool.append(b"new").unwrap();
        prop_assert_eq!(drain(&mut spool, 5).pop().unwrap(), b"new".to_vec());
    }
}
