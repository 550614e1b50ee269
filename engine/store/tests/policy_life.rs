//! Imports, waivers of the API and VEX documents.

mod database;

use database::TestDatabase;
use stella_domain::{Tenant, Timestamp};
use stella_store::{Imported, PolicyRevision, VexDocumentRow, WaiverRow};

on_both!(
    an_import_takes_the_place_of_the_expected_one_only,
    a_waiver_is_taken_back_once_and_its_id_stays_taken,
    a_vex_document_is_kept_once_and_moves_the_stamp,
    other_documents_have_another_stamp_whatever_the_clock_does,
);

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn revision(name: &str, digest: &str) -> PolicyRevision {
    PolicyRevision {
        tenant: tenant("a"),
        number: 0,
        name: name.into(),
        digest: digest.into(),
        source: "test".into(),
        actor: "someone".into(),
        at: at(1),
        priority: 0,
        body: format!("{{\"of\":\"{digest}\"}}"),
        active: true,
        description: "why".into(),
    }
}

async fn an_import_takes_the_place_of_the_expected_one_only(database: TestDatabase) {
    let store = database.open().await;
    let import = async |digest: &str, expected: Option<Vec<Option<String>>>| {
        store.import_policy(&revision("import", digest), expected.as_deref()).await.unwrap()
    };
    let one = || Some("one".to_owned());
    assert!(matches!(import("one", Some(vec![None])).await, Imported::InForce(r) if r.number == 1));
    assert_eq!(import("two", Some(vec![None])).await, Imported::Changed(one()));
    assert!(matches!(import("two", Some(vec![one()])).await, Imported::InForce(r) if r.number == 2));
    assert!(matches!(import("two", None).await, Imported::InForce(r) if r.number == 2), "nothing changed");
    store.activate_policy(&revision("ns/p", "three")).await.unwrap();
    assert_eq!(import("four", None).await, Imported::Owned(vec!["ns/p".into()]));
    let first = store.policy_revision(&tenant("a"), 1).await.unwrap().unwrap();
    assert_eq!((first.active, first.description.as_str()), (false, "why"));
    assert_eq!(store.policy_before(&tenant("a"), "import", 2).await.unwrap(), Some(first));
    assert_eq!(store.policy_before(&tenant("a"), "ns/p", 3).await.unwrap(), None);
    let page = store.policy_history(&tenant("a"), 3, 1).await.unwrap();
    assert_eq!(page.iter().map(|r| r.number).collect::<Vec<_>>(), [2]);
    assert_eq!(store.policy_revision(&tenant("b"), 1).await.unwrap(), None);
}

async fn a_waiver_is_taken_back_once_and_its_id_stays_taken(database: TestDatabase) {
    let store = database.open().await;
    let waiver = WaiverRow {
        id: "w1".into(),
        body: "{}".into(),
        created_by: "someone".into(),
        created_at: at(1),
        withdrawn: None,
    };
    assert!(store.put_waiver(&tenant("a"), &waiver).await.unwrap());
    assert!(!store.put_waiver(&tenant("a"), &waiver).await.unwrap());
    assert!(store.put_waiver(&tenant("b"), &waiver).await.unwrap());
    assert_eq!(store.standing_waivers().await.unwrap().len(), 2);
    assert!(store.withdraw_waiver(&tenant("a"), "w1", "other", at(2)).await.unwrap());
    assert!(!store.withdraw_waiver(&tenant("a"), "w1", "third", at(3)).await.unwrap());
    assert_eq!(store.standing_waivers().await.unwrap(), [(tenant("b"), waiver.clone())]);
    let kept = store.waivers(&tenant("a")).await.unwrap();
    assert_eq!(kept[0].withdrawn, Some(("other".into(), at(2))));
    assert!(!store.put_waiver(&tenant("a"), &waiver).await.unwrap());
}

async fn a_vex_document_is_kept_once_and_moves_the_stamp(database: TestDatabase) {
    let store = database.open().await;
    let document =
        |id: &str, second| VexDocumentRow { id: id.into(), body: "{}".into(), actor: "someone".into(), at: at(second) };
    let empty = store.vex_stamp(&tenant("a")).await.unwrap();
    assert!(store.put_vex(&tenant("a"), &document("x", 1)).await.unwrap());
    assert!(!store.put_vex(&tenant("a"), &document("x", 2)).await.unwrap());
    let one = store.vex_stamp(&tenant("a")).await.unwrap();
    assert_ne!(one, empty);
    assert_eq!(store.vex_stamp(&tenant("b")).await.unwrap(), empty);
    assert!(store.put_vex(&tenant("a"), &document("y", 3)).await.unwrap());
    assert_eq!(store.vex_documents(&tenant("a")).await.unwrap(), [document("x", 1), document("y", 3)]);
    assert!(store.remove_vex(&tenant("a"), "y").await.unwrap());
    assert_eq!(store.vex_stamp(&tenant("a")).await.unwrap(), one);
    assert!(!store.remove_vex(&tenant("a"), "y").await.unwrap());
}

async fn other_documents_have_another_stamp_whatever_the_clock_does(database: TestDatabase) {
    let store = database.open().await;
    let document =
        |id: &str, second| VexDocumentRow { id: id.into(), body: "{}".into(), actor: "someone".into(), at: at(second) };
    for (id, second) in [("x", 1), ("y", 3)] {
        assert!(store.put_vex(&tenant("a"), &document(id, second)).await.unwrap());
    }
    let before = store.vex_stamp(&tenant("a")).await.unwrap();
    assert!(store.remove_vex(&tenant("a"), "x").await.unwrap());
    assert!(store.put_vex(&tenant("a"), &document("z", 2)).await.unwrap());
    let after = store.vex_stamp(&tenant("a")).await.unwrap();
    assert_eq!((before.documents(), after.documents()), (2, 2));
    assert_ne!(before, after, "z came last, by a clock that was set back");
}
