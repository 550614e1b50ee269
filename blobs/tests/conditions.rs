//! Servers that take conditions, that pass over them, and that refuse them: blobs are kept on each, and a place has one owner.

mod stand_in;

use stand_in::{Asked, Conditions, StandIn};
use stella_blobs::{Bucket, BucketSettings, Credentials};
use stella_store::{BlobError, Blobs, Claim, Installation};

const ALL: [Conditions; 4] =
    [Conditions::Kept, Conditions::Ignored, Conditions::Refused(501), Conditions::Refused(400)];

fn blobs(server: &StandIn) -> Blobs {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = BucketSettings {
        endpoint: format!("http://{}", server.address),
        region: "us-east-1".to_owned(),
        bucket: "blobs/prefix".to_owned(),
        credentials: Credentials { id: "a".to_owned(), secret: "b".to_owned(), token: None },
    };
    Blobs::new(Bucket::new(settings).unwrap())
}

/// Whether each PUT had a condition.
fn puts(asked: &[Asked]) -> Vec<bool> {
    asked.iter().filter(|asked| asked.method == "PUT").map(|asked| asked.has_condition).collect()
}

#[tokio::test]
async fn what_a_server_makes_of_a_condition_changes_nothing_about_what_is_kept() {
    for conditions in ALL {
        let server = StandIn::start(conditions);
        let blobs = blobs(&server);
        let digest = blobs.put(b"kept".to_vec()).await.unwrap();
        let path = format!("/blobs/prefix/{}", digest.hex());
        assert_eq!(server.object(&path).as_deref(), Some(&b"kept"[..]), "{conditions:?}");
        let again = if matches!(conditions, Conditions::Refused(_)) { vec![true, false] } else { vec![true] };
        assert_eq!(puts(&server.asked()), again, "{conditions:?}: without it only where it was refused");

        assert_eq!(blobs.put(b"kept".to_vec()).await.unwrap(), digest);
        assert_eq!(puts(&server.asked()), again, "{conditions:?}");
        server.place(&path, b"damage");
        blobs.put(b"kept".to_vec()).await.unwrap();
        assert_eq!(blobs.get(&digest).await.unwrap(), b"kept", "{conditions:?}: damage is mended");
        blobs.remove(&digest).await.unwrap();
        assert!(matches!(blobs.get(&digest).await, Err(BlobError::Absent { .. })), "{conditions:?}");
    }
}

#[tokio::test]
async fn a_place_has_one_owner_whatever_a_server_makes_of_a_condition() {
    let [one, two] = [1, 2].map(Installation::new);
    for conditions in ALL {
        let server = StandIn::start(conditions);
        let blobs = blobs(&server);
        assert_eq!(blobs.claim(one, None).await.unwrap(), Claim::Made, "{conditions:?}");
        let first = server.asked();
        assert_eq!(first[0].method, "GET", "{conditions:?}");
        assert_eq!(first.last().unwrap().method, "GET", "{conditions:?}: it is read after it was written");
        assert_eq!(first[1].path, "/blobs/prefix/owner");
        assert!(first[1].has_condition, "{conditions:?}");
        assert_eq!(blobs.claim(one, None).await.unwrap(), Claim::Held, "{conditions:?}");
        assert!(puts(&server.asked()).is_empty(), "{conditions:?}: it is written once");

        let error = blobs.claim(two, None).await.unwrap_err();
        assert!(matches!(error, BlobError::Owned { owner, .. } if owner == one), "{conditions:?}: {error}");
        assert!(puts(&server.asked()).is_empty(), "{conditions:?}");
        assert_eq!(blobs.claim(two, Some(one)).await.unwrap(), Claim::Taken(one), "{conditions:?}");
        assert_eq!(server.object("/blobs/prefix/owner").unwrap(), format!("{two}\n").into_bytes());
    }
}

#[tokio::test]
async fn whoever_marks_second_is_refused_though_there_was_no_mark_when_it_looked() {
    let [one, two] = [1, 2].map(Installation::new);
    for conditions in ALL {
        for _ in 0..20 {
            let server = StandIn::start(conditions);
            let blobs = blobs(&server);
            let (first, second) = tokio::join!(blobs.claim(one, None), blobs.claim(two, None));
            let owner = server.object("/blobs/prefix/owner").unwrap();
            let owner: Installation = String::from_utf8(owner).unwrap().trim_end().parse().unwrap();
            let (owners, others) = if owner == one { (first, second) } else { (second, first) };
            assert!(owners.is_ok(), "{conditions:?}: {owners:?}");
            // Without conditions the other one may have looked before it was overwritten. It learns so before it removes anything.
            if conditions == Conditions::Kept {
                assert!(matches!(others, Err(BlobError::Owned { .. })), "{others:?}");
            }
            let other = if owner == one { two } else { one };
            assert!(matches!(blobs.claim(other, None).await, Err(BlobError::Owned { .. })), "{conditions:?}");
        }
    }
}

#[tokio::test]
async fn a_mark_that_is_none_is_told_with_its_place() {
    let server = StandIn::start(Conditions::Kept);
    let path = "/blobs/prefix/owner";
    for wrong in [&b""[..], b"somebody", &[0xff; 40], &[b'0'; 4000]] {
        server.place(path, wrong);
        let error = blobs(&server).claim(Installation::new(1), None).await.unwrap_err();
        assert!(matches!(error, BlobError::Mark { .. }), "{error}");
        assert!(error.to_string().contains("s3://blobs/prefix"), "{error}");
        assert_eq!(server.object(path).as_deref(), Some(wrong), "it stays");
    }
}
