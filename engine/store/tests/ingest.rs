//! A batch leaves behind exactly what its events would have left one by one.

mod database;

use database::TestDatabase;
use proptest::prelude::*;
use stella_domain::{Tenant, Timestamp};
use stella_store::{LoadedFile, ObservedContainer, ObservedEvent, Store};

/// Events of two tenants about two containers each, some of them told twice. A start always names its executable.
fn events() -> impl Strategy<Value = Vec<ObservedEvent>> {
    let one =
        (0..24_u8, 0..2_u8, 0..2_u8, 0..50_i64, any::<[bool; 5]>(), prop::collection::vec((0..3_u8, 0..50_i64), 0..4));
    let one = one.prop_map(|(id, tenant, container, at, [started, stopped, named, gap, exec], files)| ObservedEvent {
        tenant: ["a", "b"][usize::from(tenant)].parse().unwrap(),
        id: format!("e{id}"),
        at: Timestamp::from_millis(at),
        container: ObservedContainer {
            id: format!("containerd://c{container}"),
            image: if named { format!("sha256:{id}") } else { String::new() },
            image_ref: if named { format!("app:{id}") } else { String::new() },
            node: "node-1".into(),
            namespace: "shop".into(),
            pod: format!("web-{id}"),
            name: "web".into(),
            entrypoint: if started { format!("/bin/{id}") } else { String::new() },
            started_at: Timestamp::from_millis(at),
            from_start: started && exec,
            openings: exec,
            gap: gap.then(|| format!("gap {id}")),
            stopped_at: stopped.then(|| Timestamp::from_millis(at)),
        },
        started,
        loaded: files
            .into_iter()
            .map(|(path, at)| LoadedFile {
                path: format!("/lib/{path}.so"),
                first_seen: Timestamp::from_millis(at),
                body: "{}".into(),
            })
            .collect(),
        kind: String::new(),
        body: format!("{{\"at\":{at}}}"),
    });
    prop::collection::vec(one, 0..60)
}

type Kept = Vec<(Vec<(String, String)>, Vec<(Option<ObservedContainer>, Vec<LoadedFile>)>)>;

async fn kept(store: &Store) -> Kept {
    let mut all = Vec::new();
    for tenant in ["a", "b"].map(|name| name.parse::<Tenant>().unwrap()) {
        let mut containers = Vec::new();
        for id in ["containerd://c0", "containerd://c1"] {
            let container = store.container(&tenant, id).await.unwrap();
            containers.push((container, store.loaded_by(&tenant, id).await.unwrap()));
        }
        all.push((store.events(&tenant, 1000).await.unwrap(), containers));
    }
    all
}

async fn compare(left: TestDatabase, right: TestDatabase, events: &[ObservedEvent]) {
    let (whole, single) = (left.open().await, right.open().await);
    let at_once = whole.ingest(events).await.unwrap();
    let mut one_by_one = (0, 0);
    for event in events {
        let ingested = single.ingest(std::slice::from_ref(event)).await.unwrap();
        one_by_one = (one_by_one.0 + ingested.accepted, one_by_one.1 + ingested.duplicates);
    }
    assert_eq!((at_once.accepted, at_once.duplicates), one_by_one);
    assert_eq!(kept(&whole).await, kept(&single).await);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn at_once_is_the_same_as_one_by_one(events in events()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(compare(TestDatabase::sqlite(), TestDatabase::sqlite(), &events));
    }

    #[test]
    fn at_once_is_the_same_as_one_by_one_on_postgresql(events in events()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            compare(TestDatabase::postgres().await, TestDatabase::postgres().await, &events).await;
        });
    }
}

on_both!(a_batch_longer_than_a_statement_is_kept_whole);

async fn a_batch_longer_than_a_statement_is_kept_whole(database: TestDatabase) {
    let store = database.open().await;
    let container = |at: usize| ObservedContainer {
        id: format!("containerd://{at}"),
        image: String::new(),
        image_ref: String::new(),
        node: "node-1".into(),
        namespace: "shop".into(),
        pod: "web-1".into(),
        name: "web".into(),
        entrypoint: String::new(),
        started_at: Timestamp::from_millis(1),
        from_start: true,
        openings: true,
        gap: None,
        stopped_at: None,
    };
    let file =
        |path: usize| LoadedFile { path: format!("/{path}"), first_seen: Timestamp::from_millis(1), body: "{}".into() };
    let event = |at: usize| ObservedEvent {
        tenant: Tenant::default(),
        id: format!("e{at}"),
        at: Timestamp::from_millis(1),
        container: container(at),
        started: true,
        loaded: (0..3).map(file).collect(),
        kind: String::new(),
        body: "{}".into(),
    };
    let events: Vec<_> = (0..1000).map(event).collect();
    assert_eq!(store.ingest(events.as_slice()).await.unwrap().accepted, 1000);
    assert_eq!(store.running_containers(&Tenant::default()).await.unwrap().len(), 1000);
    assert_eq!(store.loaded_by(&Tenant::default(), "containerd://999").await.unwrap().len(), 3);
    assert_eq!(store.ingest(events.as_slice()).await.unwrap().duplicates, 1000);
}
