use super::*;
use crate::pressure::fixture::Proc;

fn worker(proc: &Proc) -> Worker {
    let flags = crate::cli::Server {
        server: "http://127.0.0.1:9/".parse().ok(),
        token_file: None,
        exchange_token: false,
        ca_file: None,
    };
    Worker {
        client: Arc::new(crate::server::client(&flags, None).unwrap().unwrap()),
        node: "node-1".to_owned(),
        // What is begun is this test program, and shall end at once.
        child_flags: vec!["--list".into()],
        group: None,
        pressure: Arc::new(proc.gauge("")),
        metrics: Arc::new(Metrics::new()),
    }
}

#[tokio::test]
async fn nothing_is_begun_under_pressure_and_what_waited_begins_after_it() {
    let proc = Proc::new().stalled("io", "99.00");
    let worker = worker(&proc);
    let mut desk = Desk::new();
    let work = r#"{"type":"read","workId":"w1","imageRef":"registry.example/app:1"}"#;
    worker.take(&mut desk, work).await;
    assert!(desk.look_again > Instant::now());
    let look = async |desk: &mut Desk| {
        desk.look_again = Instant::now();
        worker.finished(desk).await;
    };
    look(&mut desk).await;
    assert!(desk.current.is_none() && desk.queue.len() == 1, "looked again, and it lasts");
    let _calm = proc.stalled("io", "1.00");
    look(&mut desk).await;
    let begun = desk.current.as_ref().map(|underway| underway.reading.work_id.as_str());
    assert_eq!((begun, desk.queue.len()), (Some("w1"), 0));
}

/// A process that is read by nobody stands for one that reads an image: the one that waits, or one that is new.
fn underway(desk: &mut Desk) -> u32 {
    begun(desk, Command::new("sleep").arg("60"))
}

fn begun(desk: &mut Desk, program: &mut Command) -> u32 {
    let reading = Reading { work_id: "w1".to_owned(), image_ref: None, digest: None, traceparent: None };
    let put_off = desk.queue.pop_front().map_or(0, |queued| queued.put_off);
    let child = program.kill_on_drop(true).spawn().unwrap();
    let pid = child.id().unwrap();
    let deadline = Instant::now() + READ_WITHIN;
    desk.current = Some(Underway { reading, put_off, child, deadline, stopped: None, ending: None });
    pid
}

/// The letter by which `/proc/PID/stat` shows what a process does.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// A signal is on its way for a moment.
async fn becomes(pid: u32, stopped: bool) {
    for _ in 0..250 {
        if (state(pid) == Some('T')) == stopped {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("process {pid} is {:?}", state(pid));
}

#[tokio::test]
async fn what_is_being_read_stands_still_under_pressure_and_that_is_no_time_it_takes() {
    let proc = Proc::new().stalled("cpu", "99.00");
    let worker = worker(&proc);
    let mut desk = Desk::new();
    let pid = underway(&mut desk);
    let deadline = |desk: &Desk| desk.current.as_ref().unwrap().deadline;
    let before = deadline(&desk);
    worker.look_after(&mut desk);
    becomes(pid, true).await;
    worker.look_after(&mut desk);
    assert!(desk.current.as_ref().unwrap().stopped.is_some(), "it lasts");
    let _calm = proc.stalled("cpu", "0.00");
    worker.look_after(&mut desk);
    becomes(pid, false).await;
    assert!(deadline(&desk) > before);
    desk.current.as_mut().unwrap().deadline = Instant::now();
    worker.look_after(&mut desk);
    worker.finished(&mut desk).await;
    assert!(desk.current.is_none() && state(pid).is_none());
    assert!(worker.metrics.render().contains("zastava_images_read_total{outcome=\"too-long\"} 1"));
}

#[tokio::test]
async fn what_is_being_read_while_memory_is_short_is_begun_again_and_at_last_given_up() {
    let proc = Proc::new().stalled("memory", "50.00");
    let worker = worker(&proc);
    let mut desk = Desk::new();
    for number in 1..=MOST_PUT_OFF {
        let pid = underway(&mut desk);
        // It is ended also where it stands still.
        desk.current.as_mut().unwrap().stop();
        worker.look_after(&mut desk);
        worker.finished(&mut desk).await;
        assert!(desk.current.is_none() && state(pid).is_none(), "its memory is free");
        assert_eq!(desk.queue.len(), usize::from(number < MOST_PUT_OFF), "after {number} times");
    }
    let text = worker.metrics.render();
    assert!(text.contains("zastava_images_read_total{outcome=\"put-off\"} 2"), "{text}");
    assert!(text.contains("zastava_images_read_total{outcome=\"given-up\"} 1"), "{text}");
}

const CANCEL: &str = r#"{"type":"cancel","workId":"w1"}"#;

#[tokio::test]
async fn an_image_is_not_given_up_for_what_another_one_was_put_off() {
    let proc = Proc::new().stalled("memory", "50.00");
    let worker = worker(&proc);
    let mut desk = Desk::new();
    for _ in 1..MOST_PUT_OFF {
        underway(&mut desk);
        worker.look_after(&mut desk);
        worker.finished(&mut desk).await;
    }
    worker.take(&mut desk, CANCEL).await;
    assert_eq!(desk.queue.len(), 0);
    underway(&mut desk);
    worker.look_after(&mut desk);
    worker.finished(&mut desk).await;
    assert_eq!(desk.queue.len(), 1, "it is put off for the first time");
}

#[tokio::test]
async fn what_is_cancelled_on_its_way_out_is_not_begun_again() {
    let proc = Proc::new().stalled("memory", "50.00");
    let worker = worker(&proc);
    let mut desk = Desk::new();
    underway(&mut desk);
    worker.look_after(&mut desk);
    worker.take(&mut desk, CANCEL).await;
    worker.finished(&mut desk).await;
    assert!(desk.current.is_none() && desk.queue.is_empty());
    let text = worker.metrics.render();
    assert!(text.contains("zastava_images_read_total{outcome=\"cancelled\"} 1"), "{text}");
}

#[tokio::test]
async fn what_was_read_when_it_should_have_been_put_off_is_not_read_twice() {
    let proc = Proc::new().stalled("memory", "50.00");
    let worker = worker(&proc);
    let mut desk = Desk::new();
    let pid = begun(&mut desk, &mut Command::new("true"));
    // Done, and nobody has noticed it.
    for _ in 0..250 {
        if state(pid) == Some('Z') {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(state(pid), Some('Z'));
    worker.look_after(&mut desk);
    worker.finished(&mut desk).await;
    assert!(desk.current.is_none() && desk.queue.is_empty());
    assert!(worker.metrics.render().contains("zastava_images_read_total{outcome=\"read\"} 1"));
}
