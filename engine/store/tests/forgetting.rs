//! What nobody uses is forgotten with all its rows, and what is used or referred to never is.

mod database;

use std::cmp::Reverse;
use std::sync::Arc;

use database::TestDatabase;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use stella_domain::{Digest, Reachability, Severity, Tenant, Timestamp, finding_place};
use stella_inventory::{Inventory, LayerInventory, Provenance};
use stella_store::{
    Filing, FindingQuery, FindingRow, ImageRecord, NewScan, ObservedContainer, ObservedEvent, Scan, ScanStatus, Store,
    StoredReport, VerdictSince,
};

on_both!(
    what_is_used_stays_and_the_rest_goes,
    a_layer_that_is_sent_again_stays,
    an_image_that_comes_back_has_no_past,
    what_was_written_about_an_image_that_is_gone_goes,
    steps_of_a_scan_go_but_for_the_last,
    reports_that_are_asked_for_stay,
    an_image_that_is_asked_for_and_written_again_stays,
    a_scan_that_failed_long_ago_begins_anew,
    findings_that_went_in_between_are_looked_for_again,
    one_replica_forgets,
);

/// Before this day nobody used what is to be forgotten.
const BEFORE: i64 = 20;

fn day(number: i64) -> Timestamp {
    Timestamp::from_millis(number * 86_400_000)
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn record(image: Digest, layers: Vec<Digest>, read_at: Timestamp) -> ImageRecord {
    let inventory =
        Inventory { provenance: Provenance::Layers, os: None, layers, components: vec![], problems: vec![] };
    ImageRecord { digest: image, reference: None, way: "layers".into(), inventory, read_at, package_keys: vec![] }
}

fn finding(tenant: &Tenant, image: Digest, number: usize) -> FindingRow {
    FindingRow {
        id: format!("{}{number:022}", finding_place(tenant, &image)),
        digest: image,
        rank: 1,
        severity: Severity::High,
        advisory_id: "CVE-2026-0001".into(),
        names: vec!["CVE-2026-0001".into()],
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

fn event(tenant: &Tenant, id: &str, image: Digest, stopped_at: Option<Timestamp>) -> ObservedEvent {
    ObservedEvent {
        tenant: tenant.clone(),
        id: id.to_owned(),
        at: day(1),
        container: ObservedContainer {
            id: format!("containerd://{id}"),
            image: image.to_string(),
            image_ref: String::new(),
            node: "node-1".into(),
            namespace: "shop".into(),
            pod: "web-1".into(),
            name: "web".into(),
            entrypoint: "/usr/bin/web".into(),
            started_at: day(0),
            from_start: true,
            openings: true,
            gap: None,
            stopped_at,
        },
        started: true,
        loaded: vec![],
        kind: String::new(),
        body: "{}".into(),
    }
}

/// One pass, as the operator makes it; images are looked at two by two.
async fn forget(store: &Store) {
    store.forget_reports(day(BEFORE), 3).await.unwrap();
    let mut after = None;
    loop {
        let unused = store.unused_images(day(BEFORE), after.as_ref(), 2).await.unwrap();
        for (tenant, image) in &unused {
            store.forget_image(tenant, image, day(BEFORE), day(40)).await.unwrap();
        }
        let Some(last) = unused.last().cloned() else { break };
        after = Some(last);
    }
    store.forget_containers(day(BEFORE), 3).await.unwrap();
    assert_eq!(store.forget_strays(day(BEFORE), 3).await.unwrap(), 0, "an image goes with all that is written of it");
    store.forget_scans(day(BEFORE), 3).await.unwrap();
}

/// An image with everything that may use it, each on its day.
#[derive(Debug, Clone)]
struct Past {
    read: i64,
    repository: u8,
    /// A container of it, and when that ended.
    ran: Option<Option<i64>>,
    scanned: Option<i64>,
    /// Whether a scan of it is waiting.
    waited_for: bool,
    /// A report, of the scan where there is one.
    reported: Option<i64>,
    asked: Option<i64>,
    layers: [bool; 4],
}

fn past() -> impl Strategy<Value = Past> {
    let when = || prop::option::weighted(0.3, 0..40_i64);
    let ran = prop::option::weighted(0.3, prop::option::weighted(0.8, 0..40_i64));
    let one = (0..24_i64, 0..3_u8, ran, when(), prop::bool::weighted(0.1), when(), when(), any::<[bool; 4]>());
    one.prop_map(|(read, repository, ran, scanned, waited_for, reported, asked, layers)| Past {
        read,
        repository,
        ran,
        scanned,
        waited_for,
        reported,
        asked,
        layers,
    })
}

/// An image that was stored, and what became of its scan.
struct Stored {
    digest: Digest,
    past: Past,
    scan: Option<Scan>,
    report: Option<String>,
}

impl Stored {
    async fn put(store: &Store, tenant: &Tenant, number: usize, past: Past) -> Self {
        let digest = Digest::of(format!("{tenant}/{number}"));
        let layers = layers(tenant).into_iter().zip(past.layers).filter(|(_, has)| *has).map(|(layer, _)| layer);
        let reference = format!("r.example/app{}:{number}", past.repository);
        let image = record(digest, layers.collect(), day(past.read));
        store.put_image(tenant, image, std::slice::from_ref(&reference)).await.unwrap();
        let findings = [finding(tenant, digest, 1), finding(tenant, digest, 2)];
        store.replace_findings(tenant, &digest, "g1", &findings, day(past.read)).await.unwrap();
        let verdict = VerdictSince { verdict: "pass".into(), since: day(past.read), ran_in: vec![] };
        store.note_verdict(tenant, "scope", &digest, &verdict).await.unwrap();
        if let Some(stopped) = past.ran {
            store.ingest([event(tenant, &format!("c{number}"), digest, stopped.map(day))]).await.unwrap();
        }
        let scan = match past.scanned {
            Some(at) => {
                let new = NewScan { digest: Some(digest), timeout_seconds: 60, ..NewScan::default() };
                let scan = store.submit_scan(tenant, &new, day(at)).await.unwrap().scan;
                assert!(
                    store.advance_scan(&scan, ScanStatus::Succeeded, Some(&digest), "done", day(at)).await.unwrap()
                );
                Some(scan)
            }
            None => None,
        };
        if past.waited_for {
            let new = NewScan { reference: Some(reference), timeout_seconds: 60, ..NewScan::default() };
            store.submit_scan(tenant, &new, day(0)).await.unwrap();
        }
        let report = past.reported.map(|_| format!("report-{number}"));
        if let (Some(at), Some(id)) = (past.reported, &report) {
            let kept = StoredReport { id: id.clone(), body: "{}".into(), made_from: String::new() };
            let of = scan.as_ref().map(|scan| scan.id.as_str());
            store.put_report(tenant, &digest, &kept, of, day(at)).await.unwrap();
        }
        if let Some(at) = past.asked {
            store.image_asked(tenant, &digest, day(at)).await.unwrap();
        }
        Self { digest, past, scan, report }
    }

    fn is_used(&self, all: &[Self]) -> bool {
        let Past { read, repository, ran, scanned, waited_for, reported, asked, .. } = self.past;
        let siblings = all.iter().filter(|other| other.past.repository == repository);
        let newest = siblings.max_by_key(|other| (other.past.read, Reverse(other.digest))).unwrap();
        let is_late = |at: Option<i64>| at.is_some_and(|at| at >= BEFORE);
        let runs = ran.is_some_and(|stopped| stopped.is_none() || is_late(stopped));
        let asked = asked.filter(|at| *at > read + 1);
        is_late(Some(read))
            || is_late(scanned)
            || is_late(reported)
            || is_late(asked)
            || runs
            || waited_for
            || newest.digest == self.digest
    }

    /// Everything of the image is there.
    async fn assert_kept(&self, store: &Store, tenant: &Tenant) {
        assert!(store.image(tenant, &self.digest).await.unwrap().is_some(), "{:?}", self.past);
        assert_eq!(store.image_findings(tenant, &self.digest).await.unwrap().len(), 2);
        assert_eq!(store.image_names(tenant, &self.digest).await.unwrap().len(), 2);
        assert!(store.verdict_since(tenant, "scope", &self.digest).await.unwrap().is_some());
        let containers = store.containers_of(tenant, &[self.digest.to_string()]).await.unwrap();
        assert_eq!(containers.len(), usize::from(self.past.ran.is_some()));
        if let Some(scan) = &self.scan {
            let kept = store.scan(tenant, &scan.id).await.unwrap().unwrap();
            assert_eq!((kept.status, kept.digest), (ScanStatus::Succeeded, Some(self.digest)));
            assert_eq!(store.scan_events(tenant, &scan.id, 0).await.unwrap().len(), 2);
        }
        if let Some(report) = &self.report {
            assert!(store.report(tenant, report).await.unwrap().is_some(), "the last one of its image");
        }
    }

    /// Nothing of the image is there, but for the scan that a report tells of.
    async fn assert_gone(&self, store: &Store, tenant: &Tenant) {
        assert!(store.image(tenant, &self.digest).await.unwrap().is_none(), "{:?}", self.past);
        assert!(store.image_findings(tenant, &self.digest).await.unwrap().is_empty());
        assert!(store.image_names(tenant, &self.digest).await.unwrap().is_empty());
        assert!(store.verdict_since(tenant, "scope", &self.digest).await.unwrap().is_none());
        assert!(store.containers_of(tenant, &[self.digest.to_string()]).await.unwrap().is_empty());
        let is_told = match &self.report {
            Some(report) => store.report(tenant, report).await.unwrap().is_some(),
            None => false,
        };
        let Some(scan) = &self.scan else { return };
        let kept = store.scan(tenant, &scan.id).await.unwrap();
        let events = store.scan_events(tenant, &scan.id, 0).await.unwrap();
        if is_told {
            let kept = kept.unwrap();
            assert_eq!((kept.status, kept.updated_at), (ScanStatus::Failed, day(self.past.scanned.unwrap())));
            assert!(kept.failure.unwrap().contains("forgotten"));
            assert_eq!((events.len(), events[2].state.as_str(), events[2].sequence), (3, "Failed", 3));
        } else {
            assert!(kept.is_none() && events.is_empty());
        }
    }
}

fn layers(tenant: &Tenant) -> [Digest; 4] {
    [0, 1, 2, 3].map(|number| Digest::of(format!("{tenant}/layer {number}")))
}

async fn what_is_used_stays_and_the_rest_goes(database: TestDatabase) {
    let pasts = proptest::collection::vec(past(), 1..9);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for round in 0..12 {
        let mut store = database.open().await;
        let tenant = tenant(&format!("t{round}"));
        let all_layers = layers(&tenant);
        store.put_layers(None, &all_layers.map(LayerInventory::empty)).await.unwrap();
        let mut stored = Vec::new();
        for (number, past) in pasts.new_tree(&mut runner).unwrap().current().into_iter().enumerate() {
            stored.push(Stored::put(&store, &tenant, number, past).await);
        }
        let (used, unused): (Vec<&Stored>, Vec<&Stored>) = stored.iter().partition(|image| image.is_used(&stored));
        // What a report tells of goes after the report, and that after its image.
        for pass in 0..2 {
            forget(&store).await;
            for image in &used {
                image.assert_kept(&store, &tenant).await;
            }
            for image in &unused {
                image.assert_gone(&store, &tenant).await;
                if let (Some(report), 1) = (&image.report, pass) {
                    assert!(store.report(&tenant, report).await.unwrap().is_none());
                    let scan = image.scan.as_ref().map(|scan| scan.id.clone()).unwrap_or_default();
                    assert!(store.scan(&tenant, &scan).await.unwrap().is_none());
                }
            }
            let facets = store.facets(&tenant, &FindingQuery::default()).await.unwrap();
            let counted = facets.severity.get("High").copied().unwrap_or_default();
            assert_eq!(usize::try_from(counted).unwrap(), 2 * used.len());
            // The process dies, and another goes on.
            store = database.open().await;
        }

        let wanted = |number: usize| used.iter().any(|image| image.past.layers[number]);
        let unwanted: Vec<Digest> =
            all_layers.iter().enumerate().filter(|(number, _)| !wanted(*number)).map(|(_, layer)| *layer).collect();
        assert_eq!(store.forget_layers(day(50), day(49), 3).await.unwrap(), 0, "each is noted first");
        assert_eq!(store.layers_missing(None, &all_layers).await.unwrap(), unwanted);
        assert!(store.layers_gone(None, &all_layers).await.unwrap().is_empty());
        assert_eq!(store.forget_layers(day(50), day(49), 3).await.unwrap(), 0, "not before its time");
        assert_eq!(store.forget_layers(day(52), day(51), 3).await.unwrap(), unwanted.len() as u64);
        assert_eq!(store.layers_missing(None, &all_layers).await.unwrap(), unwanted);
        assert_eq!(store.layers_gone(None, &all_layers).await.unwrap(), unwanted);
    }
}

async fn a_layer_that_is_sent_again_stays(database: TestDatabase) {
    let store = database.open().await;
    let a = tenant("a");
    let layers = ["sent", "used", "own", "old"].map(|name| LayerInventory::empty(Digest::of(name)));
    let [sent, used, own, old] = layers.each_ref().map(|layer| layer.diff_id);
    store.put_layers(None, &[layers[0].clone(), layers[1].clone(), layers[3].clone()]).await.unwrap();
    store.put_layers(Some(&a), std::slice::from_ref(&layers[2])).await.unwrap();
    assert_eq!(store.forget_layers(day(1), day(0), 2).await.unwrap(), 0);
    let all = [sent, used, own, old];
    assert_eq!(store.layers_missing(Some(&a), &all).await.unwrap(), all, "whoever asks sends them again");
    assert!(store.layers_gone(Some(&a), &all).await.unwrap().is_empty(), "whoever asked before finds them");
    // One is sent again though no image has it yet; two come to be in images.
    store.put_layers(None, std::slice::from_ref(&layers[0])).await.unwrap();
    store.put_image(&a, record(Digest::of("image"), vec![used, own], day(1)), &[]).await.unwrap();
    assert_eq!(store.forget_layers(day(3), day(2), 2).await.unwrap(), 1);
    assert_eq!(store.layers_gone(Some(&a), &all).await.unwrap(), [old]);
    assert_eq!(store.layers_missing(Some(&a), &all).await.unwrap(), [sent, old], "it is in no image still");
    assert!(store.layer(Some(&a), &own).await.unwrap().is_some());
}

async fn an_image_that_comes_back_has_no_past(database: TestDatabase) {
    let store = database.open().await;
    let (a, image, other) = (tenant("a"), Digest::of("image"), Digest::of("other"));
    for digest in [image, other] {
        store.put_image(&a, record(digest, vec![], day(1)), &[]).await.unwrap();
        let both = [finding(&a, digest, 1), finding(&a, digest, 2)];
        store.replace_findings(&a, &digest, "g1", &both, day(1)).await.unwrap();
        store.replace_findings(&a, &digest, "g2", &both[..1], day(2)).await.unwrap();
    }
    assert!(!store.forget_image(&a, &image, day(1), day(30)).await.unwrap(), "it was read since");
    assert!(store.forget_image(&a, &image, day(2), day(30)).await.unwrap());
    assert!(!store.forget_image(&a, &image, day(2), day(30)).await.unwrap(), "it is gone");
    store.put_image(&a, record(image, vec![], day(31)), &[]).await.unwrap();
    for (digest, since) in [(image, day(31)), (other, day(1))] {
        let both = [finding(&a, digest, 1), finding(&a, digest, 2)];
        store.replace_findings(&a, &digest, "g3", &both, day(31)).await.unwrap();
        let found = store.image_findings(&a, &digest).await.unwrap();
        assert!(found.iter().all(|finding| finding.first_seen == since), "{found:?}");
    }
}

async fn what_was_written_about_an_image_that_is_gone_goes(database: TestDatabase) {
    let store = database.open().await;
    let (a, gone, kept) = (tenant("a"), Digest::of("gone"), Digest::of("kept"));
    store.put_image(&a, record(kept, vec![], day(1)), &[]).await.unwrap();
    let verdict = VerdictSince { verdict: "pass".into(), since: day(1), ran_in: vec![] };
    for image in [gone, kept] {
        store.replace_findings(&a, &image, "g1", &[finding(&a, image, 1)], day(1)).await.unwrap();
        store.put_name(&a, &format!("app:{image}"), &image, day(1)).await.unwrap();
        store.note_verdict(&a, "scope", &image, &verdict).await.unwrap();
    }
    assert_eq!(store.forget_strays(day(1), 10).await.unwrap(), 1, "names and verdicts may be of an image to come");
    assert_eq!(store.forget_strays(day(2), 10).await.unwrap(), 2);
    assert_eq!(store.forget_strays(day(2), 10).await.unwrap(), 0);
    assert!(store.image_findings(&a, &gone).await.unwrap().is_empty());
    assert!(store.image_names(&a, &gone).await.unwrap().is_empty());
    assert!(store.verdict_since(&a, "scope", &gone).await.unwrap().is_none());
    assert_eq!(store.facets(&a, &FindingQuery::default()).await.unwrap().severity["High"], 1);
    assert_eq!(store.image_names(&a, &kept).await.unwrap().len(), 2);
    assert!(store.verdict_since(&a, "scope", &kept).await.unwrap().is_some());
}

async fn steps_of_a_scan_go_but_for_the_last(database: TestDatabase) {
    let store = database.open().await;
    let (a, image) = (tenant("a"), Digest::of("image"));
    let new = NewScan { digest: Some(image), force: true, timeout_seconds: 60, ..NewScan::default() };
    let mut id = String::new();
    // Two steps an attempt.
    for attempt in 0..25 {
        let scan = store.submit_scan(&a, &new, day(attempt)).await.unwrap().scan;
        store.advance_scan(&scan, ScanStatus::Succeeded, Some(&image), "done", day(attempt)).await.unwrap();
        id = scan.id;
    }
    let left = async || -> Vec<i64> {
        store.scan_events(&a, &id, 0).await.unwrap().iter().map(|step| step.sequence).collect()
    };
    assert_eq!(store.forget_steps(day(10), 3).await.unwrap(), 20);
    assert_eq!(left().await, (21..=50).collect::<Vec<_>>(), "younger ones stay");
    assert_eq!(store.forget_steps(day(100), 3).await.unwrap(), 14);
    assert_eq!(left().await, (35..=50).collect::<Vec<_>>(), "sixteen stay however old they are");
    let next = store.submit_scan(&a, &new, day(101)).await.unwrap().scan;
    assert_eq!((next.attempt, left().await.last()), (26, Some(&51)), "numbers go on");
}

async fn an_image_that_is_asked_for_and_written_again_stays(database: TestDatabase) {
    let store = database.open().await;
    let (tenant, image) = (tenant("a"), record(Digest::of("asked"), vec![], day(1)));
    store.put_image(&tenant, image.clone(), &[]).await.unwrap();
    let unused = async || store.unused_images(day(BEFORE), None, 10).await.unwrap();
    assert_eq!(unused().await, [(tenant.clone(), image.digest)]);
    store.image_asked(&tenant, &image.digest, day(30)).await.unwrap();
    assert_eq!(unused().await, []);
    // As when archives in it get their names: it was read when it was read.
    store.put_image(&tenant, image.clone(), &[]).await.unwrap();
    assert_eq!(unused().await, []);
}

async fn reports_that_are_asked_for_stay(database: TestDatabase) {
    let store = database.open().await;
    let (a, image) = (tenant("a"), Digest::of("image"));
    store.put_image(&a, record(image, vec![], day(1)), &[]).await.unwrap();
    let put = async |id: &str, on: i64| {
        let report = StoredReport { id: id.into(), body: "{}".into(), made_from: String::new() };
        store.put_report(&a, &image, &report, None, day(on)).await.unwrap();
    };
    let left = async || -> Vec<String> { store.reports(&a).await.unwrap().into_iter().map(|r| r.id).collect() };
    put("r1", 1).await;
    put("r2", 2).await;
    put("r3", 3).await;
    put("r1", 9).await;
    assert_eq!(store.forget_reports(day(3), 1).await.unwrap(), 1);
    assert_eq!(left().await, ["r1", "r3"]);
    assert_eq!(store.forget_reports(day(50), 1).await.unwrap(), 1);
    assert_eq!(left().await, ["r1"], "the last one of a stored image");
    assert!(!store.forget_image(&a, &image, day(9), day(50)).await.unwrap(), "somebody asked for a report about it");
    assert!(store.forget_image(&a, &image, day(10), day(50)).await.unwrap());
    assert_eq!(store.forget_reports(day(9), 1).await.unwrap(), 0);
    assert_eq!(store.forget_reports(day(10), 1).await.unwrap(), 1);
}

async fn a_scan_that_failed_long_ago_begins_anew(database: TestDatabase) {
    let store = database.open().await;
    let a = tenant("a");
    let new = NewScan { reference: Some("app:1".into()), timeout_seconds: 60, ..NewScan::default() };
    let scan = store.submit_scan(&a, &new, day(1)).await.unwrap().scan;
    assert_eq!(store.forget_scans(day(9), 10).await.unwrap(), 0, "one that waits is not over");
    store.advance_scan(&scan, ScanStatus::Failed, None, "no such image", day(2)).await.unwrap();
    assert_eq!(store.forget_scans(day(2), 10).await.unwrap(), 0);
    assert_eq!(store.forget_scans(day(3), 10).await.unwrap(), 1);
    assert!(store.scan(&a, &scan.id).await.unwrap().is_none());
    let again = store.submit_scan(&a, &new, day(4)).await.unwrap();
    assert_eq!((again.created, again.scan.id.as_str(), again.scan.attempt), (true, scan.id.as_str(), 1));
    assert_eq!(store.scan_events(&a, &scan.id, 0).await.unwrap().len(), 1);
}

async fn findings_that_went_in_between_are_looked_for_again(database: TestDatabase) {
    let store = database.open().await;
    let (a, image) = (tenant("a"), Arc::new(record(Digest::of("image"), vec![], day(1))));
    let scan = NewScan { digest: Some(image.digest), timeout_seconds: 60, ..NewScan::default() };
    let filing = Filing {
        image: Arc::clone(&image),
        packed: None,
        generation: "g1".into(),
        findings: None,
        scan,
        message: "read".into(),
    };
    store.file_scan(&a, filing.clone(), day(1)).await.unwrap();
    let matched = async || store.image_summary(&a, &image.digest).await.unwrap().unwrap().matched_generation;
    assert_eq!(matched().await, None, "there were no findings to hold on");
    store.file_scan(&a, filing, day(1)).await.unwrap();
    assert_eq!(matched().await.as_deref(), Some("g1"));
}

async fn one_replica_forgets(database: TestDatabase) {
    let (one, other) = (database.open().await, database.open().await);
    assert!(one.claim_forgetting(day(1), day(2)).await.unwrap());
    assert_eq!(other.claim_forgetting(day(1), day(2)).await.unwrap(), !other.is_shared(), "SQLite has one process");
    assert!(other.claim_forgetting(day(2), day(3)).await.unwrap());
}
