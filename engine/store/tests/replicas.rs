//! Two processes on one database get into each other's way and still agree.

mod database;

use std::time::Duration;

use database::TestDatabase;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_store::{
    LoadedFile, NewScan, ObservedContainer, ObservedEvent, PolicyRevision, ScanStatus, Store, VerdictSince,
};
use tokio::task::JoinSet;

on_both!(
    one_of_many_askers_makes_the_scan,
    a_batch_sent_to_both_is_counted_once,
    batches_that_cross_do_not_fail,
    revisions_and_runs_are_numbered_without_gap,
    the_first_verdict_gives_the_beginning,
    a_hint_comes_when_the_other_moves_a_scan,
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn tenant() -> Tenant {
    Tenant::default()
}

/// Runs `work` for the numbers below `times`, by turns in the two processes, all at once.
async fn all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    stores: &[Store; 2],
    times: usize,
    work: impl Fn(Store, usize) -> F,
) -> Vec<T> {
    let tasks: JoinSet<T> = (0..times).map(|number| work(stores[number % 2].clone(), number)).collect();
    tasks.join_all().await
}

async fn two(database: &TestDatabase) -> [Store; 2] {
    [database.open().await, database.open().await]
}

async fn one_of_many_askers_makes_the_scan(database: TestDatabase) {
    let stores = two(&database).await;
    let new = NewScan { reference: Some("app:1".into()), timeout_seconds: 60, ..NewScan::default() };
    let id = new.id(&tenant());
    let made = all(&stores, 16, move |store, _| {
        let new = new.clone();
        async move { store.submit_scan(&tenant(), &new, at(1)).await.unwrap().created }
    });
    assert_eq!(made.await.iter().filter(|created| **created).count(), 1);
    assert_eq!(stores[0].scan_events(&tenant(), &id, 0).await.unwrap().len(), 1);
}

fn event(id: usize, container: usize, started: bool) -> ObservedEvent {
    ObservedEvent {
        tenant: tenant(),
        id: format!("e{id}"),
        at: at(1),
        container: ObservedContainer {
            id: format!("containerd://{container}"),
            image: "sha256:1".into(),
            image_ref: "app:1".into(),
            node: "n".into(),
            namespace: "shop".into(),
            pod: "p".into(),
            name: "c".into(),
            entrypoint: "/app".into(),
            started_at: at(1),
            from_start: true,
            openings: false,
            gap: None,
            stopped_at: None,
        },
        started,
        loaded: vec![LoadedFile { path: format!("/lib/{id}"), first_seen: at(1), body: "{}".into() }],
        kind: String::new(),
        body: "{}".into(),
    }
}

async fn a_batch_sent_to_both_is_counted_once(database: TestDatabase) {
    let stores = two(&database).await;
    let done = all(&stores, 8, |store, number| async move {
        let mut events: Vec<_> = (0..300).map(|id| event(id, id % 7, true)).collect();
        if number % 2 == 1 {
            events.reverse();
        }
        store.ingest(events).await.unwrap().accepted
    });
    assert_eq!(done.await.iter().sum::<usize>(), 300);
    assert_eq!(stores[1].events(&tenant(), 1000).await.unwrap().len(), 300);
}

async fn batches_that_cross_do_not_fail(database: TestDatabase) {
    let stores = two(&database).await;
    // One starts what the other only mentions: the rows of the containers are taken in opposite orders.
    let done = all(&stores, 16, |store, number| async move {
        let events: Vec<_> =
            (0..40).map(|at| event(number * 40 + at, at % 4, (at % 4 < 2) == (number % 2 == 0))).collect();
        store.ingest(events).await.unwrap().accepted
    });
    assert_eq!(done.await.iter().sum::<usize>(), 640);
}

async fn revisions_and_runs_are_numbered_without_gap(database: TestDatabase) {
    let stores = two(&database).await;
    let mut numbers = all(&stores, 12, |store, number| async move {
        let body = format!("{{\"n\":{number}}}");
        let revision = PolicyRevision {
            tenant: tenant(),
            number: 0,
            name: "ns/p".into(),
            digest: Digest::of(&body).hex(),
            source: "s".into(),
            actor: "a".into(),
            at: at(1),
            priority: 0,
            body,
            active: true,
            description: String::new(),
        };
        let run = store.start_export(&tenant(), "p", at(0), at(1), |n| format!("run-{n:02}")).await.unwrap();
        (store.activate_policy(&revision).await.unwrap().number, run)
    })
    .await;
    numbers.sort();
    let (revisions, mut runs): (Vec<_>, Vec<_>) = numbers.into_iter().unzip();
    runs.sort();
    assert_eq!(revisions, (1..=12).collect::<Vec<i64>>());
    assert_eq!(runs, (1..=12).map(|n| format!("run-{n:02}")).collect::<Vec<_>>());
    assert_eq!(stores[0].active_policies().await.unwrap().len(), 1);
}

async fn the_first_verdict_gives_the_beginning(database: TestDatabase) {
    let stores = two(&database).await;
    let begun = all(&stores, 10, |store, number| async move {
        let since = at(i64::try_from(number).unwrap());
        let verdict = VerdictSince { verdict: "blocked".into(), since, ran_in: vec![] };
        store.note_verdict(&tenant(), "s", &Digest::of("i"), &verdict).await.unwrap().since
    })
    .await;
    assert!(begun.iter().all(|since| *since == begun[0]), "{begun:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_on_postgresql_bring_the_schema_up_to_date_once() {
    let database = TestDatabase::postgres().await;
    let (one, two) = tokio::join!(database.open(), database.open());
    one.ping().await.unwrap();
    assert!(two.tenants().await.unwrap().is_empty());
}

async fn a_hint_comes_when_the_other_moves_a_scan(database: TestDatabase) {
    let [one, two] = two(&database).await;
    let Some(mut hints) = one.hints().await.unwrap() else {
        assert!(!one.is_shared());
        return;
    };
    let mut hinted =
        async || tokio::time::timeout(Duration::from_secs(10), hints.next()).await.expect("a hint").unwrap();
    let new = NewScan { reference: Some("a:1".to_owned()), timeout_seconds: 600, ..NewScan::default() };
    let scan = two.submit_scan(&tenant(), &new, at(0)).await.unwrap().scan;
    assert_eq!(hinted().await, Some(scan.id.clone()));
    two.advance_scan(&scan, ScanStatus::Cancelled, None, "off", at(1)).await.unwrap();
    assert_eq!(hinted().await, Some(scan.id));
}
