//! Nodes, and whom they concern, on real databases of both kinds.

mod database;

use std::collections::BTreeMap;

use database::TestDatabase;
use stella_domain::{Tenant, Timestamp};
use stella_store::{NodeContainers, NodeRow, ObservedContainer, ObservedEvent, Store};

on_both!(
    a_tenant_sees_its_own_nodes_and_those_of_the_cluster_it_runs_on,
    what_was_heard_last_stays_and_old_nodes_are_forgotten,
    containers_of_a_node_are_counted_by_tenant,
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

async fn hear(store: &Store, of: &str, node: &str, second: i64) {
    let row = NodeRow { tenant: tenant(of), node: node.into(), heard_at: at(second), body: format!("{of} {second}") };
    store.put_node(&row).await.unwrap();
}

async fn run(store: &Store, of: &str, container: &str, node: &str, gap: Option<&str>, stopped: bool) {
    let event = ObservedEvent {
        tenant: tenant(of),
        id: format!("{of} {container}"),
        at: at(1),
        container: ObservedContainer {
            id: container.into(),
            image: String::new(),
            image_ref: String::new(),
            node: node.into(),
            namespace: String::new(),
            pod: String::new(),
            name: String::new(),
            entrypoint: String::new(),
            started_at: at(1),
            from_start: true,
            openings: true,
            gap: gap.map(str::to_owned),
            stopped_at: stopped.then(|| at(2)),
        },
        started: true,
        loaded: Vec::new(),
        kind: String::new(),
        body: "{}".into(),
    };
    store.ingest([event]).await.unwrap();
}

async fn seen_by(store: &Store, who: &str) -> Vec<(String, String)> {
    let rows = store.nodes(&tenant(who), "", 100).await.unwrap();
    rows.into_iter().map(|row| (row.node, row.body)).collect()
}

async fn a_tenant_sees_its_own_nodes_and_those_of_the_cluster_it_runs_on(database: TestDatabase) {
    let store = database.open().await;
    for node in ["n1", "n2", "n3"] {
        hear(&store, "tenant-default", node, 10).await;
    }
    hear(&store, "acme", "own", 11).await;
    hear(&store, "other", "hidden", 12).await;
    run(&store, "acme", "c1", "n2", None, false).await;
    run(&store, "acme", "c2", "n3", None, true).await;
    run(&store, "acme", "c3", "hidden", None, false).await;
    let names = |seen: Vec<(String, String)>| seen.into_iter().map(|(node, _)| node).collect::<Vec<_>>();
    assert_eq!(names(seen_by(&store, "tenant-default").await), ["n1", "n2", "n3"]);
    assert_eq!(names(seen_by(&store, "acme").await), ["n2", "own"], "what it ran on before is not its affair any more");
    assert_eq!(names(seen_by(&store, "other").await), ["hidden"]);
    // A host of its own with the name of a node of the cluster is the one it means.
    hear(&store, "acme", "n2", 13).await;
    assert_eq!(seen_by(&store, "acme").await[0], ("n2".to_owned(), "acme 13".to_owned()));
    let page = store.nodes(&tenant("tenant-default"), "n1", 1).await.unwrap();
    assert_eq!(page.iter().map(|row| row.node.as_str()).collect::<Vec<_>>(), ["n2"]);
}

async fn what_was_heard_last_stays_and_old_nodes_are_forgotten(database: TestDatabase) {
    let store = database.open().await;
    hear(&store, "acme", "n", 20).await;
    hear(&store, "acme", "n", 10).await;
    assert_eq!(seen_by(&store, "acme").await, [("n".to_owned(), "acme 20".to_owned())]);
    assert_eq!(store.forget_nodes(at(20)).await.unwrap(), 0);
    assert_eq!(store.forget_nodes(at(21)).await.unwrap(), 1);
    assert_eq!(seen_by(&store, "acme").await, []);
}

async fn containers_of_a_node_are_counted_by_tenant(database: TestDatabase) {
    let store = database.open().await;
    run(&store, "acme", "c1", "n", None, false).await;
    run(&store, "acme", "c2", "n", Some("ring-full"), false).await;
    run(&store, "acme", "c3", "n", Some("ring-full"), true).await;
    run(&store, "acme", "c4", "m", None, false).await;
    run(&store, "other", "c5", "n", None, false).await;
    let gaps = BTreeMap::from([("ring-full".to_owned(), 1)]);
    assert_eq!(store.containers_on(&tenant("acme"), "n").await.unwrap(), NodeContainers { running: 2, gaps });
    assert_eq!(store.containers_on(&tenant("nobody"), "n").await.unwrap(), NodeContainers::default());
}
