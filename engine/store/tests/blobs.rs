//! What is large lies outside of the database, and goes when nothing refers to it any more.

mod database;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use database::TestDatabase;
use stella_domain::{Digest, Timestamp};
use stella_inventory::LayerInventory;
use stella_store::{BlobError, Blobs, Claim, Doing, Installation, Place, StoreError};
use tokio::sync::Notify;

on_both!(
    large_layers_lie_outside_and_small_ones_do_not,
    a_blob_that_nothing_refers_to_goes_a_day_later,
    what_cannot_be_kept_outside_is_not_kept,
    nobody_waits_for_a_removal_but_who_writes_the_same,
    an_installation_is_named_once,
    a_place_is_one_installations_own,
    nothing_is_removed_from_a_place_that_another_took_over,
);

/// A place in memory. Clones share it.
#[derive(Debug, Clone, Default)]
struct Memory {
    held: Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>,
    owner: Arc<Mutex<Option<Vec<u8>>>>,
    is_away: bool,
    /// What a removal waits for, where it waits.
    removal: Option<Arc<Removal>>,
}

/// A removal that has begun, and that it may end.
#[derive(Debug, Default)]
struct Removal {
    begun: Notify,
    may_end: Notify,
}

impl Memory {
    fn digests(&self) -> Vec<Digest> {
        self.held.lock().unwrap().keys().copied().collect()
    }
}

impl Place for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn put<'a>(&'a self, digest: &'a Digest, bytes: Vec<u8>) -> Doing<'a, ()> {
        Box::pin(async move {
            if self.is_away {
                return Err(BlobError::Away { place: self.name(), reason: "nobody".to_owned() });
            }
            self.held.lock().unwrap().insert(*digest, bytes);
            Ok(())
        })
    }

    fn get<'a>(&'a self, digest: &'a Digest) -> Doing<'a, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.held.lock().unwrap().get(digest).cloned()) })
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Doing<'a, ()> {
        Box::pin(async move {
            if let Some(removal) = &self.removal {
                removal.begun.notify_one();
                removal.may_end.notified().await;
            }
            self.held.lock().unwrap().remove(digest);
            Ok(())
        })
    }

    fn owner(&self) -> Doing<'_, Option<Vec<u8>>> {
        Box::pin(async move { Ok(self.owner.lock().unwrap().clone()) })
    }

    /// As a place that cannot write only where there is none.
    fn mark(&self, mark: Vec<u8>, _anew: bool) -> Doing<'_, ()> {
        Box::pin(async move {
            *self.owner.lock().unwrap() = Some(mark);
            Ok(())
        })
    }
}

fn day(number: i64) -> Timestamp {
    Timestamp::from_millis(number * 86_400_000)
}

fn layer(name: &str) -> LayerInventory {
    LayerInventory::empty(Digest::of(name))
}

async fn large_layers_lie_outside_and_small_ones_do_not(database: TestDatabase) {
    let place = Memory::default();
    let store = database.open().await.with_blobs(Blobs::new(place.clone()), 1 << 20);
    store.put_layers(None, &[layer("small")]).await.unwrap();
    assert!(place.digests().is_empty());
    let store = database.open().await.with_blobs(Blobs::new(place.clone()), 0);
    store.put_layers(None, &[layer("large")]).await.unwrap();
    assert_eq!(place.digests().len(), 1);
    for name in ["small", "large"] {
        assert_eq!(store.layer(None, &Digest::of(name)).await.unwrap(), Some(layer(name)));
    }

    let [blob] = place.digests()[..] else { panic!("one") };
    place.held.lock().unwrap().insert(blob, b"other".to_vec());
    let error = store.layer(None, &Digest::of("large")).await.unwrap_err();
    assert!(matches!(error, StoreError::Blob(BlobError::Damaged { .. })), "{error}");
    // It is read or sent again, and is whole then.
    let both = [Digest::of("small"), Digest::of("large")];
    assert_eq!(store.layers_missing(None, &both).await.unwrap(), both[1..]);
    store.put_layers(None, &[layer("large")]).await.unwrap();
    assert!(store.layers_missing(None, &both).await.unwrap().is_empty());
    assert_eq!(store.layer(None, &both[1]).await.unwrap(), Some(layer("large")));
    place.held.lock().unwrap().clear();
    let error = store.layer(None, &Digest::of("large")).await.unwrap_err();
    assert!(matches!(error, StoreError::Blob(BlobError::Absent { .. })), "{error}");
    // Without the place the database still takes what is sent again.
    let alone = database.open().await;
    alone.put_layers(None, &[layer("large")]).await.unwrap();
    assert_eq!(alone.layer(None, &Digest::of("large")).await.unwrap(), Some(layer("large")));
}

async fn a_blob_that_nothing_refers_to_goes_a_day_later(database: TestDatabase) {
    let place = Memory::default();
    let store = database.open().await.with_blobs(Blobs::new(place.clone()), 0);
    store.put_layers(None, &[layer("goes"), layer("comes back")]).await.unwrap();
    store.forget_layers(day(1), day(0), 10).await.unwrap();
    assert_eq!(store.forget_layers(day(3), day(2), 10).await.unwrap(), 2);
    assert_eq!(store.forget_blobs(day(3), day(2)).await.unwrap(), 0, "noted, no more");
    assert_eq!(place.digests().len(), 2);
    store.put_layers(None, &[layer("comes back")]).await.unwrap();
    assert_eq!(store.forget_blobs(day(5), day(4)).await.unwrap(), 1);
    assert_eq!(place.digests().len(), 1);
    assert_eq!(store.forget_blobs(day(9), day(8)).await.unwrap(), 0, "what is referred to stays");
    assert_eq!(store.layer(None, &Digest::of("comes back")).await.unwrap(), Some(layer("comes back")));
}

