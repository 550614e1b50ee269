//! Streams in both their forms: server-sent events, and lines for those who prefer `application/x-ndjson`.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use stella_domain::Digest;

use crate::running::Operator;

const LINES: &str = "application/x-ndjson";
/// In which everything comes that is not waited for by the minute.
const PATIENCE: Duration = Duration::from_secs(60);

fn start() -> (tempfile::TempDir, Operator) {
    let data = tempfile::tempdir().unwrap();
    let operator = tokio::task::block_in_place(|| Operator::start(data.path(), &["--allow-anonymous"]));
    (data, operator)
}

/// The path of a scan that waits: nobody runs the image, and no registry is named.
async fn waiting_scan(operator: &Operator) -> String {
    let body = json!({"image": {"digest": Digest::of("nobody has it").to_string()}});
    let asked = operator.request(Method::POST, "/api/v1/scans").json(&body).send().await.unwrap();
    asked.json::<Value>().await.unwrap()["location"].as_str().unwrap().to_owned()
}

async fn open(operator: &Operator, path: &str, accept: &str, after: Option<&str>) -> Response {
    let asked = operator.request(Method::GET, path).header("accept", accept);
    let asked = after.into_iter().fold(asked, |asked, id| asked.header("last-event-id", id));
    tokio::time::timeout(PATIENCE, asked.send()).await.expect("an answer").unwrap()
}

/// A stream that is read line by line.
struct Lines {
    answer: Response,
    rest: String,
}

impl Lines {
    fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), 200);
        for (name, value) in [("content-type", LINES), ("cache-control", "no-store"), ("x-accel-buffering", "no")] {
            assert_eq!(answer.headers()[name], value, "{name}");
        }
        Self { answer, rest: String::new() }
    }

    /// The next event; `None` at the end. Signs of life are passed over.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((line, rest)) = self.rest.split_once('\n') {
                let event = (!line.is_empty()).then(|| serde_json::from_str(line).expect(line));
                self.rest = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("something is said").unwrap();
            let Some(chunk) = chunk else {
                assert_eq!(self.rest, "", "the last line is whole");
                return None;
            };
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_follow_a_scan_to_its_end_and_resume() {
    let (_data, operator) = start();
    let scan = waiting_scan(&operator).await;
    let events = format!("{scan}/events");
    let mut lines = Lines::of(open(&operator, &events, LINES, None).await);
    let first = lines.next().await.unwrap();
    assert_eq!((&first["sequence"], &first["state"]), (&json!(1), &json!("Pending")), "{first}");
    assert!(first.get("id").is_none(), "the event and nothing else: {first}");

    let so_far = open(&operator, &format!("{events}?format=jsonl"), "*/*", None).await;
    let so_far = tokio::time::timeout(PATIENCE, so_far.text()).await.expect("it does not follow").unwrap();
    assert!(so_far.contains("\"sequence\":1,") && !so_far.contains("Cancelled"), "{so_far}");

    assert_eq!(operator.request(Method::DELETE, &scan).send().await.unwrap().status(), 200);
    let mut all = vec![first];
    while let Some(event) = lines.next().await {
        all.push(event);
    }
    assert_eq!(all.last().unwrap()["state"], "Cancelled", "{all:?}");
    let numbers: Vec<_> = all.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());

    let server_sent = open(&operator, &events, "text/event-stream", None).await;
    assert_eq!(server_sent.headers()["content-type"], "text/event-stream");
    let told = server_sent.text().await.unwrap();
    let told: Vec<Value> =
        told.lines().filter_map(|l| l.strip_prefix("data: ")).map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(told, all, "both forms tell the same");

    let mut resumed = Lines::of(open(&operator, &format!("{events}?format=jsonl"), LINES, Some("1")).await);
    for expected in &all[1..] {
        assert_eq!(resumed.next().await.as_ref(), Some(expected));
    }
    assert_eq!(resumed.next().await, None);
    let last = all.len().to_string();
    assert_eq!(open(&operator, &events, LINES, Some(&last)).await.status(), 204, "there is nothing after the end");
    for wrong in ["soon", &"1".repeat(65)] {
        assert_eq!(open(&operator, &events, LINES, Some(wrong)).await.status(), 400, "{wrong}");
    }
    let server_sent = open(&operator, &format!("{events}?format=sse"), LINES, None).await;
    assert_eq!(server_sent.headers()["content-type"], "text/event-stream", "the format goes before Accept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_the_products_own_streams_say_where_they_stand() {
    let (_data, operator) = start();
    let verdicts = "/api/v1/admission/verdicts";
    let mut lines = Lines::of(open(&operator, verdicts, LINES, None).await);
    let first = lines.next().await.unwrap();
    assert_eq!(first["type"], "begin", "{first}");
    let ready = loop {
        let update = lines.next().await.unwrap();
        assert!(update["id"].is_string(), "{update}");
        if update["type"] == "ready" {
            break update;
        }
    };
    drop(lines);
    let mut resumed = Lines::of(open(&operator, verdicts, LINES, ready["id"].as_str()).await);
    if let Ok(update) = tokio::time::timeout(Duration::from_secs(2), resumed.next()).await {
        assert_ne!(update.unwrap()["type"], "begin", "a change, and no new snapshot");
    }
    let work = "/api/v1/nodes/node-1/work";
    Lines::of(open(&operator, work, LINES, None).await);
    assert_eq!(open(&operator, work, "text/event-stream", None).await.headers()["content-type"], "text/event-stream");
    for path in [verdicts, work] {
        assert_eq!(open(&operator, path, LINES, Some(&"1".repeat(65))).await.status(), 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_shows_that_it_lives_and_ends_after_a_minute() {
    let (_data, operator) = start();
    let events = format!("{}/events", waiting_scan(&operator).await);
    let begun = Instant::now();
    let read = async |accept: &str| {
        let text = open(&operator, &events, accept, None).await.text();
        tokio::time::timeout(2 * PATIENCE, text).await.expect("it ends").unwrap()
    };
    let (server_sent, lines) = tokio::join!(read("text/event-stream"), read(LINES));
    assert!(begun.elapsed() > Duration::from_secs(59), "{:?}", begun.elapsed());
    assert!(server_sent.ends_with("retry: 1000\n\n"), "{server_sent}");
    assert!(lines.ends_with("{\"retry\":1000}\n"), "{lines}");
    let alive = |text: &str, sign: &str| text.lines().filter(|line| line.trim_end() == sign).count();
    assert!(alive(&server_sent, ":") >= 3, "{server_sent}");
    assert!(alive(&lines, "") >= 3, "{lines}");
    let mut resumed = Lines::of(open(&operator, &events, LINES, None).await);
    assert_eq!(resumed.next().await.unwrap()["sequence"], 1, "it can be asked for again");
}
