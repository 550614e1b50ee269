use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use futures::StreamExt as _;
use prometheus::Registry;
use stella_api::client::{Credential, LARGEST_EVENT};
use stella_service::health::Health;
use tokio::sync::mpsc;

use super::*;
use crate::fixture;

/// The two headers that were sent with a question.
type Asked = (Option<String>, Option<String>);

/// An operator that sends what it is told, one connection after the other, and remembers how it was asked.
#[derive(Clone)]
struct Operator {
    connections: Arc<tokio::sync::Mutex<mpsc::Receiver<Vec<Vec<u8>>>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

async fn verdicts(State(operator): State<Operator>, headers: HeaderMap) -> Body {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    operator.asked.lock().unwrap().push((header("last-event-id"), header("authorization")));
    let chunks = operator.connections.lock().await.recv().await;
    let hold_open = chunks.is_none();
    let chunks = chunks.unwrap_or_default();
    Body::from_stream(async_stream(chunks, hold_open))
}

fn async_stream(chunks: Vec<Vec<u8>>, hold_open: bool) -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
    let sent = futures::stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
    let open = futures::stream::once(async move {
        if hold_open {
            std::future::pending::<()>().await;
        }
        Ok(Bytes::new())
    });
    sent.chain(open)
}

fn event(update: &AdmissionUpdate, id: Option<&str>) -> Vec<u8> {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}data: {}\n\n", serde_json::to_string(update).unwrap()).into_bytes()
}

fn ready(revision: &str) -> AdmissionUpdate {
    AdmissionUpdate::Ready { policy_revision: revision.to_owned(), at: fixture::now() }
}

struct Rig {
    cache: Cache,
    operator: Operator,
    connections: mpsc::Sender<Vec<Vec<u8>>>,
    health: Health,
    metrics: Metrics,
    /// Seconds that have passed.
    passed: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        stella_service::crypto::install();
        let (sender, receiver) = mpsc::channel(8);
        let operator = Operator { connections: Arc::new(tokio::sync::Mutex::new(receiver)), asked: Arc::default() };
        let app = Router::new().route("/api/v1/admission/verdicts", get(verdicts)).with_state(operator.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, app).into_future());
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, "first\n").unwrap();
        let client = fixture::operator(&url, Credential::File(token_file));
        let (cache, health) = (Cache::default(), Health::new());
        let settings = StreamSettings {
            idle: Duration::from_millis(500),
            base: Duration::from_millis(10),
            gather: Duration::from_millis(10),
            ..StreamSettings::default()
        };
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let passed = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&passed);
        let clock = Clock::new(move || fixture::now().plus_seconds(told.load(Ordering::Relaxed)));
        let stream = Stream::new(client, cache.clone(), clock, settings, metrics.clone(), health.part("verdicts"));
        tokio::spawn(stream.run(CancellationToken::new()));
        Self { cache, operator, connections: sender, health, metrics, passed, folder }
    }

    async fn until(&self, held: impl Fn(&Held) -> bool) {
        let waiting = async {
            while !held(&self.cache.held()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the cache did not get there");
    }
}

#[tokio::test]
async fn the_cache_follows_the_stream_over_connections() {
    let rig = Rig::start().await;
    assert!(!rig.health.readiness().ready);
    let image = AdmissionUpdate::Image(fixture::blocked("a:1"));
    let first = vec![event(&AdmissionUpdate::Begin, None), event(&image, None), event(&ready("1"), Some("10"))];
    rig.connections.send(first).await.unwrap();
    rig.until(|held| held.view.image_count() == 1 && rig.health.readiness().ready).await;

    std::fs::write(rig.folder.path().join("token"), "second").unwrap();
    let other = AdmissionUpdate::Image(fixture::blocked("b:1"));
    rig.connections.send(vec![b": heartbeat\n\n".to_vec(), event(&other, Some("11"))]).await.unwrap();
    rig.until(|held| held.view.image_count() == 2 && held.cursor.as_deref() == Some("11")).await;

    // A snapshot that is cut off changes nothing; one that is whole replaces everything.
    rig.connections.send(vec![event(&AdmissionUpdate::Begin, None)]).await.unwrap();
    rig.connections.send(vec![event(&AdmissionUpdate::Begin, None), event(&ready("2"), None)]).await.unwrap();
    rig.until(|held| held.view.policy_revision.as_deref() == Some("2")).await;
    assert_eq!(rig.cache.held().view.image_count(), 0);

    let asked = rig.operator.asked.lock().unwrap().clone();
    assert_eq!(asked[0], (None, Some("Bearer first".to_owned())));
    assert_eq!(asked[2], (Some("11".to_owned()), Some("Bearer second".to_owned())));
}

#[tokio::test]
async fn what_is_not_understood_asks_for_a_snapshot() {
    let rig = Rig::start().await;
    let begin = vec![event(&AdmissionUpdate::Begin, None), event(&ready("1"), Some("5"))];
    rig.connections.send(begin).await.unwrap();
    rig.until(|held| held.cursor.as_deref() == Some("5")).await;
    rig.connections.send(vec![b"data: {\"type\":\"later\"}\n\n".to_vec()]).await.unwrap();
    let again = vec![event(&AdmissionUpdate::Begin, None), event(&ready("2"), Some("9"))];
    rig.connections.send(again).await.unwrap();
    rig.until(|held| held.cursor.as_deref() == Some("9")).await;
    assert_eq!(rig.operator.asked.lock().unwrap()[2].0, None);
}

fn snapshot(revision: &str, image: &str, at: i64) -> Vec<Vec<u8>> {
    let ready = AdmissionUpdate::Ready { policy_revision: revision.to_owned(), at: fixture::now().plus_seconds(at) };
    let image = AdmissionUpdate::Image(fixture::blocked(image));
    vec![event(&AdmissionUpdate::Begin, None), event(&image, None), event(&ready, Some(revision))]
}

#[tokio::test]
async fn a_server_that_stalls_and_flaps_is_asked_again() {
    let rig = Rig::start().await;
    // Six connections that end before anything is said, then one that says it; after it the server is silent.
    for _ in 0..6 {
        rig.connections.send(Vec::new()).await.unwrap();
    }
    rig.connections.send(snapshot("1", "a:1", 0)).await.unwrap();
    rig.until(|held| held.view.policy_revision.as_deref() == Some("1")).await;
    let before = rig.operator.asked.lock().unwrap().len();
    assert!(before >= 7);
    rig.connections.send(snapshot("2", "b:1", 1)).await.unwrap();
    rig.until(|held| held.view.policy_revision.as_deref() == Some("2")).await;
    assert_eq!(rig.cache.held().view.image_count(), 1);
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up() {
    stella_service::crypto::install();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        loop {
            connections.push(listener.accept().await.unwrap());
        }
    });
    let server = fixture::operator(&url, Credential::None);
    let asked = tokio::time::timeout(Duration::from_secs(10), server.verdicts(None, Duration::from_millis(100)));
    assert!(asked.await.expect("it is not waited for").is_err());
    held.abort();
}

