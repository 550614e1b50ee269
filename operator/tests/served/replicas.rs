//! Two operators on one PostgreSQL database.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use stella_domain::Digest;

use crate::database;
use crate::running::Operator;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_take_each_others_tokens_and_share_what_they_have_left() {
    let Ok(url) = std::env::var("STELLA_TEST_POSTGRES") else {
        eprintln!("SKIPPED: $STELLA_TEST_POSTGRES names no server (tests/postgres/with.sh)");
        return;
    };
    // Keys lie in the folder, which replicas share.
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str| Operator::start(folder.path(), &["--database-url", &url, "--instance", name]);
    let both = [start("one"), start("two")];
    let token = both[0].client("shared", &["policy.read"], &["tenant-default"]).await;
    let ask = |at: usize| both[at % 2].request(Method::GET, "/policy/export").bearer_auth(&token).send();

    let begun = Instant::now();
    let mut passed = 0_u32;
    while begun.elapsed() < Duration::from_secs(3) {
        let answers = join_all((0..20).map(ask)).await;
        passed += u32::try_from(answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 200).count())
            .unwrap();
    }
    // A burst, what came in since, and what each replica gives on account.
    let most = 40.0 + begun.elapsed().as_secs_f64() * 40.0 + 2.0 * 5.0;
    assert!(passed >= 100 && f64::from(passed) <= most, "{passed} passed in {:?}, {most} at most", begun.elapsed());

    let offline = both[0].request(Method::POST, "/token/offline").bearer_auth(both[0].admin().await);
    let offline = offline.json(&json!({"expiresDays": 1, "maxScansPerDay": 3})).send().await.unwrap();
    let offline = offline.json::<Value>().await.unwrap()["jwt"].as_str().unwrap().to_owned();
    let scans = join_all((0..8).map(|at| {
        let body = json!({"image": {"reference": format!("registry.example.com/replica:{at}")}});
        both[at % 2].request(Method::POST, "/api/v1/scans").bearer_auth(&offline).json(&body).send()
    }));
    let taken = scans.await.into_iter().filter(|answer| answer.as_ref().unwrap().status().is_success()).count();
    assert_eq!(taken, 3, "the day's scans are counted once");

    let disabled = both[0].request(Method::PATCH, "/api/v1/admin/clients/shared").bearer_auth(both[0].admin().await);
    assert_eq!(disabled.json(&json!({"disabled": true})).send().await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(ask(1).await.unwrap().status(), 401, "the other replica knows within two seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_what_another_replica_does() {
    let Some(server) = database::Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let flags = ["--allow-anonymous", "--database-url", &server.url, "--instance", name];
        tokio::task::block_in_place(|| Operator::start(folder.path(), &flags))
    };
    let (one, two) = (start("one"), start("two"));
    let image = json!({"image": {"digest": Digest::of("nobody has it").to_string()}});
    let asked = two.request(Method::POST, "/api/v1/scans").json(&image).send().await.unwrap();
    let asked: Value = asked.json().await.unwrap();
    let scan = asked["location"].as_str().unwrap_or_else(|| panic!("{asked}"));
    let steps = one.request(Method::GET, &format!("{scan}/events")).header("accept", "application/x-ndjson");
    let steps = steps.send().await.unwrap();
    assert_eq!(steps.status(), 200);

    let begun = Instant::now();
    let called_off = two.request(Method::DELETE, scan).send().await.unwrap();
    assert_eq!(called_off.status(), 200);
    let told =
        tokio::time::timeout(Duration::from_secs(60), steps.text()).await.expect("it ends with its scan").unwrap();
    assert!(told.contains("\"Pending\"") && told.contains("\"Cancelled\""), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it was told; by itself it looks every 15 s");
}