async fn what_cannot_be_kept_outside_is_not_kept(database: TestDatabase) {
    let away = Memory { is_away: true, ..Memory::default() };
    let store = database.open().await.with_blobs(Blobs::new(away), 0);
    let error = store.put_layers(None, &[layer("a")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Blob(BlobError::Away { .. })), "{error}");
    assert_eq!(store.layers_missing(None, &[Digest::of("a")]).await.unwrap(), [Digest::of("a")]);
    // What was noted before it failed is cleaned up like everything else.
    store.forget_blobs(day(1), day(0)).await.unwrap();
    assert_eq!(store.forget_blobs(day(3), day(2)).await.unwrap(), 1);
}

async fn nobody_waits_for_a_removal_but_who_writes_the_same(database: TestDatabase) {
    let removal = Arc::new(Removal::default());
    let place = Memory { removal: Some(Arc::clone(&removal)), ..Memory::default() };
    let store = database.open().await.with_blobs(Blobs::new(place.clone()), 0);
    store.put_layers(None, &[layer("goes")]).await.unwrap();
    store.forget_layers(day(1), day(0), 10).await.unwrap();
    store.forget_layers(day(3), day(2), 10).await.unwrap();
    store.forget_blobs(day(3), day(2)).await.unwrap();
    let others = async {
        removal.begun.notified().await;
        store.put_layers(None, &[layer("another")]).await.unwrap();
        assert_eq!(store.forget_blobs(day(5), day(4)).await.unwrap(), 0, "somebody removes it already");
        let again = async { store.put_layers(None, &[layer("goes")]).await.unwrap() };
        let end = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            removal.may_end.notify_one();
        };
        tokio::join!(again, end);
    };
    let (gone, ()) = tokio::join!(store.forget_blobs(day(5), day(4)), others);
    assert_eq!(gone.unwrap(), 1);
    assert_eq!(store.layer(None, &Digest::of("goes")).await.unwrap(), Some(layer("goes")));
}

async fn an_installation_is_named_once(database: TestDatabase) {
    let [one, two] = [database.open().await, database.open().await];
    assert_eq!(one.installation().await.unwrap(), None);
    let names = [Installation::new(1), Installation::new(2)];
    let both = tokio::join!(one.name_installation(names[0]), two.name_installation(names[1]));
    let (first, second) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!(first, second, "replicas that start together agree");
    assert!(names.contains(&first));
    assert_eq!(one.name_installation(Installation::new(3)).await.unwrap(), first);
    assert_eq!(database.open().await.installation().await.unwrap(), Some(first));
}

async fn a_place_is_one_installations_own(database: TestDatabase) {
    let place = Memory::default();
    let blobs = Blobs::new(place.clone());
    let store = database.open().await;
    store.name_installation(Installation::new(1)).await.unwrap();
    assert_eq!(store.claim_blobs(None).await.unwrap(), None, "there is no place");
    let store = store.with_blobs(blobs.clone(), 0);
    assert_eq!(store.claim_blobs(None).await.unwrap(), Some(Claim::Made));
    assert_eq!(store.claim_blobs(None).await.unwrap(), Some(Claim::Held));

    let (own, other) = (Installation::new(1), Installation::new(2));
    for from in [None, Some(Installation::new(3))] {
        let error = blobs.claim(other, from).await.unwrap_err();
        assert!(matches!(error, BlobError::Owned { owner, installation, .. } if (owner, installation) == (own, other)));
        let text = error.to_string();
        assert!(text.contains(&own.to_string()) && text.contains(&other.to_string()), "{text}");
        assert!(text.contains("memory") && text.contains("--take-blobs-from"), "{text}");
    }
    assert_eq!(blobs.claim(other, Some(own)).await.unwrap(), Claim::Taken(own));
    assert_eq!(blobs.claim(other, Some(own)).await.unwrap(), Claim::Held, "a flag that stays does nothing more");
    let error = store.claim_blobs(None).await.unwrap_err();
    assert!(matches!(error, StoreError::Blob(BlobError::Owned { .. })), "{error}");

    for mark in [b"".to_vec(), b"somebody".to_vec(), vec![0xff; 33]] {
        *place.owner.lock().unwrap() = Some(mark);
        let error = blobs.claim(own, Some(other)).await.unwrap_err();
        assert!(matches!(error, BlobError::Mark { .. }), "{error}");
    }
}

async fn nothing_is_removed_from_a_place_that_another_took_over(database: TestDatabase) {
    let place = Memory::default();
    let store = database.open().await.with_blobs(Blobs::new(place.clone()), 0);
    store.name_installation(Installation::new(1)).await.unwrap();
    store.put_layers(None, &[layer("goes")]).await.unwrap();
    store.forget_layers(day(1), day(0), 10).await.unwrap();
    store.forget_layers(day(3), day(2), 10).await.unwrap();
    assert_eq!(store.forget_blobs(day(3), day(2)).await.unwrap(), 0, "noted, no more");
    assert_eq!(place.owner.lock().unwrap().as_deref(), Some(format!("{}\n", Installation::new(1)).as_bytes()));

    *place.owner.lock().unwrap() = Some(Installation::new(2).to_string().into_bytes());
    let error = store.forget_blobs(day(5), day(4)).await.unwrap_err();
    assert!(matches!(error, StoreError::Blob(BlobError::Owned { .. })), "{error}");
    assert_eq!(place.digests().len(), 1);
    Blobs::new(place.clone()).claim(Installation::new(1), Some(Installation::new(2))).await.unwrap();
    assert_eq!(store.forget_blobs(day(5), day(4)).await.unwrap(), 1);
}