#[tokio::test]
async fn a_server_that_lies_changes_nothing_and_vouches_for_nothing() {
    let rig = Rig::start().await;
    rig.connections.send(snapshot("1", "a:1", 0)).await.unwrap();
    rig.until(|held| held.view.image_count() == 1).await;
    let heard = rig.cache.held().heard_at;
    let asked = || rig.operator.asked.lock().unwrap().len();
    rig.passed.store(30, Ordering::Relaxed);
    let lies = [
        b"data: {\"type\":\"image\",\"body\":{\"image\":\"sha256:zz\"}}\n\n".to_vec(),
        b"data: [[[[\n\n".to_vec(),
        b"\xff\xfe\x00\n\n".to_vec(),
        [b"data: ".to_vec(), vec![b'x'; 2 * LARGEST_EVENT], b"\n\n".to_vec()].concat(),
    ];
    for lie in lies {
        // A snapshot that is never complete, and then the lie.
        rig.connections.send(vec![event(&AdmissionUpdate::Begin, None), lie]).await.unwrap();
    }
    rig.until(|_| asked() >= 6).await;
    let held = rig.cache.held();
    assert_eq!((held.heard_at, held.view.policy_revision.as_deref()), (heard, Some("1")));
    rig.connections.send(snapshot("2", "b:1", 1)).await.unwrap();
    rig.until(|held| held.view.policy_revision.as_deref() == Some("2")).await;
    assert_eq!(rig.cache.held().view.image_count(), 1);
    assert_eq!(rig.cache.held().heard_at, heard.map(|at| at.plus_seconds(30)));
    assert!(asked() >= 6);
}

#[tokio::test]
async fn a_server_older_than_the_cache_is_followed_and_said() {
    let rig = Rig::start().await;
    rig.connections.send(snapshot("9", "a:1", 1000)).await.unwrap();
    rig.until(|held| held.view.policy_revision.as_deref() == Some("9")).await;
    assert_eq!(rig.metrics.went_back.get(), 0);
    rig.connections.send(snapshot("3", "b:1", 0)).await.unwrap();
    rig.until(|held| held.view.policy_revision.as_deref() == Some("3")).await;
    assert_eq!(rig.metrics.went_back.get(), 1);
}
