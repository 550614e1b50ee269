//! Leases on scans, on real databases of both kinds.

mod database;

use database::TestDatabase;
use futures::future::join_all;
use stella_domain::{Tenant, Timestamp};
use stella_store::{NewScan, ScanStatus};

on_both!(
    one_process_works_on_a_scan_and_another_takes_over_when_it_is_gone,
    what_was_called_off_is_not_kept,
    leases_of_one_that_is_gone_end_at_once,
    what_is_put_off_waits_and_nobody_died_over_it
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn wanted(name: &str) -> NewScan {
    NewScan { reference: Some(name.to_owned()), timeout_seconds: 600, ..NewScan::default() }
}

async fn one_process_works_on_a_scan_and_another_takes_over_when_it_is_gone(database: TestDatabase) {
    let store = database.open().await;
    let scan = store.submit_scan(&Tenant::default(), &wanted("a:1"), at(0)).await.unwrap().scan;
    if store.is_shared() {
        let owners: Vec<String> = (0..6).map(|number| number.to_string()).collect();
        let claims = join_all(owners.iter().map(|owner| store.claim_scan(&scan, owner, at(0), at(30)))).await;
        let claimed: Vec<usize> = (0..6).filter(|at| claims[*at].as_ref().unwrap().is_some()).collect();
        let [first] = claimed[..] else { panic!("{claimed:?} claimed it") };
        assert!(store.keep_scan(&scan, &owners[first], at(60)).await.unwrap());
        assert_eq!(store.claim_scan(&scan, "other", at(59), at(90)).await.unwrap(), None);
        assert_eq!(store.claim_scan(&scan, "other", at(60), at(90)).await.unwrap(), Some(2), "it is gone");
        assert!(!store.keep_scan(&scan, &owners[first], at(99)).await.unwrap(), "whoever was too slow is told");
        assert_eq!(store.claim_scan(&scan, "other", at(61), at(90)).await.unwrap(), Some(2), "nobody died");
    } else {
        assert_eq!(store.claim_scan(&scan, "one", at(0), at(30)).await.unwrap(), Some(1));
        assert_eq!(store.claim_scan(&scan, "other", at(1), at(90)).await.unwrap(), Some(2), "there is one process");
    }
    store.release_scan(&scan, "other").await.unwrap();
    assert_eq!(store.claim_scan(&scan, "third", at(61), at(90)).await.unwrap(), Some(1));
}

async fn what_was_called_off_is_not_kept(database: TestDatabase) {
    let store = database.open().await;
    let scan = store.submit_scan(&Tenant::default(), &wanted("a:1"), at(0)).await.unwrap().scan;
    assert_eq!(store.claim_scan(&scan, "one", at(0), at(30)).await.unwrap(), Some(1));
    store.advance_scan(&scan, ScanStatus::Cancelled, None, "off", at(1)).await.unwrap();
    assert!(!store.keep_scan(&scan, "one", at(60)).await.unwrap());
    assert_eq!(store.claim_scan(&scan, "one", at(61), at(90)).await.unwrap(), None);
    let again = store.submit_scan(&Tenant::default(), &wanted("a:1"), at(62)).await.unwrap().scan;
    assert_eq!(store.claim_scan(&again, "other", at(62), at(90)).await.unwrap(), Some(1), "another attempt");
    assert!(!store.keep_scan(&scan, "one", at(99)).await.unwrap());
}

async fn leases_of_one_that_is_gone_end_at_once(database: TestDatabase) {
    let store = database.open().await;
    for (name, owner, then) in [("a:1", "o_e/1", Some(2)), ("b:1", "one/1", None)] {
        let scan = store.submit_scan(&Tenant::default(), &wanted(name), at(0)).await.unwrap().scan;
        assert_eq!(store.claim_scan(&scan, owner, at(0), at(30)).await.unwrap(), Some(1));
        store.end_leases("o_e/").await.unwrap();
        if store.is_shared() {
            assert_eq!(store.claim_scan(&scan, "o_e/2", at(1), at(30)).await.unwrap(), then, "{owner}");
        }
    }
}

async fn what_is_put_off_waits_and_nobody_died_over_it(database: TestDatabase) {
    let store = database.open().await;
    let scan = store.submit_scan(&Tenant::default(), &wanted("a:1"), at(0)).await.unwrap().scan;
    for turn in [0, 10, 20] {
        assert_eq!(store.claim_scan(&scan, "one", at(turn), at(turn + 5)).await.unwrap(), Some(1));
        assert_eq!(store.times_put_off(&scan).await.unwrap(), turn / 10);
        assert!(!store.put_off_scan(&scan, "other", "no", at(turn), at(turn + 10)).await.unwrap());
        assert!(store.put_off_scan(&scan, "one", "later", at(turn), at(turn + 10)).await.unwrap());
        assert_eq!(store.claim_scan(&scan, "one", at(turn + 9), at(99)).await.unwrap(), None);
        assert_eq!(store.scans_put_off(at(turn + 9)).await.unwrap().len(), 1);
        assert_eq!(store.scans_put_off(at(turn + 10)).await.unwrap().len(), 0);
    }
    let events = store.scan_events(&scan.tenant, &scan.id, 0).await.unwrap();
    let told: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(told, ["queued", "later", "later", "later"]);
    assert_eq!(store.claim_scan(&scan, "one", at(30), at(40)).await.unwrap(), Some(1));
    store.advance_scan(&scan, ScanStatus::Cancelled, None, "off", at(31)).await.unwrap();
    assert!(!store.put_off_scan(&scan, "one", "later", at(32), at(40)).await.unwrap());
    let again = store.submit_scan(&Tenant::default(), &wanted("a:1"), at(33)).await.unwrap().scan;
    assert_eq!(store.claim_scan(&again, "one", at(33), at(40)).await.unwrap(), Some(1));
    assert_eq!(store.times_put_off(&again).await.unwrap(), 0, "another attempt");
}
