//! What was found of signatures, on real databases of both kinds.

mod database;

use std::collections::BTreeSet;

use database::TestDatabase;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_inventory::{Inventory, Provenance};
use stella_store::{ImageRecord, SignatureCheck, Store};

on_both!(
    a_check_replaces_the_one_before_it,
    what_somebody_else_wrote_meanwhile_is_not_written_over,
    images_are_looked_at_when_they_are_due_and_those_that_never_were_go_first,
    what_nobody_asks_for_any_more_is_forgotten,
    what_is_due_is_read_page_by_page,
    names_come_in_the_order_in_which_they_were_given,
);

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn check(image: &str, authority: &str, retry: i64) -> SignatureCheck {
    SignatureCheck {
        image: Digest::of(image),
        authority: Digest::of(authority),
        signed: true,
        sbom: false,
        signed_names: Some([Digest::of(image).to_string(), "registry.example/app:1".to_owned()].into()),
        sbom_names: None,
        signed_places: ["registry.example/app".to_owned()].into(),
        sbom_places: BTreeSet::new(),
        detail: "no SBOM".to_owned(),
        failure: String::new(),
        failures: 0,
        looked_at: at(1),
        checked_at: Some(at(1)),
        expires_at: at(100),
        retry_at: at(retry),
    }
}

async fn put_image(store: &Store, name: &str) {
    put_named(store, name, 1, &[]).await;
}

/// An image that was read at this second, and has further names since.
async fn put_named(store: &Store, name: &str, second: i64, names: &[&str]) {
    let inventory =
        Inventory { provenance: Provenance::Layers, os: None, layers: vec![], components: vec![], problems: vec![] };
    let record = ImageRecord {
        digest: Digest::of(name),
        reference: names.first().map(|name| (*name).to_owned()),
        way: "layers".into(),
        inventory,
        read_at: at(second),
        package_keys: vec![],
    };
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    store.put_image(&tenant("a"), record, &names).await.unwrap();
}

async fn a_check_replaces_the_one_before_it(database: TestDatabase) {
    let store = database.open().await;
    let (a, image) = (tenant("a"), Digest::of("one"));
    let first = [check("one", "x", 10), check("one", "y", 10)];
    store.put_signature_checks(&a, &[], &first).await.unwrap();
    let mut held = store.signature_checks(&a, &image).await.unwrap();
    held.sort_by_key(|check| check.authority != Digest::of("x"));
    assert_eq!(held, first);
    let second = SignatureCheck {
        signed: false,
        failure: "no answer".to_owned(),
        failures: 2,
        checked_at: None,
        ..check("one", "x", 20)
    };
    assert!(store.put_signature_checks(&a, &held, std::slice::from_ref(&second)).await.unwrap());
    let held = store.signature_checks(&a, &image).await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(held.contains(&second) && held.contains(&first[1]));
    assert!(store.signature_checks(&tenant("b"), &image).await.unwrap().is_empty());
}

async fn what_somebody_else_wrote_meanwhile_is_not_written_over(database: TestDatabase) {
    let store = database.open().await;
    let (a, image) = (tenant("a"), Digest::of("one"));
    let found = check("one", "x", 50);
    // Two read that there is nothing, and both look.
    assert!(store.put_signature_checks(&a, &[], std::slice::from_ref(&found)).await.unwrap());
    let in_vain = SignatureCheck { signed: false, looked_at: at(2), ..check("one", "x", 17) };
    let both = [check("one", "w", 17), in_vain.clone()];
    assert!(!store.put_signature_checks(&a, &[], &both).await.unwrap());
    assert_eq!(
        store.signature_checks(&a, &image).await.unwrap(),
        std::slice::from_ref(&found),
        "nothing of it is kept"
    );
    // Somebody asks for another look while one is under way, be the image due or not.
    for now in [40, 90] {
        let held = store.signature_checks(&a, &image).await.unwrap();
        store.recheck_image(&a, &image, at(now)).await.unwrap();
        assert!(!store.put_signature_checks(&a, &held, std::slice::from_ref(&in_vain)).await.unwrap());
        let due = store.signature_checks(&a, &image).await.unwrap()[0].retry_at;
        assert!(due <= at(40) && due > at(39), "{due:?}");
    }
    let held = store.signature_checks(&a, &image).await.unwrap();
    assert!(store.put_signature_checks(&a, &held, std::slice::from_ref(&in_vain)).await.unwrap());
    assert_eq!(store.signature_checks(&a, &image).await.unwrap(), [in_vain]);
}

