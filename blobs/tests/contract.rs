//! What every place for blobs does, in a folder and on a real S3 server, and a store that keeps its layers there.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures::future::join_all;
use stella_blobs::{Bucket, BucketSettings, Credentials, Folder};
use stella_domain::{Digest, Timestamp};
use stella_inventory::LayerInventory;
use stella_store::{BlobError, Blobs, Claim, Installation, Store, StoreError};

/// A server that lives as long as this.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// `None` where none is installed, which `STELLA_REQUIRE_S3` makes a failure.
    fn start() -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/s3/serve.sh");
        let mut child = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        if url.is_empty() {
            let _ = child.wait();
            assert!(std::env::var_os("STELLA_REQUIRE_S3").is_none(), "no S3 server");
            eprintln!("SKIPPED: no S3 server (scripts/install/go-tools.sh minio)");
            return None;
        }
        Some(Self { child, url: url.trim_end().to_owned() })
    }

    fn settings(&self, bucket: &str) -> BucketSettings {
        let (id, secret) = ("stella-test".to_owned(), "stella-test-secret".to_owned());
        BucketSettings {
            endpoint: self.url.clone(),
            region: "us-east-1".to_owned(),
            bucket: bucket.to_owned(),
            credentials: Credentials { id, secret, token: None },
        }
    }

    fn blobs(&self, bucket: &str) -> Blobs {
        Blobs::new(Bucket::new(self.settings(bucket)).unwrap())
    }
}

impl Drop for Server {
    /// The script ends the server when its standard input ends.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn keeps_reads_and_removes(blobs: &Blobs) {
    for bytes in [Vec::new(), b"a".to_vec(), vec![7; 3 << 20]] {
        let digest = blobs.put(bytes.clone()).await.unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        assert_eq!(blobs.put(bytes.clone()).await.unwrap(), digest, "the same again is the same blob");
        assert_eq!(blobs.get(&digest).await.unwrap(), bytes);
        blobs.remove(&digest).await.unwrap();
        blobs.remove(&digest).await.unwrap();
        assert!(matches!(blobs.get(&digest).await, Err(BlobError::Absent { .. })));
        blobs.put(bytes.clone()).await.unwrap();
        assert_eq!(blobs.get(&digest).await.unwrap(), bytes, "what was removed can be kept again");
    }
    let at_once = join_all((0..8).map(|_| blobs.put(b"at once".to_vec()))).await;
    assert!(at_once.iter().all(|put| put.as_ref().is_ok_and(|digest| *digest == Digest::of("at once"))), "{at_once:?}");
}

async fn a_store_keeps_layers_there(blobs: Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let layers = ["one", "two"].map(|name| LayerInventory::empty(Digest::of(name)));
    let store = Store::open(folder.path()).await.unwrap().with_blobs(blobs.clone(), 0);
    store.put_layers(None, &layers).await.unwrap();
    for layer in &layers {
        assert_eq!(store.layer(None, &layer.diff_id).await.unwrap().as_ref(), Some(layer));
    }
    let elsewhere = Store::open(folder.path()).await.unwrap();
    let error = elsewhere.layer(None, &layers[0].diff_id).await.unwrap_err();
    assert!(matches!(error, StoreError::Blob(BlobError::NoPlace(_))), "{error}");

    // No image consists of them: layers go after a day, and their blobs a day after that.
    let day = |number: i64| Timestamp::from_millis(number * 86_400_000);
    assert_eq!(store.forget_layers(day(1), day(0), 10).await.unwrap(), 0);
    assert_eq!(store.forget_layers(day(3), day(2), 10).await.unwrap(), 2);
    assert_eq!(store.forget_blobs(day(3), day(2)).await.unwrap(), 0);
    // One of them is needed again.
    store.put_layers(None, &layers[..1]).await.unwrap();
    assert_eq!(store.forget_blobs(day(5), day(4)).await.unwrap(), 1);
    assert_eq!(store.layer(None, &layers[0].diff_id).await.unwrap().as_ref(), Some(&layers[0]));
    assert_eq!(store.layer(None, &layers[1].diff_id).await.unwrap(), None);
    store.put_layers(None, &layers[1..]).await.unwrap();
    assert_eq!(store.layer(None, &layers[1].diff_id).await.unwrap().as_ref(), Some(&layers[1]));
}

