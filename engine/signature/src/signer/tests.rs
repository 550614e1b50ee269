use std::collections::BTreeMap;

use rcgen::{KeyPair, SanType, SigningKey as _};
use serde_json::{Value, json};
use stella_domain::Digest;

use super::*;
use crate::asn1;
use crate::claim::Claim;
use crate::made::stamper::Stamper;
use crate::made::tiles::Tiles;
use crate::made::{Leaf, Wish, World, base64, bundle_by_key, noon, simple, statement};
use crate::signed::SIGNATURE_NOTE;

const SUBJECT: &str = "https://git.example/team/app/.ci/release.yml@refs/tags/v1";
const ISSUER: &str = "https://token.example";

fn read(bundle: &Value) -> Signed {
    Signed::from_bundle(bundle.to_string().as_bytes()).unwrap()
}

fn exactly(subject: &str, issuer: &str) -> Signer {
    Signer::Keyless { issuer: Pattern::Exact(issuer.to_owned()), subject: Pattern::Exact(subject.to_owned()) }
}

fn image() -> Digest {
    Digest::of("image")
}

/// A world, somebody in it, and the root that believes it.
fn world() -> (World, Leaf, TrustRoot) {
    let world = World::new();
    let leaf = world.leaf(Wish::of(SUBJECT, ISSUER));
    let root = TrustRoot::parse(&world.trust_root()).unwrap();
    (world, leaf, root)
}

#[test]
fn a_key_verifies_a_bundle_of_its_own_and_no_other() {
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (own, foreign) = (Signer::key(&pair.public_key_pem()).unwrap(), Signer::key(&other.public_key_pem()).unwrap());
    let mut bundle = bundle_by_key(&pair, &statement(&image()));
    let signed = read(&bundle);
    assert_eq!(signed.claim(&[image()]), Ok(Claim::Signature));
    assert_eq!(own.verify(&signed, None), Ok(()));
    assert_eq!(foreign.verify(&signed, None), Err(Refusal::Key));
    assert_eq!(exactly(SUBJECT, ISSUER).verify(&signed, None), Err(Refusal::NoTrustRoot));
    bundle["dsseEnvelope"]["payload"] = json!(base64(statement(&Digest::of("another"))));
    let changed = read(&bundle);
    assert!(changed.claim(&[image()]).is_err(), "it is of another image");
    assert_eq!(own.verify(&changed, None), Err(Refusal::Key));
}

#[test]
fn a_key_verifies_the_old_form() {
    let pair = KeyPair::generate().unwrap();
    let own = Signer::key(&pair.public_key_pem()).unwrap();
    let payload = simple(&image());
    let notes = BTreeMap::from([(SIGNATURE_NOTE.to_owned(), base64(pair.sign(&payload).unwrap()))]);
    let signed = Signed::from_simple_signing(&payload, &notes).unwrap();
    assert_eq!((signed.claim(&[image()]), own.verify(&signed, None)), (Ok(Claim::Signature), Ok(())));
    let other = Signed::from_simple_signing(&simple(&Digest::of("another")), &notes).unwrap();
    assert_eq!(own.verify(&other, None), Err(Refusal::Key));
    assert!(Signed::from_simple_signing(&payload, &BTreeMap::new()).is_err());
}

