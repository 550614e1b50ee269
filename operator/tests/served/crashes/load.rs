//! Clients that never tire: who is not answered asks again, as agents and pipelines do.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use stella_service::clock::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::images::Images;
use super::ledger::Ledger;
use crate::numbers::Numbers;

/// How long something is asked again before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events of a batch.
const BATCH: u64 = 16;
/// Where tokens are given out; clients name themselves there.
const TOKENS: &str = "/connect/token";
/// Containers that events are about.
const CONTAINERS: u64 = 40;

/// Where the replicas listen at the moment.
pub type Addresses = Arc<Mutex<Vec<String>>>;

/// Somebody who asks. Clones ask the same replicas.
#[derive(Clone)]
pub struct Asker {
    http: Client,
    addresses: Addresses,
    pub token: String,
    /// Of the first administrator.
    pub secret: String,
    pub ledger: Ledger,
    /// Ends the load.
    pub stop: CancellationToken,
}

impl Asker {
    pub fn new(addresses: Addresses, token: &str, secret: &str) -> Self {
        Self {
            http: Client::builder().timeout(Duration::from_secs(15)).build().unwrap(),
            addresses,
            token: token.to_owned(),
            secret: secret.to_owned(),
            ledger: Ledger::default(),
            stop: CancellationToken::new(),
        }
    }

