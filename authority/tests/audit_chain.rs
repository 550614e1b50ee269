//! The audit log as a whole: what is written verifies, whatever was done to it is found, and a killed process leaves a
//! chain that holds.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use stella_authority::audit::{AuditLog, CURRENT, Event, Fault, Head, Outcome, Place, What, verify, verify_files};
use stella_domain::Timestamp;
use stella_service::clock::Clock;

/// Names the folder that a child process writes to until it is killed.
const CHILD: &str = "STELLA_AUDIT_CHILD";

fn clock() -> Clock {
    Clock::stopped(Timestamp::from_millis(1_700_000_000_000))
}

fn event(number: usize) -> Event {
    Event::new(What::Token, Outcome::Success).subject(format!("subject {number}")).detail("é \"quoted\"\n")
}

async fn write(folder: &Path, lines: usize) -> Vec<Head> {
    let log = AuditLog::open(Place::new(folder), clock()).unwrap();
    let mut heads = Vec::new();
    for number in 0..lines {
        heads.push(log.write(event(number)).await.unwrap());
    }
    heads
}

fn lines(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join(CURRENT)).unwrap();
    text.lines().map(|line| format!("{line}\n")).collect()
}

fn fault(lines: &[String], head: Option<&Head>) -> Fault {
    verify(lines.concat().as_bytes(), None, head).unwrap_err().fault
}

#[tokio::test]
async fn changed_removed_inserted_moved_and_cut_lines_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let head = write(folder.path(), 9).await.pop().unwrap();
    let good = lines(folder.path());
    let checked = verify(good.concat().as_bytes(), Some(&Head::start()), Some(&head)).unwrap();
    assert_eq!((checked.lines, &checked.last, checked.torn), (10, &head, 0));

    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] = changed[at].replacen("2023", "2024", 1);
        assert!(matches!(fault(&changed, None), Fault::Changed(_)), "changed {at}");
        let mut spelled = good.clone();
        spelled[at] = spelled[at].replacen(':', ": ", 1);
        assert!(matches!(fault(&spelled, None), Fault::Changed(_)), "spelled otherwise {at}");

        let mut removed = good.clone();
        removed.remove(at);
        let wanted = |fault: &Fault| match at {
            // What is cut off an end is seen by what was kept elsewhere.
            0 => matches!(fault, Fault::Unlinked { .. }),
            9 => matches!(fault, Fault::Truncated { last: 9, head: 10 }),
            _ => matches!(fault, Fault::Unlinked { .. }),
        };
        let found = verify(removed.concat().as_bytes(), Some(&Head::start()), Some(&head)).unwrap_err().fault;
        assert!(wanted(&found), "removed {at}: {found}");

        let mut twice = good.clone();
        twice.insert(at, good[at].clone());
        assert!(matches!(fault(&twice, None), Fault::Unlinked { .. }), "inserted {at}");
        if at > 0 {
            let mut moved = good.clone();
            moved.swap(at - 1, at);
            assert!(verify(moved.concat().as_bytes(), Some(&Head::start()), None).is_err(), "moved {at}");
        }
    }
}

#[tokio::test]
async fn a_log_that_was_written_anew_has_another_head() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let head = write(folder.path(), 3).await.pop().unwrap();
    let log = AuditLog::open(Place::new(other.path()), clock()).unwrap();
    for _ in 0..5 {
        log.write(Event::new(What::Token, Outcome::Refused)).await.unwrap();
    }
    assert_eq!(fault(&lines(other.path()), Some(&head)), Fault::Rewritten(4));
}

