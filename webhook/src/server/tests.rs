use std::net::SocketAddr;

use prometheus::Registry;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use stella_service::certificates::{Keyring, Lifetimes, Step, apply};
use stella_service::listen::{self, Limits};
use stella_service::tls::{CertificateSlot, server_config};

use super::*;
use crate::fixture;
use crate::verdicts::Held;

/// A webhook on loopback, and a client that trusts it.
struct Webhook {
    address: SocketAddr,
    client: Client,
    metrics: Metrics,
    slot: Arc<CertificateSlot>,
    ending: CancellationToken,
    names: Vec<String>,
    keyring: Keyring,
    trusted: std::sync::Mutex<Keyring>,
}

impl Webhook {
    async fn start(held: Held) -> Self {
        Self::start_with(held, |_| None).await
    }

    async fn start_with(held: Held, records: impl FnOnce(&Metrics) -> Option<Records>) -> Self {
        stella_service::crypto::install();
        let names = vec!["localhost".to_owned()];
        let keyring = Keyring::make(&names, &Lifetimes::default(), Clock::system().now()).unwrap();
        let slot = CertificateSlot::new();
        slot.set(&keyring.serving.certificate, &keyring.serving.key).unwrap();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let ending = CancellationToken::new();
        let admission = Admission {
            cache: Cache::new(held),
            settings: Settings { verdict_seconds: 60, ..Settings::default() },
            clock: Clock::stopped(fixture::now()),
            metrics: metrics.clone(),
            scans: None,
            records: records(&metrics),
            refusals: None,
            break_glass: None,
            room: BodyRoom::default(),
            ending: ending.clone(),
        };
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Some(server_config(Arc::clone(&slot)).unwrap());
        let app = router(Arc::new(admission));
        tokio::spawn(listen::serve(listener, tls, app, Limits::default(), CancellationToken::new()));
        let (client, trusted) = (client(&keyring), keyring.clone().into());
        Self { address, client, metrics, slot, ending, names, trusted, keyring }
    }

    fn trusted(&self) -> Keyring {
        self.trusted.lock().unwrap().clone()
    }

    fn trust(&self, keyring: &Keyring) {
        *self.trusted.lock().unwrap() = keyring.clone();
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let url = format!("https://localhost:{}/validate", self.address.port());
        let answer = self.client.post(url).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

fn client(keyring: &Keyring) -> Client {
    let trusted = Certificate::from_pem_bundle(keyring.bundle().as_bytes()).unwrap();
    Client::builder().no_proxy().pool_max_idle_per_host(0).tls_certs_only(trusted).build().unwrap()
}

fn held() -> Held {
    fixture::held(&[fixture::namespace("*")], &[fixture::blocked("bad:1"), fixture::passing("good:1")])
}

fn review(image: &str) -> String {
    let object = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let request =
        json!({"uid": "u1", "operation": "CREATE", "namespace": "shop", "resource": resource, "object": object});
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}).to_string()
}

#[tokio::test]
async fn reviews_are_answered_over_tls() {
    let webhook = Webhook::start(held()).await;
    let (status, answer) = webhook.post(review("bad:1")).await;
    assert_eq!((status, answer["kind"].as_str()), (200, Some("AdmissionReview")));
    assert_eq!(answer["response"]["uid"], "u1");
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(answer["response"]["status"]["code"], 403);
    assert!(answer["response"]["status"]["message"].as_str().unwrap().contains("CVE-2025-1000"));
    let (_, answer) = webhook.post(review("good:1")).await;
    assert_eq!(answer["response"], json!({"uid": "u1", "allowed": true, "auditAnnotations": {"rung": "fresh"}}));
    assert_eq!(webhook.metrics.reviews.with_label_values(&["denied"]).get(), 1);
    // A namespace that nobody told of is no label: whoever reaches the port may name any.
    assert_eq!(webhook.metrics.rungs.with_label_values(&["(other)", "fresh"]).get(), 2);
}

