//! What every caller of the store relies on, on real databases of both kinds.

mod database;

use database::TestDatabase;
use stella_domain::{Digest, Reachability, Severity, Tenant, Timestamp};
use stella_inventory::{Inventory, LayerInventory, Provenance};
use stella_store::{
    FindingQuery, FindingRow, ImageRecord, LoadedFile, NewScan, ObservedContainer, ObservedEvent, PolicyRevision,
    PullSecrets, ReachUpdate, Scan, ScanSource, ScanStatus, VerdictSince,
};

on_both!(
    an_event_sent_again_is_a_duplicate_and_changes_nothing,
    what_was_accepted_is_there_after_the_process_died,
    the_same_request_is_the_same_scan_until_it_failed_or_is_forced,
    a_reference_that_names_another_image_by_now_is_scanned_anew,
    a_verified_layer_goes_before_one_that_a_tenant_sent,
    findings_page_worst_first_and_keep_their_first_appearance,
    a_policy_changes_its_revision_only_with_its_content,
    a_verdict_keeps_its_beginning_while_it_lasts,
    images_of_a_repository_are_those_with_a_tag_or_digest_of_it,
    images_are_stale_until_they_are_matched_or_confirmed,
    ids_that_findings_hang_on_are_kept_once,
    notable_events_are_listed_newest_first_and_the_others_are_not,
    a_scan_knows_the_pull_secrets_of_everybody_who_asks_for_it,
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn event(id: &str, container: &str, started: bool, loaded: &[&str]) -> ObservedEvent {
    ObservedEvent {
        tenant: tenant("a"),
        id: id.to_owned(),
        at: at(10),
        container: ObservedContainer {
            id: container.to_owned(),
            image: if started { Digest::of("image").to_string() } else { String::new() },
            image_ref: String::new(),
            node: "node-1".into(),
            namespace: "shop".into(),
            pod: "web-1".into(),
            name: "web".into(),
            entrypoint: if started { "/usr/bin/web".into() } else { String::new() },
            started_at: at(10),
            from_start: started,
            openings: started,
            gap: None,
            stopped_at: None,
        },
        started,
        loaded: loaded
            .iter()
            .map(|path| LoadedFile { path: (*path).to_owned(), first_seen: at(10), body: "{}".into() })
            .collect(),
        kind: String::new(),
        body: "{}".into(),
    }
}

async fn an_event_sent_again_is_a_duplicate_and_changes_nothing(database: TestDatabase) {
    let store = database.open().await;
    let batch = [event("e1", "c1", true, &[]), event("e2", "c1", false, &["/lib/a.so"])];
    let first = store.ingest(batch.as_slice()).await.unwrap();
    assert_eq!((first.accepted, first.duplicates), (2, 0));
    let again = store.ingest(batch.as_slice()).await.unwrap();
    assert_eq!((again.accepted, again.duplicates), (0, 2));
    let containers = store.containers_of(&tenant("a"), &[Digest::of("image").to_string()]).await.unwrap();
    assert_eq!(containers.len(), 1);
    assert!(containers[0].from_start, "an event that is no start must not take that back");
    assert_eq!(store.loaded_by(&tenant("a"), "c1").await.unwrap().len(), 1);
    assert!(store.loaded_by(&tenant("b"), "c1").await.unwrap().is_empty(), "another tenant sees none of it");
    let names = [Digest::of("image").to_string()];
    let started = containers[0].entrypoint.clone();
    assert_eq!(store.entrypoints_of(&tenant("a"), &names).await.unwrap(), [started]);
    assert!(store.entrypoints_of(&tenant("b"), &names).await.unwrap().is_empty());
}

async fn what_was_accepted_is_there_after_the_process_died(database: TestDatabase) {
    let store = database.open().await;
    store.ingest([event("e1", "c1", true, &["/lib/a.so"])]).await.unwrap();
    // The pool is leaked, not closed, as a killed process would leave it.
    std::mem::forget(store);
    let store = database.open().await;
    assert_eq!(store.events(&tenant("a"), 10).await.unwrap().len(), 1);
    assert_eq!(store.ingest([event("e1", "c1", true, &[])]).await.unwrap().duplicates, 1);
}

async fn the_same_request_is_the_same_scan_until_it_failed_or_is_forced(database: TestDatabase) {
    let store = database.open().await;
    let new = NewScan { reference: Some("app:1".into()), timeout_seconds: 60, ..NewScan::default() };
    let first = store.submit_scan(&tenant("a"), &new, at(1)).await.unwrap();
    assert!(first.created && first.scan.id.len() == 32);
    assert!(!store.submit_scan(&tenant("a"), &new, at(2)).await.unwrap().created);
    assert_ne!(first.scan.id, store.submit_scan(&tenant("b"), &new, at(2)).await.unwrap().scan.id);
    assert!(store.advance_scan(&first.scan, ScanStatus::Failed, None, "no such image", at(3)).await.unwrap());
    let second = store.submit_scan(&tenant("a"), &new, at(4)).await.unwrap();
    assert!(second.created && second.scan.attempt == 2 && second.scan.failure.is_none());
    let late = store.advance_scan(&first.scan, ScanStatus::Succeeded, None, "late", at(5)).await.unwrap();
    assert!(!late, "the first attempt cannot end the second");
    assert!(
        store.advance_scan(&second.scan, ScanStatus::Succeeded, Some(&Digest::of("i")), "done", at(6)).await.unwrap()
    );
    assert!(!store.submit_scan(&tenant("a"), &new, at(7)).await.unwrap().created);
    let forced = store.submit_scan(&tenant("a"), &NewScan { force: true, ..new.clone() }, at(8)).await.unwrap();
    assert!(forced.created && forced.scan.force);
    let events = store.scan_events(&tenant("a"), &first.scan.id, 0).await.unwrap();
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    // Wanted again it is a new attempt, too, which takes what is stored.
    let again = NewScan { again: true, ..new };
    assert!(!store.submit_scan(&tenant("a"), &again, at(9)).await.unwrap().created, "it is under way");
    assert!(store.advance_scan(&forced.scan, ScanStatus::Succeeded, None, "done", at(10)).await.unwrap());
    let renewed = store.submit_scan(&tenant("a"), &again, at(11)).await.unwrap();
    assert!(renewed.created && renewed.scan.attempt == 4 && !renewed.scan.force);
}

async fn a_reference_that_names_another_image_by_now_is_scanned_anew(database: TestDatabase) {
    let store = database.open().await;
    let (index, image, other) = (Digest::of("index"), Digest::of("image"), Digest::of("other"));
    let new = NewScan { reference: Some("app:1".into()), timeout_seconds: 60, ..NewScan::default() };
    let names = |digest| NewScan { names_now: Some(digest), ..new.clone() };
    let first = store.submit_scan(&tenant("a"), &names(other), at(1)).await.unwrap();
    assert_eq!((first.created, first.scan.asked_digest), (true, None), "there was none before");
    assert!(!store.submit_scan(&tenant("a"), &names(other), at(2)).await.unwrap().created, "it is under way");
    store.put_name(&tenant("a"), &index.to_string(), &image, at(3)).await.unwrap();
    assert!(store.advance_scan(&first.scan, ScanStatus::Succeeded, Some(&image), "done", at(3)).await.unwrap());
    assert!(!store.submit_scan(&tenant("a"), &names(index), at(4)).await.unwrap().created, "another name of the image");
    assert!(!store.submit_scan(&tenant("a"), &new, at(4)).await.unwrap().created, "nobody knows");

    let moved = store.submit_scan(&tenant("a"), &names(other), at(5)).await.unwrap();
    assert_eq!((moved.created, moved.scan.id.clone(), moved.scan.attempt), (true, first.scan.id, 2));
    let Scan { asked_digest, digest, force, .. } = moved.scan.clone();
    assert_eq!((asked_digest, digest, force), (Some(other), None, true), "that image is to be read, and none other");
    let steps = store.scan_events(&tenant("a"), &moved.scan.id, 2).await.unwrap();
    assert_eq!(steps[0].data["force"], "false", "nobody forced it");
    assert!(store.advance_scan(&moved.scan, ScanStatus::Succeeded, Some(&image), "done", at(6)).await.unwrap());
    assert!(!store.submit_scan(&tenant("a"), &names(other), at(7)).await.unwrap().created, "it was read as that");
}

async fn a_verified_layer_goes_before_one_that_a_tenant_sent(database: TestDatabase) {
    let store = database.open().await;
    let layer = LayerInventory::empty(Digest::of("layer"));
    store.put_layers(Some(&tenant("a")), std::slice::from_ref(&layer)).await.unwrap();
    let all = [layer.diff_id, Digest::of("other")];
    assert_eq!(store.layers_missing(Some(&tenant("a")), &all).await.unwrap(), [Digest::of("other")]);
    assert_eq!(
        store.layers_missing(Some(&tenant("b")), &all).await.unwrap(),
        all,
        "a client's layer is that tenant's alone"
    );
    assert_eq!(store.layers_missing(None, &all).await.unwrap(), all, "and nothing that the product vouches for");
    store.put_layers(None, std::slice::from_ref(&layer)).await.unwrap();
    assert_eq!(store.layer(Some(&tenant("b")), &layer.diff_id).await.unwrap(), Some(layer));
}

fn row(id: &str, rank: i64, severity: Severity) -> FindingRow {
    FindingRow {
        id: id.to_owned(),
        digest: Digest::of("image"),
        rank,
        severity,
        advisory_id: "CVE-2026-0001".into(),
        names: vec!["CVE-2026-0001".into(), "GHSA-x".into()],
        component: 0,
        purl: "pkg:pypi/a@1".into(),
        kev: false,
        fixed: true,
        reach: Reachability::Unknown,
        reach_reason: "settling".into(),
        evidence: "[]".into(),
        inherited_reach: Reachability::Unknown,
        inherited: "[]".into(),
        badge: "pass".into(),
        verdict: "{}".into(),
        body: "{}".into(),
        first_seen: Timestamp::default(),
    }
}

async fn findings_page_worst_first_and_keep_their_first_appearance(database: TestDatabase) {
    let store = database.open().await;
    let inventory =
        Inventory { provenance: Provenance::Sbom, os: None, layers: vec![], components: vec![], problems: vec![] };
    let image = ImageRecord {
        digest: Digest::of("image"),
        reference: None,
        way: "sbom".into(),
        inventory,
        read_at: at(1),
        package_keys: vec![1, 2],
    };
    store.put_image(&tenant("a"), image.clone(), &["app:1".to_owned()]).await.unwrap();
    let rows = [row("f2", 200, Severity::Medium), row("f1", 200, Severity::Medium), row("f3", 10, Severity::Critical)];
    store.replace_findings(&tenant("a"), &image.digest, "g1", &rows, at(2)).await.unwrap();
    store.replace_findings(&tenant("a"), &image.digest, "g2", &rows[..2], at(9)).await.unwrap();
    let mut query = FindingQuery { limit: 1, ..FindingQuery::default() };
    let first = store.findings(&tenant("a"), &query).await.unwrap();
    assert_eq!((first[0].id.as_str(), first[0].first_seen), ("f1", at(2)));
    query.after = Some((first[0].rank, first[0].id.clone()));
    assert_eq!(store.findings(&tenant("a"), &query).await.unwrap()[0].id, "f2");
    let search = FindingQuery { search: Some("ghsa".into()), limit: 9, ..FindingQuery::default() };
    assert_eq!(store.findings(&tenant("a"), &search).await.unwrap().len(), 2);
    assert_eq!(store.facets(&tenant("a"), &search).await.unwrap().severity["Medium"], 2);
    assert!(store.findings(&tenant("b"), &search).await.unwrap().is_empty());
    let used = ReachUpdate { component: 0, reach: Reachability::Runtime, reason: String::new(), evidence: "[]".into() };
    store.set_reach(&tenant("a"), &image.digest, &[used]).await.unwrap();
    let in_use = FindingQuery { reach: vec![Reachability::Runtime], limit: 9, ..FindingQuery::default() };
    assert_eq!(store.findings(&tenant("a"), &in_use).await.unwrap().len(), 2);
    assert_eq!(store.resolve_image(&tenant("a"), "app:1").await.unwrap(), Some(image.digest));
}

async fn a_policy_changes_its_revision_only_with_its_content(database: TestDatabase) {
    let store = database.open().await;
    let revision = |body: &str, second| PolicyRevision {
        tenant: tenant("a"),
        number: 0,
        name: "ns/p".into(),
        digest: Digest::of(body).hex(),
        source: "Policy ns/p".into(),
        actor: "someone".into(),
        at: at(second),
        priority: 0,
        body: body.to_owned(),
        active: true,
        description: String::new(),
    };
    assert_eq!(store.activate_policy(&revision("{}", 1)).await.unwrap().number, 1);
    assert_eq!(store.activate_policy(&revision("{}", 2)).await.unwrap().number, 1);
    assert_eq!(store.activate_policy(&revision("{\"x\":1}", 3)).await.unwrap().number, 2);
    assert_eq!(store.active_policies().await.unwrap().len(), 1);
    assert!(store.retire_policy(&tenant("a"), "ns/p").await.unwrap());
    assert!(store.active_policies().await.unwrap().is_empty());
    assert_eq!(store.policy_history(&tenant("a"), i64::MAX, 9).await.unwrap().len(), 2);
}

async fn a_verdict_keeps_its_beginning_while_it_lasts(database: TestDatabase) {
    let store = database.open().await;
    let verdict =
        |name: &str, second| VerdictSince { verdict: name.into(), since: at(second), ran_in: vec!["shop".into()] };
    let image = Digest::of("image");
    store.note_verdict(&tenant("a"), "s", &image, &verdict("blocked", 1)).await.unwrap();
    let later = store.note_verdict(&tenant("a"), "s", &image, &verdict("blocked", 5)).await.unwrap();
    assert_eq!(later.since, at(1));
    let turned = store.note_verdict(&tenant("a"), "s", &image, &verdict("pass", 6)).await.unwrap();
    assert_eq!(turned.since, at(6));
}

async fn images_of_a_repository_are_those_with_a_tag_or_digest_of_it(database: TestDatabase) {
    let store = database.open().await;
    let names = [
        "r.example:5000/app:1",
        "r.example:5000/app:2",
        "r.example:5000/app@sha256:00",
        "r.example:5000/app",
        "r.example:5000/apple:1",
        "r.example:5000/app/sub:1",
        "r.example:5000",
    ];
    for (second, name) in (1..).zip(names) {
        let inventory = Inventory {
            provenance: Provenance::Layers,
            os: None,
            layers: vec![],
            components: vec![],
            problems: vec![],
        };
        let record = ImageRecord {
            digest: Digest::of(name),
            reference: None,
            way: "layers".into(),
            inventory,
            read_at: at(second),
            package_keys: Vec::new(),
        };
        store.put_image(&tenant("a"), record, &[name.to_owned()]).await.unwrap();
    }
    let found = store.images_of_repository(&tenant("a"), "r.example:5000/app", 10).await.unwrap();
    assert_eq!(found, [3, 2, 1, 0].map(|at| Digest::of(names[at])), "newest first");
    let host = store.images_of_repository(&tenant("a"), "r.example", 10).await.unwrap();
    assert_eq!(host, [Digest::of("r.example:5000")], "a port is no tag");
    assert!(store.images_of_repository(&tenant("b"), "r.example:5000/app", 10).await.unwrap().is_empty());
}

async fn images_are_stale_until_they_are_matched_or_confirmed(database: TestDatabase) {
    let store = database.open().await;
    let a = tenant("a");
    let inventory =
        Inventory { provenance: Provenance::Layers, os: None, layers: vec![], components: vec![], problems: vec![] };
    for name in ["one", "two"] {
        let record = ImageRecord {
            digest: Digest::of(name),
            reference: None,
            way: "layers".into(),
            inventory: inventory.clone(),
            read_at: at(1),
            package_keys: vec![3, u64::MAX],
        };
        store.put_image(&a, record, &[]).await.unwrap();
    }
    let stale = store.stale_images(&a, "g1", None, 10).await.unwrap();
    assert!(stale.iter().all(|image| image.matched_generation.is_none()));
    assert!(stale.iter().all(|image| image.package_keys == Some(vec![3, u64::MAX])));
    store.replace_findings(&a, &Digest::of("one"), "g1", &[], at(2)).await.unwrap();
    store.confirm_matches(&a, &[Digest::of("two")], "g1", at(2)).await.unwrap();
    assert!(store.stale_images(&a, "g1", None, 10).await.unwrap().is_empty());
    let stale = store.stale_images(&a, "g2", None, 10).await.unwrap();
    assert_eq!(stale.len(), 2);
    store.confirm_matches(&a, &[Digest::of("two")], "g1", at(3)).await.unwrap();
    let matched_at = async |name: &str| store.image_summary(&a, &Digest::of(name)).await.unwrap().unwrap().matched_at;
    assert_eq!((matched_at("one").await, matched_at("two").await), (Some(at(2)), Some(at(3))));
    let listed = store.images(&a).await.unwrap();
    assert!(listed.iter().all(|image| image.matched_at.is_some()));
    assert!(stale.iter().all(|image| image.matched_generation.as_deref() == Some("g1")));
    let all = [Digest::of("one"), Digest::of("two")];
    let (first, last) = (all.iter().min().unwrap(), all.iter().max().unwrap());
    let after = async |digest: Option<&Digest>| {
        let stale = store.stale_images(&a, "g3", digest, 1).await.unwrap();
        stale.into_iter().map(|image| image.digest).collect::<Vec<_>>()
    };
    assert_eq!(after(None).await, [*first]);
    assert_eq!(after(Some(first)).await, [*last]);
    assert!(after(Some(last)).await.is_empty());
    assert_eq!(store.stale_images(&a, "g2", None, 1).await.unwrap().len(), 1);
}

async fn ids_that_findings_hang_on_are_kept_once(database: TestDatabase) {
    let store = database.open().await;
    assert!(store.kept_ids().await.unwrap().is_empty());
    let ids: Vec<String> = (0..300).map(|number| format!("GHSA-{number:04}")).collect();
    store.keep_ids(&ids[..200]).await.unwrap();
    store.keep_ids(&ids[100..]).await.unwrap();
    store.keep_ids(&[]).await.unwrap();
    assert!(store.kept_ids().await.unwrap().iter().eq(&ids));
}

async fn a_scan_knows_the_pull_secrets_of_everybody_who_asks_for_it(database: TestDatabase) {
    let store = database.open().await;
    let named = |namespace: &str, secrets: &[&str]| PullSecrets {
        namespace: namespace.to_owned(),
        secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
        service_account: None,
    };
    let asked = |pull_secrets: Option<PullSecrets>, force| NewScan {
        reference: Some("app:1".into()),
        source: ScanSource::Registry,
        timeout_seconds: 60,
        pull_secrets,
        force,
        ..NewScan::default()
    };
    let mut last = None;
    for (namespace, secrets) in [("web", &["old"][..]), ("shop", &["pull"]), ("web", &["a", "b"]), ("bank", &[])] {
        let new = asked(Some(named(namespace, secrets)), false);
        last = Some(store.submit_scan(&tenant("a"), &new, at(1)).await.unwrap().scan);
    }
    let scan = last.unwrap();
    let found = store.pull_secrets(&tenant("a"), &scan.id).await.unwrap();
    assert_eq!(found, [named("shop", &["pull"]), named("web", &["a", "b"])], "the last word of each namespace counts");
    assert!(store.pull_secrets(&tenant("b"), &scan.id).await.unwrap().is_empty());

    store.submit_scan(&tenant("a"), &asked(Some(named("web", &[])), false), at(2)).await.unwrap();
    assert_eq!(store.pull_secrets(&tenant("a"), &scan.id).await.unwrap(), [named("shop", &["pull"])]);

    store.advance_scan(&scan, ScanStatus::Succeeded, Some(&Digest::of("i")), "done", at(3)).await.unwrap();
    store.submit_scan(&tenant("a"), &asked(Some(named("late", &["x"])), false), at(4)).await.unwrap();
    assert_eq!(
        store.pull_secrets(&tenant("a"), &scan.id).await.unwrap(),
        [named("shop", &["pull"])],
        "nothing was pulled"
    );
    store.submit_scan(&tenant("a"), &asked(None, true), at(5)).await.unwrap();
    assert!(store.pull_secrets(&tenant("a"), &scan.id).await.unwrap().is_empty(), "who asks now named none");
}

async fn notable_events_are_listed_newest_first_and_the_others_are_not(database: TestDatabase) {
    let store = database.open().await;
    let notable = |id: &str, second, kind: &str| ObservedEvent {
        at: at(second),
        kind: kind.into(),
        body: id.into(),
        ..event(id, "containerd://c", false, &[])
    };
    let events = [
        notable("d1", 1, "Drift"),
        notable("d2", 2, "Drift"),
        notable("d3", 2, "Drift"),
        notable("p1", 3, "PolicyViolation"),
        notable("l1", 4, ""),
    ];
    store.ingest(events.as_slice()).await.unwrap();
    let page = async |kind: &str, before: (i64, &str)| -> Vec<String> {
        let rows = store.notable_events(&tenant("a"), kind, before, 2).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(page("Drift", (i64::MAX, "")).await, ["d3", "d2"]);
    assert_eq!(page("Drift", (2000, "d2")).await, ["d1"]);
    assert_eq!(page("PolicyViolation", (i64::MAX, "")).await, ["p1"]);
    assert!(page("", (i64::MAX, "")).await.is_empty());
    assert!(store.notable_events(&tenant("b"), "Drift", (i64::MAX, ""), 9).await.unwrap().is_empty());
    let ids = ["p1", "none", "d1"].map(str::to_owned);
    assert_eq!(store.known_events(&tenant("a"), &ids).await.unwrap(), ["d1", "p1"]);
    assert!(store.known_events(&tenant("a"), &[]).await.unwrap().is_empty());
    assert!(store.known_events(&tenant("b"), &ids).await.unwrap().is_empty());
}