#[tokio::test]
async fn files_put_aside_stay_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place { rotate_at: 1000, ..Place::new(folder.path()) };
    for _ in 0..3 {
        let log = AuditLog::open(place.clone(), clock()).unwrap();
        for number in 0..10 {
            log.write(event(number)).await.unwrap();
        }
    }
    let files = place.files().unwrap();
    assert!(files.len() > 5, "{files:?}");
    let head = place.kept_head().unwrap();
    let checked = verify_files(&files, Some(&head)).unwrap();
    assert_eq!((checked.lines, checked.last.seq), (31, 31));
    let mut without = files.clone();
    without.remove(2);
    assert!(matches!(verify_files(&without, None).unwrap_err().1.fault, Fault::Unlinked { .. }));
    // Killed between putting aside and beginning: the chain goes on.
    if fs::metadata(folder.path().join(CURRENT)).unwrap().len() == 0 {
        fs::remove_file(folder.path().join(CURRENT)).unwrap();
    }
    AuditLog::open(place.clone(), clock()).unwrap().write(event(0)).await.unwrap();
    assert_eq!(verify_files(&place.files().unwrap(), Some(&head)).unwrap().last.seq, 32);
}

#[tokio::test]
async fn two_writers_never_share_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let first = AuditLog::open(Place::new(folder.path()), clock()).unwrap();
    let second = AuditLog::open(Place::new(folder.path()), clock()).unwrap_err();
    assert!(second.to_string().contains("another process"), "{second}");
    first.write(event(0)).await.unwrap();
}

#[tokio::test]
async fn a_torn_line_is_cut_off_and_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 2).await;
    let path = folder.path().join(CURRENT);
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"at\":\"2023").unwrap();
    assert_eq!(verify(&*fs::read(&path).unwrap(), None, None).unwrap().torn, 11);
    write(folder.path(), 1).await;
    let found = lines(folder.path());
    assert!(found[3].contains("\"recovered\"") && found[3].contains("11 bytes of an unfinished line"), "{}", found[3]);
    assert_eq!(verify(found.concat().as_bytes(), None, None).unwrap().lines, 5);
}

#[tokio::test]
async fn a_cut_end_is_told_at_the_next_start_and_a_changed_one_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 4).await;
    let path = folder.path().join(CURRENT);
    let good = lines(folder.path());
    fs::write(&path, good[..3].concat()).unwrap();
    write(folder.path(), 1).await;
    let told = lines(folder.path());
    assert!(told[3].contains("its end was cut off") && told[3].contains("\"refused\""), "{}", told[3]);
    fs::write(&path, good.concat().replace("subject 3", "subject 7")).unwrap();
    assert!(AuditLog::open(Place::new(folder.path()), clock()).is_err());
}

/// Writes until it is killed, when this program was started for that.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let log = AuditLog::open(Place { rotate_at: 20_000, ..Place::new(folder) }, Clock::system()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let log = log.clone();
        tasks.spawn(async move {
            for number in 0.. {
                let head = log.write(event(worker * 1_000_000 + number)).await.unwrap();
                println!("ack {} {}", head.seq, head.hash);
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_killed_process_leaves_a_chain_that_holds_every_line_it_confirmed() {
    let rounds = std::env::var("STELLA_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_u64);
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    let mut confirmed = Vec::new();
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_killed", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| line.split("ack ").nth(1).map(str::to_owned)).collect::<Vec<_>>()
        });
        tokio::time::sleep(std::time::Duration::from_millis(80 + round * 37 % 150)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // A line of output may be torn as well.
        confirmed.extend(reader.join().unwrap().into_iter().filter(|line| line.len() > 65));
        // What a half written line looks like before the next start.
        verify_files(&place.files().unwrap(), place.kept_head().as_ref()).unwrap();
    }
    let files = place.files().unwrap();
    let checked = verify_files(&files, place.kept_head().as_ref()).unwrap();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let held: std::collections::BTreeSet<String> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|line| format!("{} {}", line["seq"], line["hash"].as_str().unwrap_or_default()))
        .collect();
    assert!(confirmed.len() > 100, "the children wrote {} lines", confirmed.len());
    for line in &confirmed {
        assert!(held.contains(line), "confirmed and not there: {line}");
    }
    println!("{rounds} kills: {} lines confirmed, {} held, {} files", confirmed.len(), checked.lines, files.len());
}
