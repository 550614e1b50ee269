use std::net::SocketAddr;

use prometheus::Registry;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use stella_service::certificates::{Keyring, Lifetimes};
use stella_service::listen::{self, Limits};
use stella_service::tls::{CertificateSlot, server_config};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fixture;
use crate::verdicts::Held;

/// A webhook on loopback, and a client that trusts it.
struct Webhook {
    address: SocketAddr,
    client: Client,
    metrics: Metrics,
    slot: Arc<CertificateSlot>,
    names: Vec<String>,
}

impl Webhook {
    async fn start(held: Held) -> Self {
        stella_service::crypto::install();
        let names = vec!["localhost".to_owned()];
        let keyring = Keyring::make(&names, &Lifetimes::default(), Clock::system().now()).unwrap();
        let slot = CertificateSlot::new();
        slot.set(&keyring.serving.certificate, &keyring.serving.key).unwrap();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let admission = Admission {
            cache: Cache::new(held),
            settings: Settings { verdict_seconds: 60, ..Settings::default() },
            clock: Clock::stopped(fixture::now()),
            metrics: metrics.clone(),
            scans: None,
            refusals: None,
            break_glass: None,
        };
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Some(server_config(Arc::clone(&slot)).unwrap());
        let app = router(Arc::new(admission));
        tokio::spawn(listen::serve(listener, tls, app, Limits::default(), CancellationToken::new()));
        Self { address, client: client(&keyring), metrics, slot, names }
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
    assert_eq!(answer["response"], json!({"uid": "u1", "allowed": true}));
    assert_eq!(webhook.metrics.reviews.with_label_values(&["denied"]).get(), 1);
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
async fn another_certificate_is_served_from_the_next_connection_on() {
    let mut webhook = Webhook::start(held()).await;
    let other = Keyring::make(&webhook.names, &Lifetimes::default(), Clock::system().now()).unwrap();
    webhook.slot.set(&other.serving.certificate, &other.serving.key).unwrap();
    let url = format!("https://localhost:{}/validate", webhook.address.port());
    assert!(webhook.client.post(url).body(review("good:1")).send().await.is_err());
    webhook.client = client(&other);
    assert_eq!(webhook.post(review("good:1")).await.0, 200);
}
