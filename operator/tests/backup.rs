//! The drill: a backup is made under load, the folder is lost, and the backup is put back.

use std::fs;
use std::path::Path;

use stella_blobs::Folder;
use stella_domain::{Digest, Tenant, Timestamp};
use stella_inventory::LayerInventory;
use stella_operator::backup::{BackupError, back_up, restore};
use stella_store::{BlobError, Blobs, Claim, Installation, Store, StoredReport};

async fn report(store: &Store, number: usize) {
    let report = StoredReport { id: format!("r{number}"), body: "x".repeat(2000), made_from: String::new() };
    store.put_report(&Tenant::default(), &Digest::of("image"), &report, None, Timestamp::from_millis(1)).await.unwrap();
}

async fn count(data: &Path) -> usize {
    Store::open(data).await.unwrap().reports(&Tenant::default()).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_the_backup_comes_back() {
    let outer = tempfile::tempdir().unwrap();
    let (data, copy) = (outer.path().join("data"), outer.path().join("copy"));
    let store = Store::open(&data).await.unwrap();
    fs::create_dir(data.join("keys")).unwrap();
    fs::write(data.join("keys/report-signing.pem"), "key").unwrap();
    fs::create_dir_all(data.join("authority/keys")).unwrap();
    fs::create_dir_all(data.join("authority/audit")).unwrap();
    for name in ["bootstrap-key", "keys/ring.json", "audit/audit.jsonl"] {
        fs::write(data.join("authority").join(name), name).unwrap();
    }
    for number in 0..200 {
        report(&store, number).await;
    }
    let writer = store.clone();
    let load = tokio::spawn(async move {
        for number in 200..600 {
            report(&writer, number).await;
        }
    });
    back_up(&data, &copy, None).await.unwrap();
    load.await.unwrap();
    assert_eq!(store.reports(&Tenant::default()).await.unwrap().len(), 600, "the load went on");
    drop(store);
    fs::remove_dir_all(&data).unwrap();

    restore(&copy, &data, None, None).await.unwrap();
    assert!((200..=600).contains(&count(&data).await));
    assert_eq!(fs::read_to_string(data.join("keys/report-signing.pem")).unwrap(), "key");
    for name in ["bootstrap-key", "keys/ring.json"] {
        assert_eq!(fs::read_to_string(data.join("authority").join(name)).unwrap(), name);
    }
    assert!(!data.join("authority/audit").exists(), "a chain is never continued from a copy");
    let again = restore(&copy, &data, None, None).await;
    assert!(matches!(again, Err(BackupError::Exists(_))), "a database is never overwritten: {again:?}");
}

#[tokio::test]
async fn a_damaged_backup_is_not_put_back() {
    let outer = tempfile::tempdir().unwrap();
    let (data, copy, new) = (outer.path().join("data"), outer.path().join("copy"), outer.path().join("new"));
    let store = Store::open(&data).await.unwrap();
    for number in 0..50 {
        report(&store, number).await;
    }
    back_up(&data, &copy, None).await.unwrap();
    assert!(matches!(back_up(&data, &copy, None).await, Err(BackupError::Exists(_))));
    let file = copy.join("stella.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(&file, bytes).unwrap();
    restore(&copy, &new, None, None).await.unwrap_err();
    assert!(!new.join("stella.db").exists());
}

#[tokio::test]
async fn where_there_is_no_database_there_is_no_backup() {
    let outer = tempfile::tempdir().unwrap();
    let made = back_up(outer.path(), &outer.path().join("copy"), None).await;
    assert!(matches!(made, Err(BackupError::Nothing(_))));
    assert!(!outer.path().join("copy").exists());
}

#[tokio::test]
async fn what_lies_beside_the_database_goes_along() {
    let outer = tempfile::tempdir().unwrap();
    let folder = |name: &str| outer.path().join(name);
    let place = |name: &str| Blobs::new(Folder::new(folder(name)));
    let layer = LayerInventory::empty(Digest::of("layer"));
    let store = Store::open(&folder("data")).await.unwrap().with_blobs(place("blobs"), 0);
    store.put_layers(None, std::slice::from_ref(&layer)).await.unwrap();
    drop(store);
    let without = back_up(&folder("data"), &folder("copy"), None).await;
    assert!(matches!(without, Err(BackupError::Blob(BlobError::NoPlace(_)))), "{without:?}");
    back_up(&folder("data"), &folder("copy"), Some(&place("blobs"))).await.unwrap();
    fs::remove_dir_all(folder("data")).unwrap();
    fs::remove_dir_all(folder("blobs")).unwrap();

    restore(&folder("copy"), &folder("data"), Some(&place("elsewhere")), None).await.unwrap();
    let store = Store::open(&folder("data")).await.unwrap().with_blobs(place("elsewhere"), 0);
    assert_eq!(store.layer(None, &layer.diff_id).await.unwrap(), Some(layer));
}

#[tokio::test]
async fn a_lost_blob_costs_its_layer_and_no_backup() {
    let outer = tempfile::tempdir().unwrap();
    let folder = |name: &str| outer.path().join(name);
    let place = |name: &str| Blobs::new(Folder::new(folder(name)));
    let layers = ["lost", "damaged", "kept"].map(|name| LayerInventory::empty(Digest::of(name)));
    let store = Store::open(&folder("data")).await.unwrap().with_blobs(place("blobs"), 0);
    let mut files: Vec<std::path::PathBuf> = Vec::new();
    for layer in &layers {
        store.put_layers(None, std::slice::from_ref(layer)).await.unwrap();
        let all = fs::read_dir(folder("blobs")).unwrap().flatten();
        let all = all.flat_map(|entry| fs::read_dir(entry.path()).unwrap().flatten()).map(|entry| entry.path());
        let new: Vec<_> = all.filter(|file| !files.contains(file)).collect();
        files.extend(new);
    }
    drop(store);
    fs::remove_file(&files[0]).unwrap();
    fs::write(&files[1], "other").unwrap();
    let lost = back_up(&folder("data"), &folder("copy"), Some(&place("blobs"))).await.unwrap();
    let absent = lost.iter().filter(|error| matches!(error, BlobError::Absent { .. })).count();
    assert_eq!((lost.len(), absent), (2, 1), "{lost:?}");

    restore(&folder("copy"), &folder("new"), Some(&place("elsewhere")), None).await.unwrap();
    let store = Store::open(&folder("new")).await.unwrap().with_blobs(place("elsewhere"), 0);
    let ids = layers.each_ref().map(|layer| layer.diff_id);
    assert_eq!(store.layers_missing(None, &ids).await.unwrap(), ids[..2]);
    assert_eq!(store.layer(None, &ids[2]).await.unwrap().as_ref(), Some(&layers[2]));
}

#[tokio::test]
async fn what_is_put_back_is_the_installation_it_was() {
    let outer = tempfile::tempdir().unwrap();
    let folder = |name: &str| outer.path().join(name);
    let place = |name: &str| Blobs::new(Folder::new(folder(name)));
    let [own, other] = [1, 2].map(Installation::new);
    let layer = LayerInventory::empty(Digest::of("layer"));
    let store = Store::open(&folder("data")).await.unwrap().with_blobs(place("blobs"), 0);
    store.name_installation(own).await.unwrap();
    store.claim_blobs(None).await.unwrap();
    store.put_layers(None, std::slice::from_ref(&layer)).await.unwrap();
    drop(store);
    back_up(&folder("data"), &folder("copy"), Some(&place("blobs"))).await.unwrap();

    restore(&folder("copy"), &folder("again"), Some(&place("blobs")), None).await.unwrap();
    let store = Store::open(&folder("again")).await.unwrap().with_blobs(place("blobs"), 0);
    assert_eq!(store.name_installation(other).await.unwrap(), own, "it has its name still");
    assert_eq!(store.claim_blobs(None).await.unwrap(), Some(Claim::Held));
    assert_eq!(store.layer(None, &layer.diff_id).await.unwrap().as_ref(), Some(&layer));

    place("others").claim(other, None).await.unwrap();
    let refused = restore(&folder("copy"), &folder("new"), Some(&place("others")), None).await;
    assert!(matches!(refused, Err(BackupError::Blob(BlobError::Owned { owner, .. })) if owner == other), "{refused:?}");
    assert!(!folder("new").join("stella.db").exists());
    assert_eq!(fs::read_dir(folder("others")).unwrap().count(), 1, "none of its blobs are there");
    restore(&folder("copy"), &folder("new"), Some(&place("others")), Some(other)).await.unwrap();
}
