//! The drill: a backup is made under load, the folder is lost, and the backup is put back.

use std::fs;
use std::path::Path;

use stella_domain::{Digest, Tenant, Timestamp};
use stella_operator::backup::{BackupError, back_up, restore};
use stella_store::{Store, StoredReport};

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
    back_up(&data, &copy).await.unwrap();
    load.await.unwrap();
    assert_eq!(store.reports(&Tenant::default()).await.unwrap().len(), 600, "the load went on");
    drop(store);
    fs::remove_dir_all(&data).unwrap();

    restore(&copy, &data).await.unwrap();
    assert!((200..=600).contains(&count(&data).await));
    assert_eq!(fs::read_to_string(data.join("keys/report-signing.pem")).unwrap(), "key");
    for name in ["bootstrap-key", "keys/ring.json"] {
        assert_eq!(fs::read_to_string(data.join("authority").join(name)).unwrap(), name);
    }
    assert!(!data.join("authority/audit").exists(), "a chain is never continued from a copy");
    let again = restore(&copy, &data).await;
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
    back_up(&data, &copy).await.unwrap();
    assert!(matches!(back_up(&data, &copy).await, Err(BackupError::Exists(_))));
    let file = copy.join("stella.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(&file, bytes).unwrap();
    restore(&copy, &new).await.unwrap_err();
    assert!(!new.join("stella.db").exists());
}

#[tokio::test]
async fn where_there_is_no_database_there_is_no_backup() {
    let outer = tempfile::tempdir().unwrap();
    let made = back_up(outer.path(), &outer.path().join("copy")).await;
    assert!(matches!(made, Err(BackupError::Nothing(_))));
    assert!(!outer.path().join("copy").exists());
}
