//! What callers have spent, on real databases of both kinds.

mod database;

use database::TestDatabase;
use futures::future::join_all;
use stella_domain::Timestamp;
use stella_store::{BucketLevel, Idempotent};

on_both!(
    a_quota_is_never_exceeded_and_starts_anew_each_day,
    a_bucket_is_changed_by_one_at_a_time,
    a_request_is_answered_once_by_its_key,
    records_of_the_authority_are_added_swapped_and_end,
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

async fn a_quota_is_never_exceeded_and_starts_anew_each_day(database: TestDatabase) {
    let store = database.open().await;
    let used = join_all((0..20).map(|_| store.use_quota("t", at(0), 7))).await;
    let mut used: Vec<u32> = used.into_iter().filter_map(Result::unwrap).collect();
    used.sort_unstable();
    assert_eq!(used, [1, 2, 3, 4, 5, 6, 7]);
    store.give_quota_back("t", at(0)).await.unwrap();
    drop(store);
    let store = database.open().await;
    assert_eq!(store.quota_used("t", at(0)).await.unwrap(), 6, "it outlives the process");
    assert_eq!(store.use_quota("t", at(0), 7).await.unwrap(), Some(7));
    assert_eq!(store.use_quota("t", at(0), 7).await.unwrap(), None);
    assert_eq!(store.use_quota("t", at(86_400), 7).await.unwrap(), Some(1));
    assert_eq!(store.use_quota("u", at(0), 0).await.unwrap(), None);
    store.forget_spent(at(86_400), at(0), at(86_400)).await.unwrap();
    assert_eq!(store.quota_used("t", at(0)).await.unwrap(), 0);
    assert_eq!(store.quota_used("t", at(86_400)).await.unwrap(), 1);
}

async fn a_bucket_is_changed_by_one_at_a_time(database: TestDatabase) {
    let store = database.open().await;
    let add = |kept: Option<BucketLevel>| {
        let level = kept.map_or(0, |kept| kept.level) + 1;
        (BucketLevel { level, at: at(level) }, level)
    };
    let mut levels: Vec<i64> =
        join_all((0..20).map(|_| store.change_bucket("b", add))).await.into_iter().map(Result::unwrap).collect();
    levels.sort_unstable();
    assert_eq!(levels, (1..=20).collect::<Vec<_>>());
}

async fn a_request_is_answered_once_by_its_key(database: TestDatabase) {
    let store = database.open().await;
    let tries = join_all((0..8).map(|_| store.begin_idempotent("k", "a", at(0), at(60)))).await;
    assert_eq!(tries.iter().filter(|one| *one.as_ref().unwrap() == Idempotent::First).count(), 1);
    assert_eq!(tries.iter().filter(|one| *one.as_ref().unwrap() == Idempotent::Running).count(), 7);
    assert_eq!(store.begin_idempotent("k", "b", at(1), at(60)).await.unwrap(), Idempotent::Other);
    let dead = store.begin_idempotent("k", "a", at(60), at(120)).await.unwrap();
    assert_eq!(dead, Idempotent::First, "whoever began is gone");
    store.end_idempotent("k", "a", Some(b"answer"), at(86_400)).await.unwrap();
    let again = store.begin_idempotent("k", "a", at(200), at(260)).await.unwrap();
    assert_eq!(again, Idempotent::Answered(b"answer".to_vec()));
    assert_eq!(store.begin_idempotent("k", "a", at(86_400), at(86_460)).await.unwrap(), Idempotent::First);
    store.end_idempotent("k", "a", None, at(0)).await.unwrap();
    assert_eq!(store.begin_idempotent("k", "b", at(86_401), at(86_460)).await.unwrap(), Idempotent::First);
}

async fn records_of_the_authority_are_added_swapped_and_end(database: TestDatabase) {
    let store = database.open().await;
    let adds = join_all((0..8).map(|_| store.add_authority_record("seen", "x", "1", at(0), Some(at(60))))).await;
    assert_eq!(adds.iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
    let swaps = join_all((0..8).map(|_| store.swap_authority_record("seen", "x", "1", "2", Some(at(60))))).await;
    assert_eq!(swaps.iter().filter(|swapped| *swapped.as_ref().unwrap()).count(), 1);
    assert!(store.add_authority_record("seen", "x", "3", at(60), None).await.unwrap(), "what ended is replaced");
    assert_eq!(store.authority_record("seen", "x").await.unwrap().as_deref(), Some("3"));
    store.keep_authority_record("client", "b", "b", None).await.unwrap();
    store.keep_authority_record("client", "a", "a", None).await.unwrap();
    assert_eq!(store.authority_records("client").await.unwrap(), ["a", "b"]);
    store.keep_authority_record("seen", "y", "4", Some(at(70))).await.unwrap();
    assert_eq!(store.sweep_authority_records(at(70)).await.unwrap(), 1);
    store.remove_authority_record("client", "a").await.unwrap();
    assert_eq!(store.authority_records("client").await.unwrap(), ["b"]);
}
