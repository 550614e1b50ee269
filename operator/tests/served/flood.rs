//! Clients that cost a server something without asking for much: slow ones, silent ones, thousands of streams, headers without
//! end. Whether the server lives can be asked all the while, and whoever holds a connection without need loses it.
//!
//! `$STELLA_STREAMS` is how many streams there are (1,000).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use stella_domain::Digest;
use stella_service::files;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::running::{Operator, number};

const TOKEN: &str = "a-token-of-many-clients";
/// In which every answer comes, and every connection that is held without need is closed. No figure: only not never.
const PATIENCE: Duration = Duration::from_secs(240);
/// Connections of each kind.
const EACH: usize = 100;
/// Streams that are opened at a time.
const AT_A_TIME: usize = 100;

fn operator() -> (tempfile::TempDir, Operator) {
    let data = tempfile::tempdir().unwrap();
    let token = data.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let operator = Operator::start(data.path(), &["--static-token-file", token.to_str().unwrap(), "--rate-limit", "0"]);
    (data, operator)
}

async fn connect(operator: &Operator) -> TcpStream {
    let address = operator.url.strip_prefix("http://").unwrap();
    tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await.expect("a connection").unwrap()
}

/// The whole answer to `request`, to the end of the connection.
async fn answer(operator: &Operator, request: &str) -> String {
    let mut stream = connect(operator).await;
    // What does not fit is refused before all of it is there.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks on ever new connections whether the server lives, until told to stop. Gives how often.
async fn alive(operator: &Operator, stop: CancellationToken) -> usize {
    let mut answered = 0;
    while !stop.is_cancelled() {
        let answer = answer(operator, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answered += 1;
        stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
    }
    answered
}

/// Writes a byte a second, and reads nothing, until the server will not have it any more.
async fn drip(mut stream: TcpStream) {
    let write = async {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, write).await.expect("the server closes the connection");
}

async fn begin(operator: &Operator, text: &str) -> TcpStream {
    let mut stream = connect(operator).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_clients_lose_their_connections_and_others_are_answered() {
    let (_data, operator) = operator();
    let head = format!("Host: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    let slow_header = format!("GET /policy/export HTTP/1.1\r\n{head}X-Long: ");
    let slow_body = format!("POST /scan HTTP/1.1\r\n{head}Content-Length: 1000000\r\n\r\n");
    let many_answers = "GET /openapi/v1.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let silent = async || {
        let mut stream = connect(&operator).await;
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await;
        assert_eq!(read.expect("the server closes the connection").unwrap_or_default(), 0);
    };
    let dripping = async |text: &str| drip(begin(&operator, text).await).await;
    let stop = CancellationToken::new();
    let held = async {
        tokio::join!(
            join_all((0..EACH).map(|_| silent())),
            join_all((0..EACH).map(|_| dripping(&slow_header))),
            join_all((0..EACH).map(|_| dripping(&slow_body))),
            join_all((0..4).map(|_| dripping(&many_answers))),
        );
        stop.cancel();
    };
    let (answered, ()) = tokio::join!(alive(&operator, stop.clone()), held);
    assert!(answered > 10, "{answered}");
    println!("{} connections were closed; /healthz was answered {answered} times meanwhile", 3 * EACH + 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_are_refused_and_the_connection_closed() {
    let (_data, operator) = operator();
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(200 * 1024));
    let asked = [many, long].into_iter().cycle().take(EACH).map(|headers| {
        let operator = &operator;
        async move { answer(operator, &format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await }
    });
    for answer in join_all(asked).await {
        // The refusal is lost when the connection is closed while the client still sends.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let answered = operator.request(Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(answered.status(), 200);
}

/// Opens a stream, and says so when its first bytes are there; gives all that came, to its end.
async fn follow(operator: &Operator, path: &str, opened: &AtomicUsize) -> String {
    let answer = operator.request(Method::GET, path).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    opened.fetch_add(1, Ordering::Relaxed);
    answer.text().await.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_streams_stay_open_and_all_hear_of_their_scan() {
    let (_data, mut operator) = operator();
    let streams = number("STELLA_STREAMS", 1_000);
    let needed = files::raise();
    assert!(needed > streams + 256, "{streams} streams need as many open files; here {needed} are allowed");
    operator.http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let operator = Arc::new(operator);
    // Nobody runs the image and no registry is named: the scan waits.
    let body = json!({"image": {"digest": Digest::of("nobody has it").to_string()}});
    let asked = operator.request(Method::POST, "/api/v1/scans").bearer_auth(TOKEN).json(&body).send().await.unwrap();
    let scan: Value = asked.json().await.unwrap();
    let path = format!("/api/v1/scans/{}", scan["scanId"].as_str().unwrap());

    let (opened, mut following) = (Arc::new(AtomicUsize::new(0)), tokio::task::JoinSet::new());
    let events = format!("{path}/events");
    let mut numbers = futures::stream::iter(0..streams).chunks(AT_A_TIME);
    while let Some(chunk) = numbers.next().await {
        let wanted = opened.load(Ordering::Relaxed) + chunk.len();
        for _ in chunk {
            let (operator, events, opened) = (Arc::clone(&operator), events.clone(), Arc::clone(&opened));
            following.spawn(async move { follow(&operator, &events, &opened).await });
        }
        let all = async {
            while opened.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the streams open");
    }
    for path in ["/healthz", &path] {
        let answered = operator.request(Method::GET, path).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answered.status(), 200, "{path} is answered beside {streams} streams");
    }
    let called_off = operator.request(Method::DELETE, &path).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(called_off.status(), 200);
    let heard = tokio::time::timeout(PATIENCE, following.join_all()).await.expect("the streams end");
    let told = heard.iter().filter(|text| text.contains("event: cancelled")).count();
    // One that was silent for its minute was told to come again.
    let sent_away = heard.iter().filter(|text| text.contains("retry:")).count();
    assert_eq!(told + sent_away, heard.len(), "{:?}", heard.iter().find(|text| !text.contains("event: cancelled")));
    assert!(told > 0);
    println!("{streams} streams: {told} heard the end, {sent_away} were told to come again");
}
