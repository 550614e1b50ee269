//! Whoever is asked about an image gives the same answer: the webhook from the verdicts it holds, the runtime API, the projection
//! of the controller, the command line, and the preview before the policy was there. 100 policies over 100 images.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use prometheus::Registry;
use serde_json::{Value, json};
use stella_api::admission::AdmissionMode;
use stella_api::finding::Finding;
use stella_attest::SigningKey;
use stella_cli::stella::{PolicyFile, context};
use stella_domain::{Digest, Reachability, Tenant, Timestamp};
use stella_inventory::{Inventory, Provenance};
use stella_operator::app::{App, Parts, Settings};
use stella_operator::auth::Authenticator;
use stella_operator::judging::{
    Board, Compilations, Pending, Projections, Shelves, Subscription, explained, judge_rows, load, projection, run,
};
use stella_operator::limits::Rates;
use stella_operator::metrics::Metrics;
use stella_operator::namespaces::Namespaces;
use stella_operator::reports::image_verdict;
use stella_operator::scanning::WorkHub;
use stella_policy::{Compiled, Format, parse};
use stella_service::clock::Clock;
use stella_service::health::Health;
use stella_store::{FindingRow, ImageRecord, ObservedContainer, ObservedEvent, Store};
use stella_webhook::decision::{self, AwayAction, Outcome, WorkloadAction, decide};
use stella_webhook::review::Review;
use stella_webhook::verdicts::{Feed, Held};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const IMAGES: usize = 100;
const POLICIES: usize = 100;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// Numbers that look drawn, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % end as u64).unwrap()
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

fn reference(number: usize) -> String {
    format!("registry.example/{}/app{number}:1.{}", ["shop", "pay"][number % 2], number % 5)
}

fn digest(number: usize) -> Digest {
    Digest::of(format!("image {number}"))
}

fn finding(numbers: &mut Numbers, image: usize, number: usize) -> Finding {
    let severity = numbers.one(&["Critical", "High", "Medium", "Low", "None", "Unknown"]);
    let (name, ecosystem, source) =
        *numbers.one(&[&("django", "PyPI", "PyPI"), &("lodash", "npm", "GHSA"), &("openssl", "Debian", "Debian")]);
    let cve = format!("CVE-2026-{}", numbers.below(30));
    let licences: &[&str] = numbers.one(&[&["MIT"][..], &["GPL-3.0-only", "MIT"][..], &[][..]]);
    let fixed: &[&str] = numbers.one(&[&["9"][..], &[][..]]);
    let version = format!("{}.{}", numbers.below(4), numbers.below(4));
    serde_json::from_value(json!({
        "findingId": format!("finding-{image}-{number}"), "advisoryId": cve,
        "aliases": [cve, format!("GHSA-{}", numbers.below(9))], "severity": severity, "cvss": null,
        "kev": numbers.below(5) == 0, "epss": (numbers.below(2) == 0).then(|| numbers.below(100) as f64 / 100.0),
        "package": {"name": name, "version": version, "ecosystem": ecosystem, "licenses": licences, "source": null,
            "purl": format!("pkg:{}/{name}@{version}", ecosystem.to_lowercase())},
        "location": {"path": format!("usr/lib/{name}"), "layer": Digest::of(format!("layer {}", number % 3))},
        "fixedIn": fixed, "summary": "", "sources": [source],
        "reachability": {"status": "unknown", "evidence": []}, "verdict": {"status": "Pass"}, "vex": null,
    }))
    .unwrap()
}