#[test]
fn an_identity_is_compared_whole() {
    let (world, leaf, root) = world();
    let signed = read(&world.bundle(&leaf, &statement(&image()), noon()));
    let by = |issuer: Pattern, subject: Pattern| Signer::Keyless { issuer, subject }.verify(&signed, Some(&root));
    let exact = |text: &str| Pattern::Exact(text.to_owned());
    let like = |text: &str| Pattern::matching("f", text).unwrap();
    assert_eq!(by(exact(ISSUER), exact(SUBJECT)), Ok(()));
    assert_eq!(by(like("https://token\\.(example|test)"), like("https://git\\.example/team/.*@refs/tags/.*")), Ok(()));
    let wrong = Err(Refusal::Identity { subject: SUBJECT.to_owned(), issuer: ISSUER.to_owned() });
    assert_eq!(by(exact("https://token.example.test"), exact(SUBJECT)), wrong);
    assert_eq!(by(exact(ISSUER), exact("https://git.example/team/app")), wrong);
    assert_eq!(by(like("token"), like(".*")), wrong, "a part is not enough");
    assert_eq!(by(like("https://token.example|x"), like("x|https://git.example/team")), wrong);
    assert!(matches!(Pattern::matching("f", "a)|(b"), Err(SignerError::Pattern { field: "f", .. })));
    assert!(matches!(Pattern::matching("f", &"a".repeat(1025)), Err(SignerError::TooLong { field: "f" })));
}

#[test]
fn an_identity_verifies_the_old_form() {
    let (world, leaf, root) = world();
    let payload = simple(&image());
    let notes = world.notes(&leaf, &payload, noon());
    let signed = Signed::from_simple_signing(&payload, &notes).unwrap();
    assert_eq!(exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)), Ok(()));
    for (note, refusal) in [(crate::ENTRY_NOTE, Refusal::NoEntry), (crate::CERTIFICATE_NOTE, Refusal::NoCertificate)] {
        let mut without = notes.clone();
        without.remove(note);
        let signed = Signed::from_simple_signing(&payload, &without).unwrap();
        assert_eq!(exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)), Err(refusal));
    }
    let another = simple(&Digest::of("another"));
    let signed = Signed::from_simple_signing(&another, &notes).unwrap();
    assert_eq!(exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)), Err(Refusal::Signature));
}

#[test]
fn nothing_of_a_bundle_can_be_changed() {
    let (world, leaf, root) = world();
    let good = world.bundle(&leaf, &statement(&image()), noon());
    let stranger = world.leaf(Wish::of(SUBJECT, ISSUER));
    let other = world.bundle(&stranger, &statement(&image()), noon());
    let entry = "/verificationMaterial/tlogEntries/0";
    let table: [(&str, Value, &str); 12] = [
        ("/dsseEnvelope/payload", json!(base64(statement(&Digest::of("b")))), "not by the key of its certificate"),
        (
            "/dsseEnvelope/signatures/0",
            other["dsseEnvelope"]["signatures"][0].clone(),
            "not by the key of its certificate",
        ),
        ("/verificationMaterial/certificate", other["verificationMaterial"]["certificate"].clone(), "not by the key"),
        ("/verificationMaterial/tlogEntries", json!([]), "no entry of a transparency log"),
        (entry, other.pointer(entry).unwrap().clone(), "of another signature"),
        (
            "/verificationMaterial/tlogEntries/0/integratedTime",
            json!((noon() + 1).to_string()),
            "signed entry timestamp",
        ),
        ("/verificationMaterial/tlogEntries/0/logIndex", json!("8"), "signed entry timestamp"),
        ("/verificationMaterial/tlogEntries/0/inclusionPromise", Value::Null, "signed entry timestamp"),
        ("/verificationMaterial/tlogEntries/0/logId/keyId", json!(base64([1; 32])), "none of the trust root"),
        (
            "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
            json!(base64([1; 32])),
            "does not lead to the root",
        ),
        ("/verificationMaterial/tlogEntries/0/inclusionProof/treeSize", json!("1"), "does not lead to the root"),
        (
            "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope",
            json!("log.example - 1\n2\nAAAA\n\n\u{2014} log.example AAAAAAAA\n"),
            "checkpoint is not signed",
        ),
    ];
    each_change_is_refused(&good, &root, &table);
}

#[test]
fn a_certificate_has_to_hold_when_the_log_took_the_signature_in() {
    let (world, leaf, root) = world();
    let day = 86_400;
    for (at, reason) in
        [(noon() + day, "Expired"), (noon() - day, "NotValidYet"), (noon() - 400 * day, "was not in use")]
    {
        let signed = read(&world.bundle(&leaf, &statement(&image()), at));
        let refusal = exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{at}: {refusal}");
    }
}

