//! Several policies of a namespace and of the tenant, waivers of the API and an environment, all at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use stella_api::finding::Finding;
use stella_domain::Tenant;
use stella_judged::{policy_input, statements};
use stella_operator::judging::{Basis, explained, run};
use stella_operator::namespaces::Namespace;
use stella_policy::{Compiled, Context, Document, FindingInput, Format, evaluate, parse, parse_value};
use stella_store::{NewScan, PolicyRevision, ScanStatus, Store};
use tokio_util::sync::CancellationToken;

use crate::IMAGES;
use crate::cases::{digest, now, policy, reference, rego_policy};
use crate::ground::Ground;
use crate::numbers::Numbers;
use crate::schema;

const ROUNDS: usize = 20;
/// Of a namespace, of the whole tenant by name, and of the whole tenant with a selector that does not hold.
const NAMES: [&str; 4] = ["team/own", "stella-system/strict", "stella-system/late", "stella-system/elsewhere"];

struct Standing {
    name: &'static str,
    priority: i32,
    document: Document,
}

impl Standing {
    fn made(numbers: &mut Numbers, name: &'static str, number: usize) -> Self {
        let (text, format) = match numbers.below(4) {
            0 => (rego_policy(numbers), Format::Rego),
            _ => (policy(numbers, number), Format::Yaml),
        };
        let mut document = parse(&text, format).accept().unwrap();
        document.environments = match numbers.below(3) {
            0 => vec![],
            1 => vec!["prod".to_owned()],
            _ => vec!["dev".to_owned()],
        };
        Self { name, priority: i32::try_from(numbers.below(3)).unwrap(), document }
    }