fn row(numbers: &mut Numbers, finding: &Finding, image: Digest, component: i64) -> FindingRow {
    use Reachability::{Entrypoint, Runtime, Unknown, Unreachable};
    FindingRow {
        id: finding.finding_id.clone(),
        digest: image,
        rank: finding.rank(),
        severity: finding.severity,
        advisory_id: finding.advisory_id.clone(),
        names: finding.aliases.clone(),
        component,
        purl: finding.package.purl.clone(),
        kev: finding.kev,
        fixed: !finding.fixed_in.is_empty(),
        reach: *numbers.one(&[&Entrypoint, &Runtime, &Unknown, &Unreachable]),
        reach_reason: String::new(),
        evidence: "[]".to_owned(),
        inherited_reach: Unknown,
        inherited: "[]".to_owned(),
        badge: "pass".to_owned(),
        verdict: json!({"status": "Pass"}).to_string(),
        body: serde_json::to_string(finding).unwrap(),
        first_seen: now(),
    }
}

/// A policy with rules, and now and then waivers, over what the findings can tell apart.
fn policy(numbers: &mut Numbers, number: usize) -> String {
    let mut text = format!("version: \"1.0\"\ndescription: number {number}\nrules:\n");
    for rule in 0..=numbers.below(4) {
        let conditions: Vec<&str> = (0..=numbers.below(2)).map(|_| condition(numbers)).collect();
        let mut conditions: Vec<&str> = conditions.into_iter().filter(|text| !text.is_empty()).collect();
        // The same field twice would be no YAML.
        conditions.sort_by_key(|text| text.split(':').next().map(str::to_owned));
        conditions.dedup_by_key(|text| text.split(':').next().map(str::to_owned));
        let action = numbers.one(&[
            "block",
            "block",
            "warn",
            "ignore",
            "defer",
            "{type: escalate, minimumSeverity: Critical}",
            "{type: escalate, minimumSeverity: High, requireKev: true}",
            "{type: requireVex, vendors: [Acme]}",
            "{type: requireVex, justifications: [component_not_present]}",
            "{type: block, until: 2026-05-01T00:00:00Z}",
        ]);
        let conditions: String = conditions.iter().map(|text| format!(", {text}")).collect();
        text.push_str(&format!("- {{name: r{rule}{conditions}, action: {action}}}\n"));
    }
    if numbers.below(3) == 0 {
        text.push_str("waivers:\n");
        for waiver in 0..=numbers.below(2) {
            let scope = numbers.one(&[
                "",
                ", images: ['registry.example/shop/**']",
                ", purls: ['pkg:pypi/*']",
                ", digests: ['DIGEST']",
            ]);
            let scope = scope.replace("DIGEST", &digest(numbers.below(IMAGES)).to_string());
            let expires = numbers.one(&["2026-06-01T00:00:00Z", "2027-01-01T00:00:00Z"]);
            let cve = numbers.below(30);
            text.push_str(&format!(
                "- {{id: w{waiver}, cve: CVE-2026-{cve}{scope}, justification: j, owner: o, ticket: t, expires: {expires}}}\n"
            ));
        }
    }
    text
}

fn condition(numbers: &mut Numbers) -> &'static str {
    numbers.one(&[
        "",
        "severity: [Critical, High]",
        "severity: [Medium, Low, None]",
        "severity: [Unknown]",
        "sources: [GHSA]",
        "licenses: [GPL-3.0-only]",
        "vendors: [debian]",
        "environments: [prod]",
        "match: {packages: ['djang*']}",
        "match: {purls: ['pkg:npm/*@1.*']}",
        "match: {cves: ['CVE-2026-1*']}",
        "match: {cves: ['GHSA-3']}",
        "match: {images: ['registry.example/shop/**']}",
        "match: {repositories: ['registry.example/*/app1*']}",
        "match: {paths: ['usr/**/openssl']}",
        "reachability: [runtime, entrypoint]",
        "reachability: [unreachable]",
        "kev: true",
        "epssMin: 0.5",
        "fixAvailable: true",
        "fixAvailable: false",
        "expires: 2026-06-01T00:00:00Z",
    ])
}

