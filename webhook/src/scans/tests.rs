use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use prometheus::Registry;
use stella_api::client::Credential;
use stella_service::listen::{self, Limits};

use super::*;
use crate::fixture;

/// How the operator answers.
const STALLED: u8 = 0;
const BUSY: u8 = 1;
const REFUSING: u8 = 2;
const READY: u8 = 3;
/// Everything but what namespace `pay` asks for, which fails, or is not answered.
const PAY_FAILS: u8 = 4;
const PAY_STALLS: u8 = 5;

/// What asks, of an operator that may be away.
struct Asking {
    scans: Scans,
    metrics: Metrics,
    operator: Arc<Operator>,
    address: SocketAddr,
    token: CancellationToken,
}

#[derive(Default)]
struct Operator {
    mode: AtomicU8,
    /// How often each image of a namespace was asked for, in requests that were answered.
    asked: Mutex<HashMap<(String, String), usize>>,
    /// Images of each request, whether or not it was answered.
    requests: Mutex<Vec<usize>>,
}

impl Operator {
    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

async fn answer(State(operator): State<Arc<Operator>>, Json(question): Json<RuntimePolicyRequest>) -> StatusCode {
    operator.requests.lock().unwrap().push(question.images.len());
    match operator.mode.load(Ordering::SeqCst) {
        STALLED => std::future::pending().await,
        BUSY => return StatusCode::SERVICE_UNAVAILABLE,
        REFUSING => return StatusCode::BAD_REQUEST,
        PAY_FAILS if question.namespace == "pay" => return StatusCode::INTERNAL_SERVER_ERROR,
        PAY_STALLS if question.namespace == "pay" => std::future::pending().await,
        _ => {}
    }
    let mut asked = operator.asked.lock().unwrap();
    for image in question.images {
        *asked.entry((question.namespace.clone(), image)).or_default() += 1;
    }
    StatusCode::OK
}

impl Asking {
    /// Asks an address where nobody listens.
    fn start() -> Self {
        stella_service::crypto::install();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = fixture::operator(&format!("http://{address}"), Credential::None);
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let millis = Duration::from_millis;
        let pace = Pace { gather: millis(10), answer: millis(2000), base: millis(10), cap: millis(40), seed: 1 };
        let (scans, requests) = queue(server, Clock::stopped(fixture::now()), metrics.clone(), pace);
        let token = CancellationToken::new();
        tokio::spawn(requests.run(token.clone()));
        Self { scans, metrics, operator: Arc::default(), address, token }
    }

    /// The operator listens from now on.
    async fn listen(&self, mode: u8) {
        self.set(mode);
        let app = Router::new().route("/api/v1/scanner/policy/runtime", post(answer));
        let app = app.with_state(Arc::clone(&self.operator));
        let listener = listen::bind(self.address).await.unwrap();
        tokio::spawn(listen::serve(listener, None, app, Limits::default(), self.token.clone()));
    }

    fn set(&self, mode: u8) {
        self.operator.mode.store(mode, Ordering::SeqCst);
    }

    fn count(&self, result: &str) -> u64 {
        self.metrics.scans.with_label_values(&[result]).get()
    }

    fn open(&self) -> i64 {
        self.metrics.scans_open.get()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn wish(namespace: &str, image: &str) -> ScanWish {
    ScanWish { tenant: "t".to_owned(), namespace: namespace.to_owned(), image: image.to_owned(), confirmed_at: None }
}

#[tokio::test]
async fn what_is_wanted_while_the_operator_is_away_is_asked_for_once_when_it_is_back() {
    const IMAGES: usize = 10_000;
    let asking = Asking::start();
    for number in 0..IMAGES {
        let image = format!("registry.example/app:{number}");
        // The first namespace that wants an image asks for it.
        asking.scans.ask(&wish(["shop", "pay"][number % 2], &image));
        asking.scans.ask(&wish("shop", &image));
    }
    until("nobody listens", || asking.count("failed") > 0).await;
    asking.listen(STALLED).await;
    let before = asking.count("failed");
    until("a request is not answered", || asking.operator.requests() > 0 && asking.count("failed") > before).await;
    asking.set(BUSY);
    let before = asking.operator.requests();
    until("requests are turned away", || asking.operator.requests() > before + 2).await;
    assert_eq!((asking.open(), asking.count("asked")), (10_000, 0));

    let before = asking.operator.requests();
    asking.set(READY);
    until("all are asked for", || asking.open() == 0).await;
    let asked = asking.operator.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), IMAGES);
    assert!(asked.values().all(|times| *times == 1), "each once");
    assert_eq!((asking.count("asked"), asking.count("dropped")), (10_000, 0));
    let batches = asking.operator.requests.lock().unwrap()[before..].to_vec();
    assert!(batches.iter().all(|images| *images <= MAX_BATCH));
    assert!(batches.len() <= 3 * IMAGES / MAX_BATCH, "{} requests", batches.len());
}

#[tokio::test]
async fn one_image_in_10000_reviews_is_asked_for_once() {
    let asking = Asking::start();
    (0..5_000).for_each(|_| asking.scans.ask(&wish("shop", "app:1")));
    assert_eq!(asking.open(), 1);
    asking.listen(READY).await;
    until("it is asked for", || asking.open() == 0).await;
    (0..5_000).for_each(|_| asking.scans.ask(&wish("shop", "app:1")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((asking.open(), asking.count("asked"), asking.operator.requests()), (0, 1, 1));
}

#[tokio::test]
async fn what_the_operator_refuses_is_not_repeated_until_it_is_wished_again() {
    let asking = Asking::start();
    asking.listen(REFUSING).await;
    asking.scans.ask(&wish("shop", "app:1"));
    until("it is refused", || asking.count("refused") == 1).await;
    assert_eq!(asking.open(), 0);
    asking.set(READY);
    asking.scans.ask(&wish("shop", "app:1"));
    until("it is asked for", || asking.count("asked") == 1).await;
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    let asking = Asking::start();
    (0..wanted::MOST + 7).for_each(|n| asking.scans.ask(&wish("shop", &n.to_string())));
    assert_eq!((asking.open(), asking.count("dropped")), (65_536, 7));
}

/// It wishes first, and would be asked for first again and again.
#[tokio::test]
async fn a_namespace_that_is_not_answered_keeps_no_other_waiting() {
    for mode in [PAY_FAILS, PAY_STALLS] {
        let asking = Asking::start();
        for number in 0..MAX_BATCH {
            asking.scans.ask(&wish("pay", &format!("pay:{number}")));
        }
        until("nobody listens", || asking.count("failed") > 0).await;
        // More than are taken at once.
        (0..2 * TAKEN).for_each(|number| asking.scans.ask(&wish("shop", &format!("shop:{number}"))));
        asking.listen(mode).await;
        until("all of the other are asked for", || asking.count("asked") == 8192).await;
        assert_eq!(asking.open(), 256, "those that are not answered still wait");
        asking.set(READY);
        until("they are asked for, too", || asking.open() == 0).await;
    }
}
