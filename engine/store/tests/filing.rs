//! What a scan keeps at once is what its parts would keep one after the other.

mod database;

use std::sync::Arc;

use database::TestDatabase;
use stella_domain::{Digest, Reachability, Severity, Tenant, Timestamp};
use stella_inventory::{Inventory, Provenance};
use stella_store::{Filing, FindingRow, ImageRecord, NewScan, PackedInventory, ScanSource, ScanStatus};

on_both!(
    an_image_its_findings_and_its_scan_are_kept_together,
    a_scan_that_waits_succeeds_and_a_failed_one_succeeds_anew,
    whoever_writes_meanwhile_has_its_turn,
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn record() -> Arc<ImageRecord> {
    let inventory = Inventory {
        provenance: Provenance::Sbom,
        os: None,
        layers: Vec::new(),
        components: Vec::new(),
        problems: Vec::new(),
    };
    Arc::new(ImageRecord {
        digest: Digest::of("image"),
        reference: None,
        way: "sbom".into(),
        inventory,
        read_at: at(1),
        package_keys: vec![1, 2],
    })
}

fn row(number: usize) -> FindingRow {
    FindingRow {
        id: format!("{number:032}"),
        digest: Digest::of("image"),
        rank: i64::try_from(number % 7).unwrap(),
        severity: Severity::High,
        advisory_id: format!("CVE-2026-{number}"),
        names: vec![format!("CVE-2026-{number}")],
        component: i64::try_from(number).unwrap(),
        purl: format!("pkg:npm/a{number}@1"),
        kev: false,
        fixed: true,
        reach: Reachability::Unknown,
        reach_reason: "why".into(),
        evidence: "[]".into(),
        inherited_reach: Reachability::Unknown,
        inherited: "[]".into(),
        badge: "pass".into(),
        verdict: "{}".into(),
        body: "{}".into(),
        first_seen: at(1),
    }
}

fn new_scan() -> NewScan {
    NewScan { digest: Some(Digest::of("image")), source: ScanSource::Sbom, timeout_seconds: 60, ..NewScan::default() }
}

fn filing(image: &Arc<ImageRecord>, scan: &NewScan, findings: Option<&[FindingRow]>) -> Filing {
    Filing {
        image: Arc::clone(image),
        packed: None,
        generation: "g1".into(),
        findings: findings.map(Arc::from),
        scan: scan.clone(),
        message: "read from the upload".into(),
    }
}

async fn an_image_its_findings_and_its_scan_are_kept_together(database: TestDatabase) {
    let (store, tenant) = (database.open().await, Tenant::default());
    let (image, scan) = (record(), new_scan());
    // More than one statement of each length takes, and one of them twice.
    let mut rows: Vec<FindingRow> = (0..299).rev().map(row).collect();
    rows.push(row(7));
    let id = store.file_scan(&tenant, filing(&image, &scan, Some(&rows)), at(2)).await.unwrap();
    assert_eq!(id, scan.id(&tenant));
    let kept = store.image_findings(&tenant, &image.digest).await.unwrap();
    assert_eq!(kept.len(), 299);
    assert!(kept.is_sorted_by_key(|row| (row.rank, row.id.clone())));
    assert!(kept.iter().all(|row| row.first_seen == at(2)));
    let summary = store.image_summary(&tenant, &image.digest).await.unwrap().unwrap();
    assert_eq!(summary.matched_generation.as_deref(), Some("g1"));
    let ended = store.scan(&tenant, &id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.digest, ended.attempt), (ScanStatus::Succeeded, Some(image.digest), 1));
    let events = store.scan_events(&tenant, &id, 0).await.unwrap();
    assert_eq!(events.iter().map(|event| event.state.as_str()).collect::<Vec<_>>(), ["Pending", "Succeeded"]);

    // The same again with findings that hold on and with the inventory as it is kept, and then with fewer.
    let kept_image = store.image(&tenant, &image.digest).await.unwrap().unwrap();
    let packed = PackedInventory::of_json(&image.inventory.to_json()).unwrap();
    let again = Filing { packed: Some(packed), ..filing(&image, &scan, None) };
    store.file_scan(&tenant, again, at(3)).await.unwrap();
    assert_eq!(store.image(&tenant, &image.digest).await.unwrap().unwrap(), kept_image);
    assert_eq!(kept_image.inventory, image.inventory);
    assert_eq!(store.image_findings(&tenant, &image.digest).await.unwrap(), kept);
    assert_eq!(store.scan_events(&tenant, &id, 0).await.unwrap(), events, "a scan ends once");
    store.file_scan(&tenant, filing(&image, &scan, Some(&rows[..2])), at(4)).await.unwrap();
    let fewer = store.image_findings(&tenant, &image.digest).await.unwrap();
    assert_eq!(fewer.len(), 2);
    assert!(fewer.iter().all(|row| row.first_seen == at(2)), "they appeared before");
    store.file_scan(&tenant, filing(&image, &scan, Some(&rows)), at(5)).await.unwrap();
    let back = store.image_findings(&tenant, &image.digest).await.unwrap();
    assert_eq!(back.len(), 299);
    assert!(back.iter().all(|row| row.first_seen == at(2)), "they had been there before they were gone");
    store.file_scan(&tenant, filing(&image, &scan, Some(&[])), at(6)).await.unwrap();
    store.file_scan(&tenant, filing(&image, &scan, Some(&[row(300)])), at(7)).await.unwrap();
    assert_eq!(store.image_findings(&tenant, &image.digest).await.unwrap()[0].first_seen, at(7));
}

