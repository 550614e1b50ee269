//! Tags that name another image by now.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::Uri;
use reqwest::Method;
use serde_json::{Value, json};
use stella_domain::Digest;
use tokio::sync::watch;

use crate::database;
use crate::images::{Blobs, body};
use crate::running::{Operator, json_of};

const FEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/feeds");

/// A registry with one tag, which moves.
struct Moving {
    host: String,
    /// The number of the image that the tag names.
    image: Arc<AtomicU64>,
    /// Whether questions for the tag are answered.
    answers: watch::Sender<bool>,
    /// Questions for the tag so far.
    asked: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Moving {
    async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (host, image) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicU64::new(1)));
        let (answers, may_answer) = watch::channel(true);
        let (count, asked) = watch::channel(0);
        let (named, count) = (Arc::clone(&image), Arc::new(count));
        let answer = move |uri: Uri| {
            let (named, count, mut may_answer) = (Arc::clone(&named), Arc::clone(&count), may_answer.clone());
            async move {
                let mut blobs = Blobs::default();
                for number in 1..=2 {
                    blobs.image(&format!("tag-{number}"));
                }
                if !uri.path().ends_with("/manifests/latest") {
                    return blobs.answer(uri.path());
                }
                count.send_modify(|count| *count += 1);
                let _ = may_answer.wait_for(|answers| *answers).await;
                body(blobs.image(&format!("tag-{}", named.load(Ordering::SeqCst))))
            }
        };
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, image, answers, asked, task }
    }

    fn move_to(&self, image: u64) {
        self.image.store(image, Ordering::SeqCst);
    }

    fn digest(image: u64) -> String {
        Digest::of(Blobs::default().image(&format!("tag-{image}"))).to_string()
    }

    fn request(&self) -> Value {
        json!({"image": {"reference": format!("{}/team/app:latest", self.host)}})
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(data: &Path, registry: &Moving, database: Option<&str>) -> Operator {
    let mut flags = vec!["--allow-anonymous", "--feeds", FEEDS, "--insecure-registry", &registry.host];
    flags.extend(database.map(|url| ["--database-url", url]).into_iter().flatten());
    tokio::task::block_in_place(|| Operator::start(data, &flags))
}

async fn submit(operator: &Operator, registry: &Moving) -> Value {
    json_of(operator.request(Method::POST, "/api/v1/scans").json(&registry.request())).await
}

/// The scan once it is in that status.
async fn reached(operator: &Operator, scan: &str, status: &str) -> Value {
    let begun = Instant::now();
    loop {
        let state = json_of(operator.request(Method::GET, scan)).await;
        if state["status"] == status {
            return state;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_moved_tag_is_scanned_anew(database: Option<&str>) {
    let (data, registry) = (tempfile::tempdir().unwrap(), Moving::serve().await);
    let operator = start(data.path(), &registry, database);
    let first = submit(&operator, &registry).await;
    assert_eq!(first["created"], true);
    let scan = first["location"].as_str().unwrap();
    assert_eq!(reached(&operator, scan, "Succeeded").await["image"]["digest"], Moving::digest(1));
    let same = submit(&operator, &registry).await;
    assert_eq!((&same["created"], &same["status"]), (&json!(false), &json!("Succeeded")), "the tag has not moved");

    registry.move_to(2);
    let moved = submit(&operator, &registry).await;
    assert_eq!((&moved["created"], &moved["scanId"]), (&json!(true), &first["scanId"]));
    assert_eq!(reached(&operator, scan, "Succeeded").await["image"]["digest"], Moving::digest(2));
    let sbom = json_of(operator.request(Method::GET, &format!("{scan}/sbom"))).await.to_string();
    assert!(sbom.contains(r#""version":"1.2""#) && !sbom.contains(r#""version":"1.1""#), "{sbom}");
    let steps = operator.request(Method::GET, &format!("{scan}/events?format=jsonl")).send().await.unwrap();
    let steps = steps.text().await.unwrap();
    assert!(steps.contains(&format!("the reference names {} by now", Moving::digest(2))), "{steps}");
    assert_eq!(submit(&operator, &registry).await["created"], false);

    registry.move_to(1);
    assert_eq!(submit(&operator, &registry).await["created"], true, "also back to an image that is known");
    assert_eq!(reached(&operator, scan, "Succeeded").await["image"]["digest"], Moving::digest(1));

    registry.answers.send(false).unwrap();
    registry.move_to(2);
    let silent = submit(&operator, &registry).await;
    assert_eq!((&silent["created"], &silent["status"]), (&json!(false), &json!("Succeeded")), "nobody answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_tag_is_scanned_anew_on_sqlite() {
    a_moved_tag_is_scanned_anew(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_tag_is_scanned_anew_on_postgresql() {
    let Some(server) = database::Server::start() else { return };
    a_moved_tag_is_scanned_anew(Some(&server.url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_away_before_the_answer_takes_the_request_back() {
    let (data, registry) = (tempfile::tempdir().unwrap(), Moving::serve().await);
    let operator = start(data.path(), &registry, None);
    let first = submit(&operator, &registry).await;
    let scan = first["location"].as_str().unwrap();
    reached(&operator, scan, "Succeeded").await;

    // The answer waits for the registry, and the caller does not.
    registry.move_to(2);
    registry.answers.send(false).unwrap();
    let before = *registry.asked.borrow();
    let request = operator.request(Method::POST, "/api/v1/scans").json(&registry.request());
    let asking = tokio::spawn(request.send());
    registry.asked.clone().wait_for(|asked| *asked > before).await.unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    registry.answers.send(true).unwrap();
    reached(&operator, scan, "Cancelled").await;
    let steps = operator.request(Method::GET, &format!("{scan}/events?format=jsonl")).send().await.unwrap();
    assert!(steps.text().await.unwrap().contains("went away before the answer"));
}