/// Two vendors who do not agree on everything, one of them with a narrow document.
fn documents() -> [Value; 2] {
    let document = |author: &str, statements: Value| {
        json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": format!("https://vex.example/{author}"),
            "author": author, "timestamp": "2026-01-01T00:00:00Z", "statements": statements})
    };
    let said = |cve: usize, product: &str, status: &str| {
        let mut said = json!({"vulnerability": {"name": format!("CVE-2026-{cve}")}, "products": [{"@id": product}],
            "status": status});
        if status == "not_affected" {
            said["justification"] = "component_not_present".into();
        }
        if status == "affected" {
            said["action_statement"] = "update".into();
        }
        said
    };
    let django = "pkg:pypi/django";
    [
        document("Acme", (0..8).map(|cve| said(cve, django, "not_affected")).collect()),
        document(
            "Other",
            json!([
                said(3, "pkg:pypi/django@1.1", "affected"),
                said(5, django, "under_investigation"),
                said(20, "pkg:npm/lodash@2.2", "fixed")
            ]),
        ),
    ]
}

struct Ground {
    app: App,
    router: axum::Router,
    subscription: Subscription,
    feed: Feed,
    cursor: Option<String>,
    _folder: tempfile::TempDir,
}

impl Ground {
    async fn new(numbers: &mut Numbers, folder: tempfile::TempDir, store: Store) -> Self {
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
            store.put_image(&tenant, &record, &[reference(image)]).await.unwrap();
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
            board: Board::new(now()),
            statements: Shelves::default(),
            projections: Projections::default(),
            metrics: Metrics::register(&registry).unwrap(),
            cluster: None,
            index: RwLock::new(None),
            changes: RwLock::default(),
            scans_changed: Notify::new(),
            compilations: Compilations::default(),
            judge: Notify::new(),
            unjudged: Pending::default(),
            progress: Notify::new(),
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

    async fn post(&self, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
        let request = Request::post(path).header("content-type", kind).header("x-stella-tenant", "tenant-default");
        let answer = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = axum::body::to_bytes(answer.into_body(), 64 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Waits until the webhook was told verdicts of the policies in force, as it is told: in JSON.
    async fn catch_up(&mut self) {
        let wanted = load(&self.app).await.unwrap().revision;
        let end = Instant::now() + Duration::from_secs(60);
        while self.feed.view().policy_revision.as_deref() != Some(wanted.as_str()) {
            assert!(Instant::now() < end, "no verdicts of {wanted}");
            for (cursor, update) in self.subscription.after(self.cursor.as_deref()) {
                let told = serde_json::from_str(&serde_json::to_string(&update).unwrap()).unwrap();
                self.feed.apply(told).unwrap();
                self.cursor = Some(cursor);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn admits(&self, image: usize) -> &'static str {
        let settings = decision::Settings {
            exempt_namespaces: std::collections::BTreeSet::new(),
            workloads: WorkloadAction::Warn,
            away: AwayAction::FailurePolicy,
            fresh_seconds: 60,
            verdict_seconds: 60,
        };
        let held = Held { view: self.feed.view().clone(), heard_at: Some(now()), cursor: None, content: 1 };
        let name = format!("{}@{}", reference(image).rsplit_once(':').unwrap().0, digest(image));
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "operation": "CREATE", "namespace": "team", "name": "p",
                "resource": {"group": "", "version": "v1", "resource": "pods"}, "userInfo": {"username": "someone"},
                "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team"},
                    "spec": {"containers": [{"name": "c", "image": name}]}}},
        });
        let review = Review::read(review.to_string().as_bytes()).unwrap();
        match decide(&review, &held, None, &settings, now()).unwrap().outcome {
            Outcome::Allowed => "pass",
            Outcome::Warned => "warn",
            Outcome::Denied => "blocked",
            other => panic!("{other:?}"),
        }
    }

