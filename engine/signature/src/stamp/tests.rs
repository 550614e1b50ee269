use serde_json::json;

use super::*;
use crate::made::stamper::{Stamper, info};
use crate::made::{World, noon};

const NOON: &str = "20260101120000Z";
const MESSAGE: &[u8] = b"signature";

fn root(stampers: &[&Stamper]) -> TrustRoot {
    let wire: Vec<_> = stampers.iter().map(|stamper| stamper.wire()).collect();
    World::new().root_with(|root| root["timestampAuthorities"] = json!(wire))
}

fn at_noon() -> Timestamp {
    Timestamp::from_millis(noon() * 1000)
}

#[test]
fn a_stamp_says_when_a_signature_was_there() {
    let (stamper, other) = (Stamper::new(), Stamper::new());
    let stamp = stamper.stamp(MESSAGE, NOON);
    assert_eq!(verify(&stamp, MESSAGE, &root(&[&other, &stamper])), Ok(at_noon()));
    let fraction = stamper.stamp(MESSAGE, "20260101120000.25Z");
    assert_eq!(verify(&fraction, MESSAGE, &root(&[&stamper])), Ok(Timestamp::from_millis(noon() * 1000 + 250)));
}

#[test]
fn a_stamp_is_of_one_signature_by_an_authority_that_was_in_use() {
    let (stamper, other) = (Stamper::new(), Stamper::new());
    let stamp = stamper.stamp(MESSAGE, NOON);
    let own = info(MESSAGE, NOON);
    let attributes = stamper.attributes(&own);
    let [kind, digest, certificate] = [0, 1, 2].map(|n: usize| attributes[n].clone());
    let foreign = Stamper { key: Stamper::new().key, ..Stamper::new() };
    let refused = [0x30_u8, 3, 2, 1, 0];
    let place = stamp.windows(5).position(|bytes| bytes == refused).unwrap();
    let mut not_granted = stamp.clone();
    not_granted[place + 4] = 2;
    let cases: [(&str, Vec<u8>); 13] = [
        ("it is of another signature", stamper.stamp(b"another", NOON)),
        ("its signature is of another time stamp", stamper.answer(&info(MESSAGE, "20260101120001Z"), &attributes)),
        ("the certificate that it is signed by: at", other.stamp(MESSAGE, NOON)),
        ("it is not by the key of its certificate", foreign.stamp(MESSAGE, NOON)),
        ("its signature is by another certificate", stamper.answer(&own, &other.attributes(&own))),
        ("lacks an attribute", stamper.answer(&own, &[kind.clone(), digest.clone()])),
        ("lacks an attribute", stamper.answer(&own, &[kind.clone(), certificate.clone()])),
        ("lacks an attribute", stamper.answer(&own, &[digest.clone(), certificate.clone()])),
        ("an attribute twice", stamper.answer(&own, &[kind.clone(), kind, digest, certificate])),
        ("did not grant it", not_granted),
        ("Expired", stamper.stamp(MESSAGE, "20260801120000Z")),
        ("was in use at", stamper.stamp(MESSAGE, "20270101120000Z")),
        ("its time cannot be read", stamper.stamp(MESSAGE, "20260101120000+0100")),
    ];
    let root = root(&[&stamper]);
    for (reason, stamp) in cases {
        let refusal = verify(&stamp, MESSAGE, &root).unwrap_err();
        assert!(refusal.contains(reason), "{reason}: {refusal}");
    }
    let nobody = verify(&stamp, MESSAGE, &World::new().root_with(|_| {})).unwrap_err();
    assert!(nobody.contains("names no timestampAuthorities"), "{nobody}");
    assert!(verify(&vec![0_u8; LONGEST + 1], MESSAGE, &root).is_err());
    assert!(verify(&[&stamp[..], &[0]].concat(), MESSAGE, &root).is_err(), "nothing stands behind it");
}

#[test]
fn a_certificate_is_for_stamps_and_nothing_else() {
    let code_signing: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
    for (critical, uses) in
        [(false, &[TIME_STAMPING][..]), (true, &[TIME_STAMPING, code_signing][..]), (true, &[code_signing][..])]
    {
        let stamper = Stamper::with(critical, uses);
        let refusal = verify(&stamper.stamp(MESSAGE, NOON), MESSAGE, &root(&[&stamper])).unwrap_err();
        assert!(refusal.contains("not for time stamps alone"), "{refusal}");
    }
}

#[test]
fn a_time_is_in_utc_and_has_seconds() {
    assert_eq!(generalized(b"20260101120000Z"), Some(at_noon()));
    assert_eq!(generalized(b"20260101120000.5Z"), Some(Timestamp::from_millis(noon() * 1000 + 500)));
    let wrong: [&[u8]; 7] = [
        b"20260101120000",
        b"202601011200Z",
        b"20261301120000Z",
        b"20260101120000.Z",
        b"2026010112000aZ",
        b"20260101120000+0100",
        b"\xff",
    ];
    for text in wrong {
        assert_eq!(generalized(text), None, "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>, place: usize, byte: u8) {
        let stamper = Stamper::new();
        let root = root(&[&stamper]);
        let mut stamp = stamper.stamp(MESSAGE, NOON);
        let place = place % stamp.len();
        stamp[place] = byte;
        let _ = verify(&stamp, MESSAGE, &root);
        let _ = verify(&bytes, MESSAGE, &root);
        let _ = generalized(&bytes);
    }
}
