//! A verdict that was not confirmed for long: the webhook asks for a new scan, and takes it again once it is confirmed.

use std::time::{Duration, Instant};

use serde_json::json;
use stella_domain::Tenant;
use stella_operator::judging::run;
use stella_store::{PolicyRevision, Store};
use tokio_util::sync::CancellationToken;

use crate::cases::{digest, now};
use crate::ground::Ground;
use crate::numbers::Numbers;

/// Lets everything in that was scanned, and matched within the last hour.
fn revision() -> PolicyRevision {
    let admission = json!({"mode": "enforce", "unscanned": "deny", "staleAfterSeconds": 3600});
    PolicyRevision {
        tenant: Tenant::default(),
        number: 0,
        name: "stella-system/fresh".to_owned(),
        digest: "fresh".to_owned(),
        source: "Policy stella-system/fresh".to_owned(),
        actor: "test".to_owned(),
        at: now(),
        priority: 0,
        body: json!({"rules": [{"name": "all", "action": {"type": "ignore"}}], "admission": admission}).to_string(),
        active: true,
        description: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_verdict_is_refused_scanned_again_and_taken_when_it_is_confirmed() {
    stella_service::crypto::install();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut ground = Ground::new(&mut Numbers::of(7), folder, store).await;
    let (tenant, store) = (Tenant::default(), ground.app.store.clone());
    let confirm = async |seconds: i64| {
        store.confirm_matches(&tenant, &[digest(1)], "g", now().plus_seconds(seconds)).await.unwrap();
    };
    confirm(-3600).await;
    store.activate_policy(&revision()).await.unwrap();
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(ground.app.clone(), token.clone()));
    ground.catch_up().await;
    assert_eq!((ground.admits(0), ground.admits(1)), ("pass", "blocked"));

    ground.runtime().await;
    let asked: Vec<_> = store.open_scans().await.unwrap().into_iter().map(|scan| scan.asked_digest).collect();
    assert_eq!(asked, [Some(digest(1))], "only what is stale is scanned again");

    confirm(-3599).await;
    ground.app.unjudged.renew(&tenant, &digest(1));
    let end = Instant::now() + Duration::from_secs(60);
    while ground.admits(1) != "pass" {
        assert!(Instant::now() < end, "nobody was told that it is confirmed");
        tokio::time::sleep(Duration::from_millis(5)).await;
        ground.hear();
    }
    token.cancel();
    judging.await.unwrap().unwrap();
}