#[test]
fn another_authority_of_the_same_words_is_not_believed() {
    let (world, leaf, _) = world();
    let signed = read(&world.bundle(&leaf, &statement(&image()), noon()));
    let mut mixed: Value = serde_json::from_slice(&World::new().trust_root()).unwrap();
    let own: Value = serde_json::from_slice(&world.trust_root()).unwrap();
    mixed["tlogs"] = own["tlogs"].clone();
    let root = TrustRoot::parse(mixed.to_string().as_bytes()).unwrap();
    let refusal = exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)).unwrap_err();
    assert!(matches!(refusal, Refusal::Certificate(_)), "{refusal}");
}

#[test]
fn a_certificate_names_one_subject_one_issuer_and_its_use() {
    let (world, _, root) = world();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let wish = || Wish::of(SUBJECT, ISSUER);
    let issuer = wish().extensions.remove(0);
    let cases = [
        (Wish { subjects: vec![uri(SUBJECT), uri("https://other.example")], ..wish() }, "2 subjects"),
        (Wish { subjects: vec![], ..wish() }, "0 subjects"),
        (
            Wish { subjects: vec![SanType::DnsName("a.example".try_into().unwrap())], ..wish() },
            "neither an e-mail address",
        ),
        (Wish { extensions: vec![], ..wish() }, "names no issuer"),
        (Wish { extensions: vec![(1, b"a".to_vec()), (1, b"b".to_vec())], ..wish() }, "several issuers"),
        (Wish { extensions: vec![(8, ISSUER.as_bytes().to_vec())], ..wish() }, "no UTF8String"),
        (Wish { extensions: vec![(8, asn1::wrapped(asn1::OCTET_STRING, b"a"))], ..wish() }, "no UTF8String"),
        (Wish { extensions: vec![(8, vec![asn1::UTF8_STRING, 1, b'a', b'b'])], ..wish() }, "no UTF8String"),
        (Wish { code_signing: false, ..wish() }, "not for code signing"),
    ];
    for (wish, reason) in cases {
        let leaf = world.leaf(wish);
        let signed = read(&world.bundle(&leaf, &statement(&image()), noon()));
        let refusal = exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{reason}: {refusal}");
    }
    for extensions in [vec![(1, ISSUER.as_bytes().to_vec())], vec![issuer, (1, b"https://old.example".to_vec())]] {
        let leaf = world.leaf(Wish { extensions, ..wish() });
        let signed = read(&world.bundle(&leaf, &statement(&image()), noon()));
        assert_eq!(exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)), Ok(()), "the newer field goes first");
    }
}

#[test]
fn an_authority_is_named_by_what_it_believes() {
    let (_, _, root) = world();
    let (_, _, other) = world();
    let key = |pair: &KeyPair| Signer::key(&pair.public_key_pem()).unwrap();
    let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    assert_eq!(key(&one).authority(None), key(&one).authority(Some(&root)), "a key needs no root");
    assert_ne!(key(&one).authority(None), key(&two).authority(None));
    let named = |subject: &str, root| exactly(subject, ISSUER).authority(root);
    assert_ne!(named("a", Some(&root)), named("b", Some(&root)));
    assert_ne!(named("a", Some(&root)), named("a", Some(&other)), "another root is another authority");
    assert_ne!(named("a", Some(&root)), named("a", None));
    let like = Signer::Keyless {
        issuer: Pattern::Exact(ISSUER.to_owned()),
        subject: Pattern::matching("subject", "a").unwrap(),
    };
    assert_ne!(like.authority(None), named("a", None));
}