async fn a_scan_that_waits_succeeds_and_a_failed_one_succeeds_anew(database: TestDatabase) {
    let (store, tenant) = (database.open().await, Tenant::default());
    let (image, scan) = (record(), new_scan());
    let waiting = store.submit_scan(&tenant, &scan, at(1)).await.unwrap().scan;
    store.file_scan(&tenant, filing(&image, &scan, Some(&[])), at(2)).await.unwrap();
    let ended = store.scan(&tenant, &waiting.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.attempt), (ScanStatus::Succeeded, 1));
    assert_eq!(store.scan_events(&tenant, &waiting.id, 0).await.unwrap().len(), 2);

    let again = NewScan { force: true, ..scan.clone() };
    let second = store.submit_scan(&tenant, &again, at(3)).await.unwrap().scan;
    store.advance_scan(&second, ScanStatus::Failed, None, "gone", at(4)).await.unwrap();
    store.file_scan(&tenant, filing(&image, &scan, Some(&[])), at(5)).await.unwrap();
    let ended = store.scan(&tenant, &waiting.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.attempt, ended.failure), (ScanStatus::Succeeded, 3, None));
}

fn name(number: usize) -> Digest {
    Digest::of(format!("image {number}"))
}

/// Filings and what else writes, some through the driver and some not: each waits for the others, and all are kept.
async fn whoever_writes_meanwhile_has_its_turn(database: TestDatabase) {
    let (store, tenant) = (&database.open().await, &Tenant::default());
    let one = |number: usize| async move {
        let digest = name(number);
        let image = Arc::new(ImageRecord { digest, ..(*record()).clone() });
        let own = |row: FindingRow| FindingRow { id: format!("{number:08}{}", &row.id[8..]), digest, ..row };
        let rows: Vec<FindingRow> = (0..9).map(row).map(own).collect();
        let scan = NewScan { digest: Some(digest), ..new_scan() };
        let id = store.file_scan(tenant, filing(&image, &scan, Some(&rows)), at(2)).await.unwrap();
        store.put_name(tenant, &format!("app:{number}"), &digest, at(2)).await.unwrap();
        store.replace_findings(tenant, &digest, "g2", &rows[..4], at(3)).await.unwrap();
        store.confirm_matches(tenant, &[digest], "g3", at(3)).await.unwrap();
        id
    };
    let other = |number: usize| async move {
        let new = NewScan { reference: Some(format!("waits:{number}")), timeout_seconds: 60, ..NewScan::default() };
        store.submit_scan(tenant, &new, at(2)).await.unwrap().scan.id
    };
    let (filed, queued) =
        futures::join!(futures::future::join_all((0..8).map(one)), futures::future::join_all((0..8).map(other)));
    for id in filed {
        assert_eq!(store.scan(tenant, &id).await.unwrap().unwrap().status, ScanStatus::Succeeded);
    }
    for id in queued {
        assert_eq!(store.scan(tenant, &id).await.unwrap().unwrap().status, ScanStatus::Pending);
    }
    for number in 0..8 {
        let image = store.image_summary(tenant, &name(number)).await.unwrap().unwrap();
        assert_eq!(image.matched_generation.as_deref(), Some("g3"));
        assert_eq!(store.image_findings(tenant, &image.digest).await.unwrap().len(), 4);
        let names = [format!("app:{number}"), image.digest.to_string()];
        assert_eq!(store.image_names(tenant, &image.digest).await.unwrap(), names);
    }
}
