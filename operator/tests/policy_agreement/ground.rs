//! Everybody who is asked.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use prometheus::Registry;
use serde_json::{Value, json};
use stella_api::admission::AdmissionMode;
use stella_attest::SigningKey;
use stella_domain::Tenant;
use stella_inventory::{Inventory, Provenance};
use stella_operator::app::{App, Parts, Settings};
use stella_operator::auth::Authenticator;
use stella_operator::judging::{Board, Compilations, Pending, Projections, Shelves, Subscription, load};
use stella_operator::limits::Rates;
use stella_operator::metrics::Metrics;
use stella_operator::namespaces::Namespaces;
use stella_operator::scanning::{Progress, Uploads, WorkHub};
use stella_service::clock::Clock;
use stella_service::health::Health;
use stella_store::{FindingRow, ImageRecord, Store};
use stella_webhook::decision::{self, AwayAction, Decision, Outcome, WorkloadAction, decide};
use stella_webhook::review::Review;
use stella_webhook::verdicts::{Feed, Held};
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::IMAGES;
use crate::cases::{digest, documents, finding, now, reference, row};
use crate::numbers::Numbers;

/// An operator with images, findings and statements, and a webhook that hears it.
pub struct Ground {
    pub app: App,
    router: axum::Router,
    subscription: Subscription,
    feed: Feed,
    cursor: Option<String>,
    _folder: tempfile::TempDir,
}

impl Ground {
    pub async fn new(numbers: &mut Numbers, folder: tempfile::TempDir, store: Store) -> Self {
        let tenant = Tenant::default();
        for image in 0..IMAGES {
            let record = ImageRecord {
                digest: digest(image),
                reference: Some(reference(image)),
                way: "upload".to_owned(),
                inventory: Inventory {
                    provenance: Provenance::Sbom,
                    os: None,
                    layers: vec![],
                    components: vec![],
                    problems: vec![],
                },
                read_at: now(),
                package_keys: vec![],
            };
            store.put_image(&tenant, record.clone(), &[reference(image)]).await.unwrap();
            let rows: Vec<FindingRow> = (0..1 + numbers.below(6))
                .map(|number| {
                    let found = finding(numbers, image, number);
                    row(numbers, &found, digest(image), i64::try_from(number).unwrap())
                })
                .collect();
            store.replace_findings(&tenant, &digest(image), "g", &rows, now()).await.unwrap();
        }
        let registry = Registry::new();
        let (observed, _) = tokio::sync::mpsc::channel(1);
        let app = App::new(Parts {
            settings: Settings {
                data: folder.path().into(),
                work: folder.path().into(),
                worker: "test".into(),
                feeds: folder.path().into(),
                index: folder.path().into(),
                exports: folder.path().into(),
                policy_namespace: "stella-system".into(),
                exempt_namespaces: vec![],
                default_mode: AdmissionMode::Enforce,
                settle_seconds: 60,
                coverage: false,
                registry_config: None,
                url_hosts: stella_registry::AllowedHosts::default(),
                limits: stella_inventory::Limits::default(),
                policy_preview: true,
                keep: stella_operator::cli::Keep::default(),
            },
            store,
            clock: Clock::stopped(now()),
            key: SigningKey::from_seed("test", &[7; 32]),
            retired_keys: vec![],
            auth: Authenticator::new(None, true),
            rates: Rates::new(0),
            namespaces: Namespaces::default(),
            registries: stella_registry::Client::new(
                &stella_registry::Registries::default(),
                stella_registry::Limits::default(),
            )
            .unwrap(),
            work: WorkHub::default(),
            uploads: Uploads::default(),
            board: Board::new(now()),
            statements: Shelves::default(),
            projections: Projections::default(),
            metrics: Metrics::register(&registry).unwrap(),
            traces: stella_service::traces::Traces::default(),
            cluster: None,
            index: RwLock::new(None),
            changes: RwLock::default(),
            scans_changed: Notify::new(),
            compilations: Compilations::default(),
            judge: Notify::new(),
            unjudged: Pending::default(),
            signatures: stella_operator::signatures::Signatures::default(),
            progress: Progress::default(),
            observed,
        });
        let router = stella_operator::http::router(app.clone(), Health::new(), registry);
        let subscription = app.board.subscribe();
        let ground = Self { app, router, subscription, feed: Feed::default(), cursor: None, _folder: folder };
        for document in documents() {
            let (status, answer) =
                ground.post("/console/vex/statements", "application/json", document.to_string()).await;
            assert!(status.is_success(), "{answer}");
        }
        ground
    }