    /// The answer, from whichever replica gives one.
    async fn ask(&self, method: Method, path: &str, token: &str, body: &str) -> (StatusCode, Value) {
        let begun = Instant::now();
        let mut last = String::new();
        for turn in 0.. {
            assert!(begun.elapsed() < PATIENCE, "{method} {path} is not answered: {last}");
            let address = {
                let addresses = self.addresses.lock().unwrap();
                addresses[turn % addresses.len()].clone()
            };
            let request = self.http.request(method.clone(), format!("{address}{path}"));
            let request = match path {
                TOKENS => request.basic_auth("stella-admin", Some(&self.secret)),
                _ => request.bearer_auth(token),
            };
            let kind = if path == TOKENS { "application/x-www-form-urlencoded" } else { "application/json" };
            let request = request.header("content-type", kind).body(body.to_owned());
            match request.send().await {
                Ok(answer) if answer.status().is_server_error() => last = answer.text().await.unwrap_or_default(),
                Ok(answer) => {
                    let status = answer.status();
                    match answer.json().await {
                        Ok(body) => return (status, body),
                        // It was killed while it answered.
                        Err(error) => last = error.to_string(),
                    }
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        unreachable!("turns have no end")
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, &self.token, &body.to_string()).await
    }

    async fn pause(&self, millis: u64) -> bool {
        let pause = tokio::time::sleep(Duration::from_millis(millis));
        self.stop.run_until_cancelled(pause).await.is_some()
    }

    /// Starts everybody who asks. Each ends soon after `stop`, when its last request was answered.
    pub async fn start(&self, images: Arc<Images>, seed: u64) -> JoinSet<()> {
        let image = self.upload(0).await;
        let mut asking = JoinSet::new();
        let (one, two) = (self.clone(), self.clone());
        asking.spawn(async move { one.uploads().await });
        asking.spawn(async move { two.scans(&images, &mut Numbers::of(seed)).await });
        for node in 0..2 {
            let (one, image) = (self.clone(), image.clone());
            asking.spawn(async move { one.events(node, &image).await });
        }
        let (one, two, three) = (self.clone(), self.clone(), self.clone());
        asking.spawn(async move { one.policies().await });
        asking.spawn(async move { two.waivers().await });
        asking.spawn(async move { three.clients().await });
        asking
    }

    async fn uploads(&self) {
        for number in 1.. {
            self.upload(number).await;
            if !self.pause(60).await {
                return;
            }
        }
    }

    /// Sends an SBOM, and gives the digest it is filed under.
    async fn upload(&self, number: u64) -> String {
        let version = format!("2.{}.{number}", number % 9);
        let sbom = json!({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": [
            {"type": "library", "name": "django", "version": version, "purl": format!("pkg:pypi/django@{version}")}]});
        let body = loop {
            let (status, body) = self.post("/scan", &sbom).await;
            // Where that takes long, it goes on as another scan.
            if status != 202 {
                assert_eq!(status, 200, "{body}");
                break body;
            }
        };
        let digest = text(&body["digest"]);
        self.ledger.lock().uploads.insert(text(&body["scanId"]), digest.clone());
        digest
    }

    async fn scans(&self, images: &Images, numbers: &mut Numbers) {
        for number in 0.. {
            let reference = images.reference(number);
            let (status, body) = self.post("/api/v1/scans", &json!({"image": {"reference": reference}})).await;
            assert_eq!(status, 202, "{body}");
            let id = text(&body["scanId"]);
            self.ledger.lock().queued.insert(id.clone(), reference);
            if numbers.below(8) == 0 {
                let (status, body) = self.ask(Method::DELETE, &format!("/api/v1/scans/{id}"), &self.token, "").await;
                assert!([200, 409].contains(&status.as_u16()), "{status} {body}");
                // A conflict: it has ended, maybe by a request whose answer was lost.
                let (_, scan) = self.ask(Method::GET, &format!("/api/v1/scans/{id}"), &self.token, "").await;
                if status == 200 || scan["status"] == "Cancelled" {
                    self.ledger.lock().called_off.insert(id);
                }
            }
            if !self.pause(120).await {
                return;
            }
        }
    }

    async fn events(&self, node: u64, image: &str) {
        for batch in 0.. {
            let ids: Vec<String> = (0..BATCH).map(|number| format!("event-{node}-{batch}-{number}")).collect();
            let events: Vec<Value> = ids.iter().zip(0..).map(|(id, number)| event(id, node, number, image)).collect();
            let batch = json!({"batchId": format!("{node}-{batch}"), "events": events});
            let (status, body) = self.post("/api/v1/runtime/events", &batch).await;
            assert_eq!(status, 202, "{body}");
            assert_eq!(body["accepted"].as_u64().unwrap() + body["duplicates"].as_u64().unwrap(), BATCH, "{body}");
            self.ledger.lock().events.extend(ids);
            if !self.pause(15).await {
                return;
            }
        }
    }

    async fn policies(&self) {
        for number in 0.. {
            let policy = json!({"version": "1.0",
                "rules": [{"name": format!("rule {number}"), "severity": ["Low"], "action": "warn"}]});
            let (status, body) = self.ask(Method::POST, "/policy/import", &self.token, &policy.to_string()).await;
            assert_eq!(status, 200, "{body}");
            let revision = text(&body["revision"])["rev-".len()..].parse().unwrap();
            self.ledger.lock().revisions.insert(revision, text(&body["digest"]));
            if !self.pause(200).await {
                return;
            }
        }
    }

    async fn waivers(&self) {
        for number in 0.. {
            let id = format!("waiver-{number}");
            let waiver = json!({"id": id, "cve": "CVE-2024-27351", "justification": "no such input", "owner": "ana",
                "ticket": "SEC-1", "expires": "2099-01-01T00:00:00Z"});
            let (status, body) = self.post("/api/v1/waivers", &waiver).await;
            // A conflict is the answer to a request whose first answer was lost.
            assert!([201, 409].contains(&status.as_u16()), "{status} {body}");
            self.ledger.lock().waivers.insert(id);
            if !self.pause(300).await {
                return;
            }
        }
    }

    async fn clients(&self) {
        let mut token = String::new();
        for number in 0.. {
            let id = format!("client-{number}");
            let client = json!({"id": id, "scopes": ["policy.read"], "tenants": ["tenant-default"]}).to_string();
            loop {
                let (status, body) = self.ask(Method::POST, "/api/v1/admin/clients", &token, &client).await;
                match status.as_u16() {
                    201 | 409 => break,
                    401 => token = self.administrator().await,
                    _ => panic!("{status} {body}"),
                }
            }
            self.ledger.lock().clients.insert(id);
            if !self.pause(250).await {
                return;
            }
        }
    }

    async fn administrator(&self) -> String {
        let form = "grant_type=client_credentials&scope=stella.admin+stella.api";
        let (status, body) = self.ask(Method::POST, TOKENS, "", form).await;
        assert_eq!(status, 200, "{body}");
        text(&body["access_token"])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// One library loaded by a container that runs `image`.
fn event(id: &str, node: u64, number: u64, image: &str) -> Value {
    let container = number % CONTAINERS;
    json!({"schemaVersion": "zastava.runtime.event@v1", "event": {
        "eventId": id, "when": Clock::system().now(), "kind": "LibrariesLoaded", "tenant": "default",
        "node": format!("node-{node}"), "runtime": {"engine": "containerd", "version": "2.0.0"},
        "workload": {"platform": "kubernetes", "namespace": "shop", "pod": format!("web-{container}"), "container": "web",
            "containerId": format!("containerd://{node}{container:063x}"), "imageRef": "registry.example/shop/web:1"},
        "annotations": {"stella.imageDigest": image},
        "loadedLibs": [{"path": format!("/usr/lib/libsample{number}.so.1"), "inode": 4096 + number}]}})
}
