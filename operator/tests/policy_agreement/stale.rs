//! A verdict that was not confirmed for long: the webhook asks for a new scan, and takes it again once it is confirmed, by that scan
//! or by new advisories.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use stella_advisory::naming::package_hashes;
use stella_advisory::{Index, feed, index};
use stella_domain::{Digest, Tenant};
use stella_inventory::{Component, Inventory, Package, PackageKind, Provenance};
use stella_operator::judging::run;
use stella_operator::scanning::{self, Changes, match_image};
use stella_store::{ImageRecord, PolicyRevision, Store};
use tokio_util::sync::CancellationToken;

use crate::cases::now;
use crate::ground::{Ground, word};
use crate::numbers::Numbers;

/// As a person spells it; the webhook has a longer spelling.
const NAME: &str = "nginx:1.25";
/// Time for a webhook to be told. All verdicts are looked at anew after 30 s at the earliest.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

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

/// An index of feeds in which each of `packages` has an advisory.
fn advisories(folder: &Path, packages: &[&str]) -> Arc<Index> {
    let osv = folder.join("feeds/osv/PyPI");
    std::fs::create_dir_all(&osv).unwrap();
    for package in packages {
        let id = format!("PYSEC-2026-{package}");
        let ranges = json!([{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}]);
        let affected = json!([{"package": {"ecosystem": "PyPI", "name": package}, "ranges": ranges}]);
        let document = json!({"id": id, "modified": "2026-05-01T00:00:00Z", "affected": affected});
        std::fs::write(osv.join(format!("{id}.json")), document.to_string()).unwrap();
    }
    let path = folder.join(format!("{}.idx", packages.len()));
    index::write(&feed::read(&folder.join("feeds")).unwrap(), &path).unwrap();
    Arc::new(Index::open(&path).unwrap())
}

/// Files an image with a package that has an advisory.
async fn put_image(store: &Store, tenant: &Tenant) -> Digest {
    let component = Component {
        package: Package::new(PackageKind::Pypi, "django", "3.2", "usr/lib/python3/django.dist-info/METADATA"),
        purl: "pkg:pypi/django@3.2".to_owned(),
        ecosystem: "PyPI".to_owned(),
        layer: None,
    };
    let inventory = Inventory {
        provenance: Provenance::Sbom,
        os: None,
        layers: vec![],
        components: vec![component],
        problems: vec![],
    };
    let record = ImageRecord {
        digest: Digest::of(NAME),
        reference: Some(NAME.to_owned()),
        way: "upload".to_owned(),
        package_keys: package_hashes(&inventory),
        inventory,
        read_at: now(),
    };
    let digest = record.digest;
    store.put_image(tenant, record, &[NAME.to_owned()]).await.unwrap();
    digest
}

/// Waits until the webhook answers that.
async fn until(ground: &mut Ground, answer: &str, why: &str) {
    let end = Instant::now() + TOLD_WITHIN;
    while word(ground.decide(NAME).outcome) != answer {
        assert!(Instant::now() < end, "nobody was told: {why}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        ground.hear();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_verdict_is_refused_until_a_scan_or_new_advisories_confirm_it() {
    stella_service::crypto::install();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut ground = Ground::new(&mut Numbers::of(7), folder, store).await;
    let (tenant, store, app) = (Tenant::default(), ground.app.store.clone(), ground.app.clone());
    let work = tempfile::tempdir().unwrap();
    let old = advisories(work.path(), &["django"]);
    let generation = old.info().generation.hex();
    app.swap_index(Arc::clone(&old), Changes::default());
    let image = put_image(&store, &tenant).await;
    assert_eq!(match_image(&app, &tenant, &image).await.unwrap().findings, 1);
    let grow_stale =
        async || store.confirm_matches(&tenant, &[image], &generation, now().plus_seconds(-3600)).await.unwrap();

    grow_stale().await;
    store.activate_policy(&revision()).await.unwrap();
    let token = CancellationToken::new();
    let judging = tokio::spawn(run(app.clone(), token.clone()));
    ground.catch_up().await;
    let decision = ground.decide(NAME);
    assert_eq!((ground.admits(0), word(decision.outcome)), ("pass", "blocked"));

    // The webhook's wish is recognised, answered as the webhook answers, and queued.
    let wished: Vec<String> = decision.scans.into_iter().map(|wish| wish.image).collect();
    let told = ground.told(wished.clone()).await;
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [(wished[0].clone(), "blocked".to_owned())]);
    assert!(ground.runtime().await.values().all(|word| word == "pass"));
    let asked: Vec<_> = store.open_scans().await.unwrap().into_iter().map(|scan| scan.asked_digest).collect();
    assert_eq!(asked, [Some(image)], "only what is stale is scanned again");

    let scanning = tokio::spawn(scanning::run(app.clone(), token.clone()));
    until(&mut ground, "pass", "a scan confirmed it").await;
    assert!(store.open_scans().await.unwrap().is_empty());

    while !store.stale_images(&tenant, &generation, None, 1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    grow_stale().await;
    app.judge.notify_one();
    until(&mut ground, "blocked", "it is stale again").await;
    let new = advisories(work.path(), &["django", "flask"]);
    let changes = Changes::between(&old, &new).unwrap();
    assert_eq!(changes.packages(), 1, "the image has none of them");
    app.swap_index(new, changes);
    app.scans_changed.notify_one();
    until(&mut ground, "pass", "new advisories say nothing else of it").await;

    token.cancel();
    judging.await.unwrap().unwrap();
    scanning.await.unwrap().unwrap();
}
