use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use prometheus::Registry;
use serde_json::{Value, json};
use stella_api::admission::MAX_DECISIONS;
use stella_api::client::Credential;
use stella_service::listen::{self, Limits};

use super::*;
use crate::decision::{Record, Settings, decide};
use crate::fixture;
use crate::review::Review;

/// Answers with a status; with none before one is set.
#[derive(Default)]
struct Operator {
    status: AtomicU16,
    kept: Mutex<Vec<String>>,
    requests: Mutex<usize>,
}

impl Operator {
    fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }

    fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap().clone()
    }
}

async fn answer(State(operator): State<Arc<Operator>>, body: String) -> StatusCode {
    *operator.requests.lock().unwrap() += 1;
    let status = operator.status.load(Ordering::SeqCst);
    if status == 0 {
        std::future::pending::<()>().await;
    }
    if status == 200 {
        operator.kept.lock().unwrap().extend(body.lines().map(str::to_owned));
    }
    StatusCode::from_u16(status).unwrap()
}

/// What sends, and an operator that may be away.
struct Sending {
    records: Records,
    metrics: Metrics,
    operator: Arc<Operator>,
    address: SocketAddr,
    token: CancellationToken,
}

impl Sending {
    /// Sends to an address where nobody listens.
    fn start() -> Self {
        stella_service::crypto::install();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = fixture::operator(&format!("http://{address}"), Credential::None);
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let millis = Duration::from_millis;
        let pace = Pace { gather: millis(10), answer: millis(500), base: millis(10), cap: millis(40), seed: 1 };
        let (records, deliveries) = queue(server, metrics.clone(), pace);
        let token = CancellationToken::new();
        tokio::spawn(deliveries.run(token.clone()));
        Self { records, metrics, operator: Arc::default(), address, token }
    }

    async fn listen(&self, status: u16) {
        self.set(status);
        let app = Router::new().route("/api/v1/admission/decisions", post(answer));
        let app = app.with_state(Arc::clone(&self.operator));
        let listener = listen::bind(self.address).await.unwrap();
        tokio::spawn(listen::serve(listener, None, app, Limits::default(), CancellationToken::new()));
    }

    fn set(&self, status: u16) {
        self.operator.status.store(status, Ordering::SeqCst);
    }

    fn count(&self, result: &str) -> u64 {
        self.metrics.records.with_label_values(&[result]).get()
    }
}

impl Drop for Sending {
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

fn record() -> Record {
    let object = json!({"spec": {"containers": [{"name": "app", "image": "bad:1"}]}});
    let request = json!({"uid": "u1", "operation": "CREATE", "namespace": "shop", "object": object,
        "resource": {"version": "v1", "resource": "pods"}, "userInfo": {"username": "ann"}});
    let body = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
    let review = Review::read(body.to_string().as_bytes()).unwrap();
    let held = fixture::held(&[fixture::namespace("*")], &[fixture::blocked("bad:1")]);
    let settings = Settings { verdict_seconds: 60, ..Settings::default() };
    decide(&review, &held, None, &settings, fixture::now()).unwrap().record.unwrap()
}

#[tokio::test]
async fn the_operator_gets_records_as_they_were_written_down() {
    let sending = Sending::start();
    sending.listen(200).await;
    let line = serde_json::to_string(&record()).unwrap();
    sending.records.keep(line.clone());
    until("it is kept", || sending.count("kept") == 1).await;
    assert_eq!(sending.operator.kept(), std::slice::from_ref(&line));
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["schemaVersion"], "zastava.admission.decision@v1");
    assert_eq!((&told["at"], &told["policyRevision"]), (&json!(fixture::now()), &json!("7")));
    let image = &told["inputs"]["images"][0]["standing"];
    assert_eq!(image["decision"]["policy"], "shop/base");
    for digest in [&told["inputHash"], &image["verdictId"]] {
        assert!(digest.as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{told}");
    }
}

#[tokio::test]
async fn what_is_written_down_while_the_operator_is_away_or_slow_is_kept_once_when_it_is_back() {
    let sending = Sending::start();
    let lines: Vec<String> = (0..3 * MAX_DECISIONS).map(|number| number.to_string()).collect();
    lines.iter().for_each(|line| sending.records.keep(line.clone()));
    until("nobody listens", || sending.count("failed") > 0).await;
    sending.listen(0).await;
    let before = sending.count("failed");
    until("it is not answered", || sending.operator.requests() > 0 && sending.count("failed") > before).await;
    sending.set(503);
    let before = sending.operator.requests();
    until("it is turned away", || sending.operator.requests() > before + 1).await;
    sending.set(200);
    until("all are kept", || sending.count("kept") == lines.len() as u64).await;
    assert_eq!(sending.operator.kept(), lines, "in their order");
    assert_eq!(sending.count("dropped"), 0);
}

#[tokio::test]
async fn what_the_operator_refuses_is_not_sent_again() {
    let sending = Sending::start();
    sending.listen(400).await;
    sending.records.keep("broken".to_owned());
    until("it is refused", || sending.count("refused") == 1).await;
    sending.set(200);
    sending.records.keep("sound".to_owned());
    until("the next is kept", || sending.count("kept") == 1).await;
    assert_eq!(sending.operator.kept(), ["sound"]);
}

#[tokio::test]
async fn what_waits_when_the_process_ends_is_sent() {
    let sending = Sending::start();
    sending.listen(200).await;
    sending.token.cancel();
    sending.records.keep("last".to_owned());
    until("it is kept", || sending.count("kept") == 1).await;
    assert_eq!(sending.operator.kept(), ["last"]);
}