#[tokio::test]
async fn a_webhook_that_is_to_end_answers_and_asks_clients_to_connect_anew() {
    let webhook = Webhook::start(held()).await;
    let closes = async || {
        let url = format!("https://localhost:{}/validate", webhook.address.port());
        let answer = webhook.client.post(url).body(review("good:1")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers().get("connection").is_some_and(|value| value == "close")
    };
    assert!(!closes().await);
    webhook.ending.cancel();
    assert!(closes().await);
}

#[tokio::test]
async fn errors_name_what_is_wrong() {
    let webhook = Webhook::start(held()).await;
    let (status, problem) = webhook.post("{}").await;
    assert_eq!((status, problem["detail"].as_str()), (400, Some("$.kind is missing")));
    assert_eq!(problem["type"], "https://stella-ops.org/probs/validation");
    let (status, problem) = webhook.post(vec![b' '; LARGEST_BODY + 1]).await;
    assert_eq!((status, problem["title"].as_str()), (413, Some("Payload Too Large")));
    let url = format!("https://localhost:{}/", webhook.address.port());
    assert_eq!(webhook.client.get(format!("{url}validate")).send().await.unwrap().status(), 405);
    assert_eq!(webhook.client.get(format!("{url}other")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn without_verdicts_the_request_fails() {
    let webhook = Webhook::start(Held::default()).await;
    let (status, problem) = webhook.post(review("good:1")).await;
    assert_eq!((status, problem["type"].as_str()), (503, Some("https://stella-ops.org/probs/unavailable")));
}

#[tokio::test]
async fn a_record_that_finds_no_room_is_dropped_and_counted_and_no_review_waits_for_it() {
    let operator = fixture::operator("http://127.0.0.1:9", stella_api::client::Credential::None);
    let mut taken = None;
    let webhook = Webhook::start_with(held(), |metrics| {
        let (records, deliveries) = crate::records::queue(operator, metrics.clone(), crate::records::Pace::default());
        // Nobody sends, as while the operator is away.
        taken = Some((records.clone(), deliveries));
        Some(records)
    })
    .await;
    let (records, _deliveries) = taken.unwrap();
    let dropped = || webhook.metrics.records.with_label_values(&["dropped"]).get();
    assert_eq!(webhook.post(review("bad:1")).await.0, 200);
    assert_eq!(dropped(), 0);
    while dropped() == 0 {
        records.keep("{}".to_owned());
    }
    for sent in 1..=50 {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(5), webhook.post(review("bad:1"))).await;
        let (status, answer) = answer.expect("an answer at once");
        assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(false)));
        assert_eq!(dropped(), 1 + sent);
    }
}

#[tokio::test]
async fn another_certificate_is_served_from_the_next_connection_on() {
    let mut webhook = Webhook::start(held()).await;
    let other = Keyring::make(&webhook.names, &Lifetimes::default(), Clock::system().now()).unwrap();
    webhook.slot.set(&other.serving.certificate, &other.serving.key).unwrap();
    let url = format!("https://localhost:{}/validate", webhook.address.port());
    assert!(webhook.client.post(url).body(review("good:1")).send().await.is_err());
    webhook.client = client(&other);
    assert_eq!(webhook.post(review("good:1")).await.0, 200);
}

/// Certificates are renewed all the while: no review fails, and clients that trust the bundle see every one of them.
#[tokio::test]
async fn certificates_are_rotated_under_load() {
    let webhook = Arc::new(Webhook::start(held()).await);
    let mut ring = webhook.keyring.clone();
    let (names, lifetimes, now) = (webhook.names.clone(), Lifetimes::default(), Clock::system().now());
    let done = CancellationToken::new();
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (webhook, done) = (Arc::clone(&webhook), done.clone());
            tokio::spawn(async move {
                let mut answered = 0;
                while !done.is_cancelled() {
                    // Trust as of this moment, as the API server takes it from the configuration.
                    let client = client(&webhook.trusted());
                    let url = format!("https://localhost:{}/validate", webhook.address.port());
                    let answer = client.post(url).body(review("good:1")).send().await.expect("no review fails");
                    assert_eq!(answer.status(), 200);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for step in [Step::Announce, Step::Switch, Step::Announce, Step::Switch] {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        ring = apply(step, Some(ring), &names, &lifetimes, now).unwrap();
        // Whoever rotates tells of the new authority before anything is served from it.
        webhook.trust(&ring);
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        webhook.slot.set(&ring.serving.certificate, &ring.serving.key).unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    done.cancel();
    for task in load {
        assert!(task.await.unwrap() > 3, "too few reviews to say anything");
    }
}
