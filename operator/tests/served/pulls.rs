//! Images that take for ever to be read.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, Uri};
use reqwest::Method;
use serde_json::{Value, json};

use crate::running::Operator;

/// A registry that never answers what is asked of it.
struct Deaf {
    host: String,
    /// How many wait for an answer.
    waiting: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// One who waits. It goes with the connection.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Deaf {
    async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (host, waiting) = (listener.local_addr().unwrap().to_string(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&waiting);
        let answer = move |uri: Uri| {
            let count = Arc::clone(&count);
            async move {
                if uri.path() != "/v2/" {
                    count.fetch_add(1, Ordering::SeqCst);
                    let _waiting = Waiting(count);
                    std::future::pending::<()>().await;
                }
                StatusCode::OK
            }
        };
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, waiting, task }
    }

    async fn has(&self, waiting: usize) {
        let begun = Instant::now();
        while self.waiting.load(Ordering::SeqCst) != waiting {
            let present = &self.waiting;
            assert!(begun.elapsed() < Duration::from_secs(20), "{present:?} wait for an answer, expected {waiting}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(data: &Path, registries: &[&Deaf]) -> Operator {
    let hosts: Vec<&str> = registries.iter().map(|registry| registry.host.as_str()).collect();
    let start = || Operator::start(data, &["--allow-anonymous", "--insecure-registry", &hosts.join(",")]);
    tokio::task::block_in_place(start)
}

async fn ask(operator: &Operator, method: Method, path: &str, body: &Value) -> Value {
    let answer = operator.request(method, path).json(body).send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{status}");
    answer.json().await.unwrap()
}

/// Asks for an image, and gives the path of the scan.
async fn submit(operator: &Operator, registry: &Deaf, tag: &str) -> String {
    let body = json!({"image": {"reference": format!("{}/team/app:{tag}", registry.host)}});
    ask(operator, Method::POST, "/api/v1/scans", &body).await["location"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_called_off_is_read_no_further() {
    let (data, registry) = (tempfile::tempdir().unwrap(), Deaf::serve().await);
    let operator = start(data.path(), &[&registry]);
    let scan = submit(&operator, &registry, "1").await;
    registry.has(1).await;
    assert_eq!(ask(&operator, Method::DELETE, &scan, &Value::Null).await["status"], "Cancelled");
    registry.has(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_away_is_asked_again_later() {
    let data = tempfile::tempdir().unwrap();
    let away = Deaf::serve().await;
    away.task.abort();
    let operator = start(data.path(), &[&away]);
    let scan = submit(&operator, &away, "1").await;
    let begun = Instant::now();
    loop {
        let answer = operator.request(Method::GET, &format!("{scan}/events?format=jsonl")).send().await.unwrap();
        let told = answer.text().await.unwrap();
        if told.contains("tried again in 10 s: ") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(&operator, Method::GET, &scan, &Value::Null).await["status"], "Pending");
    assert_eq!(ask(&operator, Method::DELETE, &scan, &Value::Null).await["status"], "Cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_registry_does_not_take_every_place() {
    let (data, one, other) = (tempfile::tempdir().unwrap(), Deaf::serve().await, Deaf::serve().await);
    let operator = start(data.path(), &[&one, &other]);
    for tag in ["1", "2", "3", "4"] {
        submit(&operator, &one, tag).await;
    }
    one.has(2).await;
    submit(&operator, &other, "1").await;
    other.has(1).await;
    one.has(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_over_which_processes_end_is_set_aside() {
    let (data, registry) = (tempfile::tempdir().unwrap(), Deaf::serve().await);
    let mut operator = start(data.path(), &[&registry]);
    let scan = submit(&operator, &registry, "1").await;
    for _ in 0..3 {
        registry.has(1).await;
        operator.kill();
        registry.has(0).await;
        operator = start(data.path(), &[&registry]);
    }
    let begun = Instant::now();
    let ended = loop {
        let state = ask(&operator, Method::GET, &scan, &Value::Null).await;
        if state["status"] == "Failed" {
            break state;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(ended["failureReason"], "set aside: 3 processes ended while they read the image");
    registry.has(0).await;
}
