//! A batch leaves behind exactly what its events would have left one by one.

mod database;

use database::TestDatabase;
use proptest::prelude::*;
use stella_domain::{Digest, Tenant, Timestamp};
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

on_both!(
    a_batch_longer_than_a_statement_is_kept_whole,
    many_senders_are_counted_exactly_while_others_write,
    what_nothing_new_is_said_of_stays_as_it_is
);

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

/// A start that says nothing which is not known of its container, but for `change`.
fn start(id: usize, change: impl FnOnce(&mut ObservedContainer)) -> ObservedEvent {
    let mut container = ObservedContainer {
        id: "containerd://one".into(),
        image: "sha256:1".into(),
        image_ref: "app:1".into(),
        node: "node-1".into(),
        namespace: "shop".into(),
        pod: "web-1".into(),
        name: "web".into(),
        entrypoint: "/app".into(),
        started_at: Timestamp::from_millis(5),
        from_start: true,
        openings: true,
        gap: None,
        stopped_at: None,
    };
    change(&mut container);
    ObservedEvent {
        tenant: Tenant::default(),
        id: format!("e{id}"),
        at: container.started_at,
        started: true,
        loaded: Vec::new(),
        kind: String::new(),
        body: "{}".into(),
        container,
    }
}

async fn many_senders_are_counted_exactly_while_others_write(database: TestDatabase) {
    let store = database.open().await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..24_usize {
        let store = store.clone();
        senders.spawn(async move {
            let (mut accepted, tenant) = (0, Tenant::default());
            for batch in 0..4 {
                // Each event is in three batches, of three senders.
                let first = (sender / 3) * 400 + batch * 100;
                let events: Vec<_> = (first..first + 100).map(|id| start(id, |_| ())).collect();
                let ingested = store.ingest(events).await.unwrap();
                assert_eq!(ingested.accepted + ingested.duplicates, 100);
                accepted += ingested.accepted;
                let name = format!("app:{sender}-{batch}");
                store.put_name(&tenant, &name, &Digest::of(&name), Timestamp::from_millis(1)).await.unwrap();
            }
            accepted
        });
    }
    assert_eq!(senders.join_all().await.into_iter().sum::<usize>(), 3200);
    // As a killed process would leave it.
    std::mem::forget(store);
    let store = database.open().await;
    assert_eq!(store.events(&Tenant::default(), 10_000).await.unwrap().len(), 3200);
    let named = store.resolve_image(&Tenant::default(), "app:23-3").await.unwrap();
    assert_eq!(named, Some(Digest::of("app:23-3")));
}

async fn what_nothing_new_is_said_of_stays_as_it_is(database: TestDatabase) {
    let store = database.open().await;
    let known = async || {
        let all = store.containers_of(&Tenant::default(), &["sha256:1".into(), "sha256:2".into()]).await.unwrap();
        all.into_iter().next().expect("the container")
    };
    store.ingest([start(0, |_| ())]).await.unwrap();
    let before = known().await;
    store.ingest([start(1, |_| ())]).await.unwrap();
    store.ingest([start(2, |c| (c.image, c.image_ref, c.entrypoint) = Default::default())]).await.unwrap();
    assert_eq!(known().await, before);
    // Each of these is something new by itself.
    let changes: [fn(&mut ObservedContainer); 8] = [
        |c| c.image = "sha256:2".into(),
        |c| c.image_ref = "app:2".into(),
        |c| c.entrypoint = "/other".into(),
        |c| c.started_at = Timestamp::from_millis(6),
        |c| c.from_start = false,
        |c| c.openings = false,
        |c| c.gap = Some("lost".into()),
        |c| c.stopped_at = Some(Timestamp::from_millis(9)),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut expected = known().await;
        change(&mut expected);
        let event = start(3 + number, |container| container.clone_from(&expected));
        store.ingest([event]).await.unwrap();
        assert_eq!(known().await, expected, "change {number}");
    }
    let mut earlier = start(20, |container| container.started_at = Timestamp::from_millis(2));
    earlier.started = false;
    store.ingest([earlier]).await.unwrap();
    assert_eq!(known().await.started_at, Timestamp::from_millis(2), "an event that is no start was seen before it");
}