async fn images_are_looked_at_when_they_are_due_and_those_that_never_were_go_first(database: TestDatabase) {
    let store = database.open().await;
    let (a, x) = (tenant("a"), Digest::of("x"));
    for name in ["one", "two", "three", "unmatched"] {
        put_image(&store, name).await;
    }
    for name in ["one", "two", "three"] {
        store.confirm_matches(&a, &[Digest::of(name)], "g1", at(2)).await.unwrap();
    }
    store.put_signature_checks(&a, &[], &[check("one", "x", 20), check("two", "x", 10)]).await.unwrap();
    let due = async |second: i64, limit: i64| {
        let due = store.unchecked_images(&a, &x, at(second), None, limit).await.unwrap();
        due.into_iter().map(|it| it.image).collect::<Vec<_>>()
    };
    let [one, two, three] = ["one", "two", "three"].map(Digest::of);
    assert_eq!(due(9, 10).await, [three]);
    assert_eq!(due(10, 10).await, [three, two]);
    assert_eq!(due(20, 10).await, [three, two, one]);
    assert_eq!(due(20, 1).await, [three]);
    assert_eq!(
        store.unchecked_images(&a, &Digest::of("y"), at(9), None, 10).await.unwrap().len(),
        3,
        "another authority"
    );
    store.recheck_image(&a, &one, at(9)).await.unwrap();
    assert_eq!(due(9, 10).await, [three, one]);
}

async fn what_nobody_asks_for_any_more_is_forgotten(database: TestDatabase) {
    let store = database.open().await;
    let a = tenant("a");
    store.put_signature_checks(&a, &[], &[check("one", "x", 20), check("one", "y", 10)]).await.unwrap();
    assert_eq!(store.forget_signature_checks(at(20)).await.unwrap(), 1);
    let held = store.signature_checks(&a, &Digest::of("one")).await.unwrap();
    assert_eq!(held, [check("one", "x", 20)]);
}

async fn what_is_due_is_read_page_by_page(database: TestDatabase) {
    let store = database.open().await;
    let (a, x) = (tenant("a"), Digest::of("x"));
    for name in ["one", "two", "three", "four"] {
        put_named(&store, name, 1, &[&format!("registry.example/{name}:1")]).await;
        store.confirm_matches(&a, &[Digest::of(name)], "g1", at(2)).await.unwrap();
    }
    store.put_signature_checks(&a, &[], &[check("one", "x", 10), check("two", "x", 10)]).await.unwrap();
    let all = store.unchecked_images(&a, &x, at(20), None, 9).await.unwrap();
    assert_eq!(all.iter().map(|it| it.since).collect::<Vec<_>>(), [at(0), at(0), at(10), at(10)]);
    let (mut paged, mut after) = (Vec::new(), None);
    while let Some(next) = store.unchecked_images(&a, &x, at(20), after.as_ref(), 1).await.unwrap().pop() {
        paged.push(next.clone());
        after = Some(next);
    }
    assert_eq!(paged, all);
    let three = all.iter().find(|it| it.image == Digest::of("three")).unwrap();
    assert_eq!(three.reference.as_deref(), Some("registry.example/three:1"));
}

async fn names_come_in_the_order_in_which_they_were_given(database: TestDatabase) {
    let store = database.open().await;
    let (one, first) = (Digest::of("one").to_string(), "r.example/app:1");
    put_named(&store, "one", 1, &[first, "r.example/app:2"]).await;
    put_named(&store, "one", 5, &["r.example/app:2"]).await;
    let names = store.recent_image_names(&tenant("a"), &Digest::of("one")).await.unwrap();
    assert_eq!(names, ["r.example/app:2", one.as_str(), first]);
}