/// Two installations, and a place that nobody uses yet.
async fn belongs_to_the_first_who_claims_it(blobs: &Blobs) {
    let [one, two] = [1, 2].map(Installation::new);
    let at_once = join_all((0..8).map(|number| blobs.claim(if number % 2 == 0 { one } else { two }, None))).await;
    let owner = if blobs.claim(one, None).await.is_ok() { one } else { two };
    let other = if owner == one { two } else { one };
    for (number, claimed) in at_once.into_iter().enumerate() {
        assert_eq!(claimed.is_ok(), (number % 2 == 0) == (owner == one), "{claimed:?}");
    }
    let error = blobs.claim(other, None).await.unwrap_err();
    assert!(matches!(error, BlobError::Owned { owner: found, .. } if found == owner), "{error}");
    assert_eq!(blobs.claim(other, Some(owner)).await.unwrap(), Claim::Taken(owner));
    assert_eq!(blobs.claim(other, None).await.unwrap(), Claim::Held);
    assert!(blobs.claim(owner, None).await.is_err());
}

#[tokio::test]
async fn a_folder_is_one_installations_own() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not there yet");
    belongs_to_the_first_who_claims_it(&Blobs::new(Folder::new(&root))).await;
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1, "the mark, and nothing else");

    let mark = root.join("owner");
    for wrong in ["", "somebody", &"0".repeat(2000)] {
        std::fs::write(&mark, wrong).unwrap();
        let error = Blobs::new(Folder::new(&root)).claim(Installation::new(1), None).await.unwrap_err().to_string();
        assert!(error.contains("not there yet"), "{error}");
        assert_eq!(std::fs::read_to_string(&mark).unwrap(), wrong, "what nobody understands stays");
    }
}

#[tokio::test]
async fn a_bucket_is_one_installations_own() {
    let Some(server) = Server::start() else { return };
    belongs_to_the_first_who_claims_it(&server.blobs("blobs")).await;
    belongs_to_the_first_who_claims_it(&server.blobs("blobs/of/others")).await;
    let error = server.blobs("no-such-bucket").claim(Installation::new(1), None).await.unwrap_err().to_string();
    assert!(error.contains("NoSuchBucket"), "{error}");
}

#[tokio::test]
async fn a_folder_keeps_blobs() {
    let folder = tempfile::tempdir().unwrap();
    keeps_reads_and_removes(&Blobs::new(Folder::new(folder.path().join("a/b")))).await;
    a_store_keeps_layers_there(Blobs::new(Folder::new(folder.path()))).await;
}

#[tokio::test]
async fn a_bucket_keeps_blobs() {
    let Some(server) = Server::start() else { return };
    keeps_reads_and_removes(&server.blobs("blobs")).await;
    a_store_keeps_layers_there(server.blobs("blobs/some/prefix")).await;
}

#[tokio::test]
async fn a_file_that_was_changed_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::new(Folder::new(folder.path()));
    let digest = blobs.put(b"what was kept".to_vec()).await.unwrap();
    let file = folder.path().join(&digest.hex()[..2]).join(digest.hex());
    for others in ["what was not", "what was KEPT"] {
        std::fs::write(&file, others).unwrap();
        assert!(matches!(blobs.get(&digest).await, Err(BlobError::Damaged { .. })));
        blobs.put(b"what was kept".to_vec()).await.unwrap();
        assert_eq!(blobs.get(&digest).await.unwrap(), b"what was kept", "who keeps it again mends it");
    }
}

#[tokio::test]
async fn what_a_server_refuses_is_told_without_a_secret() {
    let Some(server) = Server::start() else { return };
    let settings = server.settings("blobs");
    let credentials = Credentials { secret: "another-secret".to_owned(), ..settings.credentials.clone() };
    let stranger = Blobs::new(Bucket::new(BucketSettings { credentials, ..settings }).unwrap());
    let error = stranger.put(b"a".to_vec()).await.unwrap_err().to_string();
    assert!(error.contains("403") && error.contains("SignatureDoesNotMatch"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    let error = server.blobs("no-such-bucket").put(b"a".to_vec()).await.unwrap_err().to_string();
    assert!(error.contains("NoSuchBucket"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_told_as_such() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = BucketSettings {
        endpoint: format!("http://{free}"),
        region: "us-east-1".to_owned(),
        bucket: "blobs".to_owned(),
        credentials: Credentials { id: "a".to_owned(), secret: "b".to_owned(), token: None },
    };
    let blobs = Blobs::new(Bucket::new(settings).unwrap());
    let error = StoreError::from(blobs.get(&Digest::of("a")).await.unwrap_err());
    assert_eq!(stella_store::lack(&error), Some(stella_store::Lack::Blobs), "{error}");
}