    /// The revision that the controller would put into force.
    fn revision(&self) -> PolicyRevision {
        let mut spec = serde_json::to_value(&self.document).unwrap();
        let rego = spec["rego"].take();
        if !rego.is_null() {
            spec["format"] = json!("rego");
            spec["content"] = rego;
        }
        spec["admission"] = json!({"mode": "enforce"});
        if self.name.ends_with("elsewhere") {
            spec["admission"]["namespaceSelector"] = json!({"matchLabels": {"team": "another"}});
        }
        PolicyRevision {
            tenant: Tenant::default(),
            number: 0,
            name: self.name.to_owned(),
            digest: self.document.digest().unwrap().to_string(),
            source: format!("Policy {}", self.name),
            actor: "test".to_owned(),
            at: now(),
            priority: i64::from(self.priority),
            body: spec.to_string(),
            active: true,
            description: String::new(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_policies_waivers_and_an_environment_have_one_answer() {
    stella_service::crypto::install();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut numbers = Numbers::of(7);
    let mut ground = Ground::new(&mut numbers, folder, store).await;
    let labels = [("stella-ops.org/environment", "prod"), ("team", "shop")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    ground.app.namespaces.set("team", Namespace { labels });
    let waivers = waivers(&ground).await;
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    let mut seen = BTreeMap::<String, usize>::new();
    for round in 0..ROUNDS {
        let standing: Vec<Standing> =
            NAMES.iter().enumerate().map(|(at, name)| Standing::made(&mut numbers, name, 4 * round + at)).collect();
        for policy in &standing {
            ground.app.store.activate_policy(&policy.revision()).await.unwrap();
        }
        ground.app.judge.notify_one();
        ground.catch_up().await;
        let told = ground.runtime().await;
        let compiled = compiled(&standing, &waivers);
        for image in 0..IMAGES {
            let wanted = wanted(&ground, &compiled, image).await;
            assert_eq!(ground.admits(image), wanted, "webhook, round {round}, {}", reference(image));
            assert_eq!(told[&digest(image).to_string()], wanted, "api, round {round}, {}", reference(image));
            *seen.entry(wanted).or_default() += 1;
        }
    }
    token.cancel();
    judging.await.unwrap().unwrap();
    let cases = ROUNDS * IMAGES;
    assert!(["pass", "warn", "blocked"].iter().all(|word| seen[*word] > cases / 20), "cases of all kinds: {seen:?}");
}

/// Waivers as the API takes them: one for every image, one for some, and one whose time is over at that very second.
async fn waivers(ground: &Ground) -> Vec<Value> {
    let waiver = |id: &str, cve: u32, images: Value, expires: &str| {
        json!({"id": id, "cve": format!("CVE-2026-{cve}"), "images": images, "justification": "j", "owner": "o",
            "ticket": "t", "expires": expires})
    };
    let waivers = vec![
        waiver("everywhere", 1, json!([]), "2027-01-01T00:00:00Z"),
        waiver("shop", 2, json!(["registry.example/shop/**"]), "2027-01-01T00:00:00Z"),
        waiver("later", 3, json!([]), "2026-06-01T00:00:01Z"),
    ];
    for waiver in &waivers {
        let (status, answer) = ground.post("/api/v1/waivers", "application/json", waiver.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    waivers
}

/// What holds in the namespace, by the words of the contract and not by the code that finds it out.
fn compiled(standing: &[Standing], waivers: &[Value]) -> Vec<Compiled> {
    let document = json!({"version": "1.0", "rules": [], "waivers": waivers});
    let waivers = Compiled::new("waivers", i32::MAX, &parse_value(&document).accept().unwrap()).unwrap();
    let holding = standing.iter().filter(|policy| !policy.name.ends_with("elsewhere"));
    let policies = holding.map(|policy| Compiled::new(policy.name, policy.priority, &policy.document).unwrap());
    std::iter::once(waivers).chain(policies).collect()
}

async fn wanted(ground: &Ground, policies: &[Compiled], image: usize) -> String {
    let (tenant, digest) = (Tenant::default(), digest(image));
    let rows = ground.app.store.image_findings(&tenant, &digest).await.unwrap();
    let told: Vec<Finding> = explained(&ground.app, &tenant, &rows).await.unwrap().into_iter().flatten().collect();
    let inputs: Vec<FindingInput> = told
        .iter()
        .map(|finding| FindingInput {
            vex: finding.vex.as_ref().map(statements).unwrap_or_default(),
            ..policy_input(finding)
        })
        .collect();
    let name = reference(image);
    let context = Context {
        repository: name.rsplit_once(':').map(|(before, _)| before.to_owned()),
        image: Some(name),
        digests: vec![digest],
        environment: Some("prod".to_owned()),
        now: now(),
        ..Context::default()
    };
    evaluate(policies, &inputs, &context).image.name().to_owned()
}

/// The environment that a scan's metadata name counts for what is asked of the scan, and not for what is asked of a namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_is_judged_in_its_own_environment() {
    stella_service::crypto::install();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut ground = Ground::new(&mut Numbers::of(3), folder, store).await;
    let labels = [("stella-ops.org/environment".to_owned(), "prod".to_owned())].into();
    ground.app.namespaces.set("team", Namespace { labels });
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    let text = "version: '1.0'\nrules: [{name: dev, environments: [dev], action: ignore}, {name: all, action: block}]";
    let (status, answer) = ground.post("/policy/import", "application/yaml", text.to_owned()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    ground.catch_up().await;
    for (environment, rule, word) in
        [(Some("dev"), "dev", "pass"), (Some("prod"), "all", "blocked"), (None, "all", "blocked")]
    {
        let scan = scanned(&ground, environment).await;
        let (status, page) = ground.get(&format!("/api/v1/scans/{scan}/findings")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().unwrap();
        assert!(!items.is_empty());
        assert!(items.iter().all(|finding| finding["verdict"]["ruleName"] == rule), "{environment:?}: {page}");
        let (status, report) =
            ground.post("/api/v1/reports", "application/json", json!({"scanId": scan}).to_string()).await;
        assert!(status.is_success(), "{report}");
        assert_eq!(report["report"]["verdict"], word, "{environment:?}");
        assert_eq!(ground.admits(0), "blocked", "the namespace has its own");
    }
    token.cancel();
    judging.await.unwrap().unwrap();
}

/// A finished scan of the first image.
async fn scanned(ground: &Ground, environment: Option<&str>) -> String {
    let (tenant, store) = (Tenant::default(), &ground.app.store);
    let metadata = environment.map(|name| ("environment".to_owned(), name.to_owned())).into_iter().collect();
    let new =
        NewScan { reference: Some(reference(0)), metadata, force: true, timeout_seconds: 60, ..NewScan::default() };
    let scan = store.submit_scan(&tenant, &new, now()).await.unwrap().scan;
    assert!(store.advance_scan(&scan, ScanStatus::Running, None, "", now()).await.unwrap());
    let scan = store.scan(&tenant, &scan.id).await.unwrap().unwrap();
    assert!(store.advance_scan(&scan, ScanStatus::Succeeded, Some(&digest(0)), "", now()).await.unwrap());
    scan.id
}

/// A policy in force that this release cannot read, as after a step back to an earlier one: it blocks, and whoever asks for its
/// text is told why there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cannot_be_read_any_more_blocks_and_is_not_shown_as_empty() {
    stella_service::crypto::install();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut ground = Ground::new(&mut Numbers::of(3), folder, store).await;
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    let spec = json!({"rules": [{"name": "a", "severity": ["Dire"], "action": {"type": "warn"}}], "admission": {"mode": "enforce"}});
    let standing = Standing { name: "stella-system/strict", priority: 0, document: Document::default() };
    let revision = PolicyRevision { body: spec.to_string(), ..standing.revision() };
    let number = ground.app.store.activate_policy(&revision).await.unwrap().number;
    ground.app.judge.notify_one();
    ground.catch_up().await;
    assert_eq!(ground.admits(0), "blocked");
    assert_eq!(ground.runtime().await[&digest(0).to_string()], "blocked");
    let (status, told) = ground.get("/policy/export").await;
    assert_eq!(status, StatusCode::CONFLICT, "{told}");
    assert!(told["detail"].as_str().unwrap().contains("stella-system/strict"), "{told}");
    for name in ["stella-system/strict".to_owned(), format!("rev-{number}")] {
        let body = json!({"reference": reference(0)}).to_string();
        let (status, told) = ground.post(&format!("/scan?policy={name}"), "application/json", body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{told}");
    }
    token.cancel();
    judging.await.unwrap().unwrap();
}

/// What another replica writes is noticed by the next look at everything, so that projections are worked out anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_that_another_replica_wrote_are_noticed() {
    let Ok(url) = std::env::var("STELLA_TEST_POSTGRES") else {
        eprintln!("SKIPPED: no PostgreSQL server in $STELLA_TEST_POSTGRES; run it with tests/postgres/with.sh");
        return;
    };
    stella_service::crypto::install();
    let (tenant, url) = (Tenant::default(), schema::own(&url, "noticed").await);
    let store = Store::connect(&url).await.unwrap();
    let mut ground = Ground::new(&mut Numbers::of(3), tempfile::tempdir().unwrap(), store).await;
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    ground.catch_up().await;
    let basis = async || Basis::now(&ground.app, &tenant, "digest", "looks").await.unwrap();
    let before = basis().await;
    let other = Store::connect(&url).await.unwrap();
    other.replace_findings(&tenant, &digest(0), "h", &[], now()).await.unwrap();
    assert_eq!(basis().await, before, "not looked yet");
    ground.app.judge.notify_one();
    let end = Instant::now() + Duration::from_secs(60);
    while basis().await == before {
        assert!(Instant::now() < end, "it is never noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    token.cancel();
    judging.await.unwrap().unwrap();
}
