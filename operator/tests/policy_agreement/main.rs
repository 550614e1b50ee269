//! Whoever is asked about an image gives the same answer: the webhook from the verdicts it holds, the runtime API, the projection
//! of the controller, the command line, and the preview before the policy was there. 100 policies over 100 images, a tenth of
//! them in Rego; and several policies together, with waivers of the API, in a namespace with an environment.

mod cases;
mod ground;
#[path = "../numbers/mod.rs"]
mod numbers;
#[path = "../schema/mod.rs"]
mod schema;
mod stale;
mod together;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use cases::{digest, now, policy, reference, rego_policy};
use ground::Ground;
use numbers::Numbers;
use stella_api::finding::Finding;
use stella_cli::stella::{PolicyFile, context};
use stella_crds::PolicySpec;
use stella_domain::{Reachability, Tenant};
use stella_operator::judging::{explained, judge_rows, projection, run};
use stella_operator::reports::image_verdict;
use stella_policy::{Compiled, Format, parse};
use stella_store::{ObservedContainer, ObservedEvent, Store};
use tokio_util::sync::CancellationToken;

const IMAGES: usize = 100;
const POLICIES: usize = 100;

/// Whole verdicts: status, deciding rule, who hides it, scores and confidence.
fn verdicts(findings: &[Finding]) -> BTreeMap<String, serde_json::Value> {
    findings.iter().map(|finding| (finding.finding_id.clone(), finding.verdict.clone())).collect()
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
    let (tenant, mut numbers) = (Tenant::default(), Numbers::of(7));
    let mut ground = Ground::new(&mut numbers, folder, store).await;
    let started: Vec<ObservedEvent> = (0..IMAGES).step_by(2).map(started).collect();
    ground.app.store.ingest(started).await.unwrap();
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
        let reported = image_verdict(&ground.app, &tenant, &digest(image), &rows).await.unwrap();
        assert_eq!(reported.name(), wanted, "report, {name}");
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
    let mut numbers = Numbers::of(2026);
    let mut ground = Ground::new(&mut numbers, folder, store).await;
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    ground.catch_up().await;
    let (tenant, folder) = (Tenant::default(), tempfile::tempdir().unwrap());
    let mut before: BTreeMap<String, String> = ground.runtime().await;
    let (mut cases, mut seen) = (0, BTreeMap::<&str, usize>::new());
    for number in 0..policies {
        let rego = number % 10 == 9;
        let (text, format, name) = if rego {
            (rego_policy(&mut numbers), Format::Rego, "policy.rego")
        } else {
            (policy(&mut numbers, number), Format::Yaml, "policy.yaml")
        };
        let (status, impact) = ground.post("/api/v1/policy/impact", "text/plain", text.clone()).await;
        assert_eq!(status, StatusCode::OK, "{text}{impact}");
        let (status, answer) = ground.post("/policy/import", "text/plain", text.clone()).await;
        assert_eq!(status, StatusCode::OK, "{text}{answer}");
        ground.catch_up().await;

        let file = folder.path().join(name);
        std::fs::write(&file, &text).unwrap();
        let here = PolicyFile::read(&file, now()).unwrap();
        let document = parse(&text, format).accept().unwrap();
        let compiled = Compiled::new("import", 0, &document).unwrap();
        let (projected, _) = projection(&ground.app, &tenant, &compiled, &PolicySpec::default(), None).await.unwrap();
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
            assert_eq!(verdicts(&own), verdicts(&told), "findings, {}: {text}", reference(image));
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
