//! What is forgotten, and what never is, whatever the order and wherever it is broken off.

mod database;

use std::collections::BTreeSet;

use database::TestDatabase;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use stella_domain::{Digest, Tenant, Timestamp};
use stella_store::{LoadedFile, ObservedContainer, ObservedEvent, Store};

on_both!(events_that_are_old_go_oldest_first_and_what_follows_from_them_stays);

/// Events of a piece.
const PIECE: u32 = 3;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn event(number: usize, second: i64, container: u8) -> ObservedEvent {
    ObservedEvent {
        tenant: Tenant::default(),
        id: format!("e{number:03}"),
        at: at(second),
        container: ObservedContainer {
            id: format!("c{container}"),
            image: Digest::of("image").to_string(),
            image_ref: String::new(),
            node: "node-1".into(),
            namespace: "shop".into(),
            pod: "web-1".into(),
            name: "web".into(),
            entrypoint: "/usr/bin/web".into(),
            started_at: at(second),
            from_start: true,
            openings: true,
            gap: None,
            stopped_at: None,
        },
        started: true,
        loaded: vec![LoadedFile { path: format!("/lib/{number}.so"), first_seen: at(second), body: "{}".into() }],
        kind: String::new(),
        body: "{}".into(),
    }
}

/// What follows from events: containers, and what each has loaded.
async fn observed(store: &Store) -> String {
    let tenant = Tenant::default();
    let containers = store.containers_of(&tenant, &[Digest::of("image").to_string()]).await.unwrap();
    let mut all = format!("{containers:?}");
    for container in &containers {
        all.push_str(&format!("{:?}", store.loaded_by(&tenant, &container.id).await.unwrap()));
    }
    all
}

async fn kept(store: &Store) -> BTreeSet<String> {
    store.events(&Tenant::default(), 1000).await.unwrap().into_iter().map(|(id, _)| id).collect()
}

async fn events_that_are_old_go_oldest_first_and_what_follows_from_them_stays(database: TestDatabase) {
    let history = proptest::collection::vec((0_i64..40, 0_u8..4), 1..40);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..12 {
        let history = history.new_tree(&mut runner).unwrap().current();
        let mut store = database.open().await;
        store.forget_events(at(1000), 1000).await.unwrap();
        let events: Vec<_> = history
            .iter()
            .enumerate()
            .map(|(number, (second, container))| event(number, *second, *container))
            .collect();
        store.ingest(events.as_slice()).await.unwrap();
        let (before, follows) = (at(20), observed(&store).await);
        let mut old: Vec<_> =
            events.iter().filter(|event| event.at < before).map(|event| (event.at, &event.id)).collect();
        old.sort();
        let mut left: BTreeSet<String> = events.iter().map(|event| event.id.clone()).collect();
        for piece in old.chunks(PIECE as usize) {
            assert_eq!(store.forget_events(before, PIECE).await.unwrap(), piece.len() as u64);
            piece.iter().for_each(|(_, id)| assert!(left.remove(*id)));
            assert_eq!(kept(&store).await, left);
            // The process dies between two pieces, and another goes on.
            store = database.open().await;
        }
        assert_eq!(store.forget_events(before, PIECE).await.unwrap(), 0, "nothing that is not old");
        assert_eq!(kept(&store).await, left);
        assert_eq!(observed(&store).await, follows);
    }
}
