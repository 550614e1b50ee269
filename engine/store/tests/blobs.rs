//! What is large lies outside of the database, and goes when nothing refers to it any more.

mod database;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use database::TestDatabase;
use stella_domain::{Digest, Timestamp};
use stella_inventory::LayerInventory;
use stella_store::{BlobError, Blobs, Doing, Place, StoreError};
use tokio::sync::Notify;

on_both!(
    large_layers_lie_outside_and_small_ones_do_not,
    a_blob_that_nothing_refers_to_goes_a_day_later,
    what_cannot_be_kept_outside_is_not_kept,
    nobody_waits_for_a_removal_but_who_writes_the_same,
);

/// A place in memory. Clones share it.
#[derive(Debug, Clone, Default)]
struct Memory {
    held: Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>,
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