    async fn runtime(&self) -> BTreeMap<String, String> {
        let images: Vec<String> = (0..IMAGES).map(|image| digest(image).to_string()).collect();
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

fn statuses(findings: &[Finding]) -> BTreeMap<String, String> {
    let status = |finding: &Finding| finding.verdict["status"].as_str().unwrap().to_owned();
    findings.iter().map(|finding| (finding.finding_id.clone(), status(finding))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhook_api_controller_command_line_and_preview_agree_on_10000_cases() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    agree(folder, store, POLICIES).await;
}

/// The same on the other database, with fewer policies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_on_postgresql_too() {
    let Ok(url) = std::env::var("STELLA_TEST_POSTGRES") else {
        eprintln!("SKIPPED: no PostgreSQL server in $STELLA_TEST_POSTGRES; run it with tests/postgres/with.sh");
        return;
    };
    let store = Store::connect(&url).await.unwrap();
    agree(tempfile::tempdir().unwrap(), store, 10).await;
}

/// What was started in containers of every other image reaches the API, previews, reports and scans alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_sees_what_containers_were_started_with() {
    stella_service::crypto::install();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (tenant, mut numbers) = (Tenant::default(), Numbers(7));
    let mut ground = Ground::new(&mut numbers, folder, store).await;
    let started: Vec<ObservedEvent> = (0..IMAGES).step_by(2).map(started).collect();
    ground.app.store.ingest(&started).await.unwrap();
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    ground.catch_up().await;

    let levels: Vec<&str> =
        Reachability::ALL.into_iter().filter(|level| level.in_use()).map(Reachability::name).collect();
    let conditions = [
        format!("reachability: [{}]", levels.join(", ")),
        "match: {usedByEntrypoint: ['/usr/bin/python3*']}".to_owned(),
    ];
    let mut verdicts = Vec::new();
    for condition in conditions {
        let text = format!("version: '1.0'\nrules: [{{name: used, {condition}, action: block}}]");
        let (status, impact) = ground.post("/api/v1/policy/impact", "application/yaml", text.clone()).await;
        assert_eq!(status, StatusCode::OK, "{impact}");
        let (status, answer) = ground.post("/policy/import", "application/yaml", text).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        ground.catch_up().await;
        verdicts.push((ground.runtime().await, impact));
    }
    let (in_use, _) = &verdicts[0];
    let (by_entrypoint, impact) = &verdicts[1];
    let mut blocked = 0;
    for image in 0..IMAGES {
        let name = digest(image).to_string();
        let wanted = if image % 2 == 0 { in_use[&name].as_str() } else { "pass" };
        assert_eq!(by_entrypoint[&name], wanted, "api, {name}");
        let rows = ground.app.store.image_findings(&tenant, &digest(image)).await.unwrap();
        let reported = image_verdict(&ground.app, &tenant, &digest(image), &rows, &BTreeMap::new()).await.unwrap();
        assert_eq!(reported, wanted, "report, {name}");
        let record = ground.app.store.image(&tenant, &digest(image)).await.unwrap().unwrap();
        let names = ground.app.store.image_names(&tenant, &digest(image)).await.unwrap();
        let facts: Vec<Finding> = rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect();
        let mut rows = rows;
        let (scanned, _) = judge_rows(&ground.app, &tenant, &record, &names, &facts, &mut rows).await.unwrap();
        assert_eq!(scanned.name(), wanted, "scan, {name}");
        blocked += usize::from(wanted == "blocked");
    }
    assert!((5..IMAGES / 2).contains(&blocked), "{blocked} blocked");
    let freed = in_use.values().filter(|verdict| *verdict == "blocked").count() - blocked;
    assert_eq!(impact["totals"]["freed"], freed, "{impact}");
    token.cancel();
    judging.await.unwrap().unwrap();
}

fn started(image: usize) -> ObservedEvent {
    ObservedEvent {
        tenant: Tenant::default(),
        id: format!("e{image}"),
        kind: String::new(),
        at: now(),
        container: ObservedContainer {
            id: format!("c{image}"),
            image: digest(image).to_string(),
            image_ref: String::new(),
            node: "node-1".into(),
            namespace: "team".into(),
            pod: format!("p{image}"),
            name: "c".into(),
            entrypoint: "/usr/bin/python3.11".into(),
            started_at: now(),
            from_start: true,
            openings: true,
            gap: None,
            stopped_at: None,
        },
        started: true,
        loaded: Vec::new(),
        body: "{}".into(),
    }
}

async fn agree(folder: tempfile::TempDir, store: Store, policies: usize) {
    stella_service::crypto::install();
    let mut numbers = Numbers(2026);
    let mut ground = Ground::new(&mut numbers, folder, store).await;
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    ground.catch_up().await;
    let (tenant, folder) = (Tenant::default(), tempfile::tempdir().unwrap());
    let mut before: BTreeMap<String, String> = ground.runtime().await;
    let (mut cases, mut seen) = (0, BTreeMap::<&str, usize>::new());
    for number in 0..policies {
        let text = policy(&mut numbers, number);
        let (status, impact) = ground.post("/api/v1/policy/impact", "application/yaml", text.clone()).await;
        assert_eq!(status, StatusCode::OK, "{text}{impact}");
        let (status, answer) = ground.post("/policy/import", "application/yaml", text.clone()).await;
        assert_eq!(status, StatusCode::OK, "{text}{answer}");
        ground.catch_up().await;

        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, &text).unwrap();
        let here = PolicyFile::read(&file, now()).unwrap();
        let document = parse(&text, Format::Yaml).accept().unwrap();
        let compiled = Compiled::new("import", 0, &document).unwrap();
        let (projected, _) = projection(&ground.app, &tenant, &compiled, true).await.unwrap();
        let after = ground.runtime().await;

        // What the preview said is what came.
        let mut foreseen = before.clone();
        let mut turned = 0;
        for change in impact["changes"].as_array().unwrap() {
            let text = |field: &str| change[field].as_str().unwrap().to_owned();
            let old = foreseen.insert(text("image"), text("to"));
            assert_eq!(old, Some(text("from")));
            turned += usize::from(text("from") != text("to"));
        }
        assert_eq!(foreseen, after, "{text}");
        let totals = &impact["totals"];
        let counted = ["newlyBlocked", "newlyWarned", "freed"].iter().map(|name| totals[name].as_u64().unwrap());
        assert_eq!(counted.sum::<u64>(), turned as u64, "{text}");

        let mut counts = BTreeMap::<&str, i64>::new();
        for image in 0..IMAGES {
            let rows = ground.app.store.image_findings(&tenant, &digest(image)).await.unwrap();
            let told: Vec<Finding> =
                explained(&ground.app, &tenant, &rows).await.unwrap().into_iter().flatten().collect();
            let mut own = told.clone();
            let verdict = here.judge(&mut own, &context(&reference(image), digest(image), now())).unwrap();
            let admitted = ground.admits(image);
            assert_eq!(verdict.name(), admitted, "webhook, {}: {text}", reference(image));
            assert_eq!(after[&digest(image).to_string()], admitted, "api, {}: {text}", reference(image));
            assert_eq!(statuses(&own), statuses(&told), "findings, {}: {text}", reference(image));
            *counts.entry(admitted).or_default() += 1;
            cases += 1;
        }
        let count = |word: &str| counts.get(word).copied().unwrap_or_default();
        assert_eq!(
            (projected.images, projected.blocked, projected.warned),
            (100, count("blocked"), count("warn")),
            "{text}"
        );
        for (word, count) in counts {
            *seen.entry(word).or_default() += usize::try_from(count).unwrap();
        }
        before = after;
    }
    token.cancel();
    judging.await.unwrap().unwrap();
    assert_eq!(cases, policies * IMAGES);
    assert!(
        ["pass", "warn", "blocked"].iter().all(|word| seen[word] > cases / 20),
        "the cases are of all kinds: {seen:?}"
    );
}