#[test]
fn what_cannot_be_read_names_its_field() {
    let good = bundle_by_key(&KeyPair::generate().unwrap(), &statement(&image()));
    let says = |place: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = value;
        Signed::from_bundle(changed.to_string().as_bytes()).unwrap_err().to_string()
    };
    assert!(
        says("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.1"))
            .starts_with("it is of the kind")
    );
    assert!(says("/dsseEnvelope", Value::Null).starts_with("dsseEnvelope: "));
    assert!(says("/dsseEnvelope/payload", json!("*")).starts_with("payload: "));
    assert!(says("/dsseEnvelope/signatures", json!([])).starts_with("signatures: 0 of them"));
    assert!(says("/verificationMaterial", json!({"tlogEntries": [{}]})).starts_with("the bundle: "));
    assert!(says("/verificationMaterial", json!({"certificate": {"rawBytes": "!"}})).contains("certificate.rawBytes"));
    let stamps = |stamps: Value| json!({"timestampVerificationData": {"rfc3161Timestamps": stamps}});
    let stamp = says("/verificationMaterial", stamps(json!([{"signedTimestamp": "!"}])));
    assert!(stamp.starts_with("verificationMaterial.timestampVerificationData.rfc3161Timestamps: "), "{stamp}");
    let many = says("/verificationMaterial", stamps(json!(vec![json!({"signedTimestamp": ""}); 9])));
    assert!(many.contains("9 time stamps, at most 8"), "{many}");
    assert!(Signed::from_bundle(&vec![b' '; (16 << 20) + 1]).is_err());
    assert!(Signed::from_bundle("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
}

/// The root of `world` with a log of Rekor 2 and an authority for time stamps.
fn tiled_root(world: &World, tiles: &Tiles, stamper: &Stamper) -> TrustRoot {
    world.root_with(|root| {
        root["timestampAuthorities"] = json!([stamper.wire()]);
        root["tlogs"].as_array_mut().unwrap().push(tiles.wire());
    })
}

const STAMPED: &str = "20260101120000Z";

#[test]
fn an_entry_without_a_time_is_believed_with_a_stamp() {
    let (world, leaf, bare_root) = world();
    let (tiles, stamper, stranger) = (Tiles::new(), Stamper::new(), Stamper::new());
    let root = tiled_root(&world, &tiles, &stamper);
    let stamped = |signature: &[u8]| vec![stamper.stamp(signature, STAMPED)];
    for kind in ["dsse", "hashedrekord"] {
        let mut bundle = tiles.bundle(kind, &leaf, &statement(&image()), stamped);
        assert_eq!(exactly(SUBJECT, ISSUER).verify(&read(&bundle), Some(&root)), Ok(()), "{kind}");
        let refusal = exactly(SUBJECT, ISSUER).verify(&read(&bundle), Some(&bare_root)).unwrap_err().to_string();
        assert!(refusal.starts_with("its time stamp: the trust root names no timestampAuthorities"), "{refusal}");
        bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = json!("1");
        assert_eq!(exactly(SUBJECT, ISSUER).verify(&read(&bundle), Some(&root)), Ok(()), "nobody signed that time");
    }
    let both = |signature: &[u8]| vec![stranger.stamp(signature, STAMPED), stamper.stamp(signature, STAMPED)];
    let bundle = tiles.bundle("dsse", &leaf, &statement(&image()), both);
    assert_eq!(exactly(SUBJECT, ISSUER).verify(&read(&bundle), Some(&root)), Ok(()), "a stranger's is passed over");
}

#[test]
fn nothing_of_an_entry_without_a_time_can_be_changed() {
    let (world, leaf, _) = world();
    let (tiles, stamper) = (Tiles::new(), Stamper::new());
    let root = tiled_root(&world, &tiles, &stamper);
    let stamped = |signature: &[u8]| vec![stamper.stamp(signature, STAMPED)];
    let good = tiles.bundle("dsse", &leaf, &statement(&image()), stamped);
    let of_another_leaf = tiles.bundle("dsse", &world.leaf(Wish::of(SUBJECT, ISSUER)), &statement(&image()), stamped);
    let of_another_payload = tiles.bundle("dsse", &leaf, &statement(&Digest::of("b")), stamped);
    let of_another_log = Tiles::new().bundle("dsse", &leaf, &statement(&image()), stamped);
    let (entry, body) =
        ("/verificationMaterial/tlogEntries/0", "/verificationMaterial/tlogEntries/0/canonicalizedBody");
    let stamps = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
    let checkpoint = "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope";
    let of = |bundle: &Value, place: &str| bundle.pointer(place).unwrap().clone();
    let table: [(&str, Value, &str); 9] = [
        ("/dsseEnvelope/payload", json!(base64(statement(&Digest::of("b")))), "not by the key of its certificate"),
        (entry, of(&of_another_leaf, entry), "of another signature"),
        (entry, of(&of_another_payload, entry), "of another payload"),
        (entry, of(&of_another_log, entry), "none of the trust root"),
        (body, of(&of_another_leaf, body), "does not lead to the root"),
        (checkpoint, of(&of_another_leaf, checkpoint), "another tree than its checkpoint"),
        (checkpoint, json!("tiles.example\n2\nAAAA\n\n\u{2014} tiles.example AAAAAAAA\n"), "checkpoint is not signed"),
        (stamps, json!([]), "its time stamp: there is none"),
        (stamps, of(&of_another_leaf, stamps), "its time stamp: it is of another signature"),
    ];
    each_change_is_refused(&good, &root, &table);
}

#[test]
fn everything_has_to_hold_at_every_time_that_is_known() {
    let (world, leaf, _) = world();
    let (tiles, stamper) = (Tiles::new(), Stamper::new());
    let root = tiled_root(&world, &tiles, &stamper);
    let cases: [(&[&str], &str); 4] = [
        (&["20260103120000Z"], "Expired"),
        (&["20251231120000Z"], "NotValidYet"),
        (&[STAMPED, "20260103120000Z"], "Expired"),
        (&["20260301120000Z"], "was not in use at 2026-03-01"),
    ];
    for (times, reason) in cases {
        let stamps = |signature: &[u8]| times.iter().map(|at| stamper.stamp(signature, at)).collect::<Vec<_>>();
        let signed = read(&tiles.bundle("dsse", &leaf, &statement(&image()), stamps));
        let refusal = exactly(SUBJECT, ISSUER).verify(&signed, Some(&root)).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{times:?}: {refusal}");
    }
    let mut promised = world.bundle(&leaf, &statement(&image()), noon());
    let signature = promised["dsseEnvelope"]["signatures"][0]["sig"].as_str().unwrap();
    let late = stamper.stamp(&crate::key::decoded(signature, 4096).unwrap(), "20260103120000Z");
    promised["verificationMaterial"]["timestampVerificationData"] =
        json!({"rfc3161Timestamps": [{"signedTimestamp": base64(late)}]});
    let refusal = exactly(SUBJECT, ISSUER).verify(&read(&promised), Some(&root)).unwrap_err().to_string();
    assert!(refusal.contains("Expired"), "{refusal}");
}

proptest::proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>, note in ".*") {
        let notes = [crate::SIGNATURE_NOTE, crate::CERTIFICATE_NOTE, crate::ENTRY_NOTE];
        let notes: BTreeMap<String, String> = notes.into_iter().map(|name| (name.to_owned(), note.clone())).collect();
        let _ = Signed::from_bundle(&bytes);
        let _ = Signed::from_envelope(&bytes, &notes);
        let _ = Signed::from_simple_signing(&bytes, &notes);
        let _ = TrustRoot::parse(&bytes);
        let _ = Signer::key(&note);
    }
}

/// A bundle verifies, and not with any of these values in these places, for these reasons.
fn each_change_is_refused(good: &Value, root: &TrustRoot, changes: &[(&str, Value, &str)]) {
    let signer = exactly(SUBJECT, ISSUER);
    assert_eq!(signer.verify(&read(good), Some(root)), Ok(()));
    for (place, value, reason) in changes {
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = value.clone();
        let refusal = signer.verify(&read(&changed), Some(root)).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{place}: {refusal}");
    }
}