    pub async fn post(&self, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
        self.answer(Request::post(path).header("content-type", kind), body).await
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.answer(Request::get(path), String::new()).await
    }

    async fn answer(&self, request: axum::http::request::Builder, body: String) -> (StatusCode, Value) {
        let request = request.header("x-stella-tenant", "tenant-default").body(Body::from(body)).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let bytes = axum::body::to_bytes(answer.into_body(), 64 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Waits until the webhook was told verdicts of the policies in force, as it is told: in JSON.
    pub async fn catch_up(&mut self) {
        let wanted = load(&self.app).await.unwrap().revision;
        let end = Instant::now() + Duration::from_secs(60);
        while self.feed.view().policy_revision.as_deref() != Some(wanted.as_str()) {
            assert!(Instant::now() < end, "no verdicts of {wanted}");
            self.hear();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Takes what the webhook is told by now.
    pub fn hear(&mut self) {
        for (cursor, update) in self.subscription.after(self.cursor.as_deref()) {
            let told = serde_json::from_str(&serde_json::to_string(&update).unwrap()).unwrap();
            self.feed.apply(told).unwrap();
            self.cursor = Some(cursor);
        }
    }

    pub fn admits(&self, image: usize) -> &'static str {
        let name = format!("{}@{}", reference(image).rsplit_once(':').unwrap().0, digest(image));
        word(self.decide(&name).outcome)
    }

    /// What the webhook decides on a pod with an image of that name.
    pub fn decide(&self, name: &str) -> Decision {
        let settings = decision::Settings {
            exempt_namespaces: std::collections::BTreeSet::new(),
            workloads: WorkloadAction::Warn,
            away: AwayAction::FailurePolicy,
            fresh_seconds: 60,
            verdict_seconds: 60,
        };
        let held = Held { view: self.feed.view().clone(), heard_at: Some(now()), cursor: None, content: 1 };
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "operation": "CREATE", "namespace": "team", "name": "p",
                "resource": {"group": "", "version": "v1", "resource": "pods"}, "userInfo": {"username": "someone"},
                "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team"},
                    "spec": {"containers": [{"name": "c", "image": name}]}}},
        });
        let review = Review::read(review.to_string().as_bytes()).unwrap();
        decide(&review, &held, None, &settings, now()).unwrap()
    }

    /// What the runtime API says of all images.
    pub async fn runtime(&self) -> BTreeMap<String, String> {
        self.told((0..IMAGES).map(|image| digest(image).to_string()).collect()).await
    }

    /// What it says of images of these names.
    pub async fn told(&self, images: Vec<String>) -> BTreeMap<String, String> {
        let body = json!({"namespace": "team", "images": images}).to_string();
        let (status, answer) = self.post("/api/v1/scanner/policy/runtime", "application/json", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let word = |value: &Value| match value["policyVerdict"].as_str().unwrap() {
            "fail" => "blocked".to_owned(),
            other => other.to_owned(),
        };
        answer["results"].as_object().unwrap().iter().map(|(image, value)| (image.clone(), word(value))).collect()
    }
}

pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "pass",
        Outcome::Warned => "warn",
        Outcome::Denied => "blocked",
        other => panic!("{other:?}"),
    }
}
