use proptest::prelude::*;

use super::*;

const HELLO: &str = "http://example.com/HelloWorld";

/// DSSE protocol, "Test Vectors".
#[test]
fn the_encoding_is_that_of_the_protocol() {
    assert_eq!(pae(HELLO, b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
}

/// The private key of the protocol's test vector, written as PKCS#8.
const VECTOR_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1z7EN/1jRuNhnF6/
3/8PaRaASVWtMqyaxJKw7eH2/7ehRANCAARnzTkPd6o1nLCMIjX2UicEk6ntgysK
vMAfcJVMA5DSOAx4K9VOJpElpE9EM6/xQyzpThK8pzqmesgM6hJgjd90
-----END PRIVATE KEY-----
";

/// DSSE protocol, "Test Vectors"; its signature is the two numbers one after the other.
#[test]
fn the_signature_is_that_of_the_protocol() {
    let key = SigningKey::from_pem("k", VECTOR_KEY).unwrap();
    let envelope = Envelope::sign(HELLO, b"hello world", &key);
    let expected = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
    assert_eq!(envelope.payload, "aGVsbG8gd29ybGQ=");
    assert_eq!(envelope.signatures[0].signature.as_deref(), Some(expected));
    let result = format!(
        r#"{{"payload": "aGVsbG8gd29ybGQ=", "payloadType": "{HELLO}", "signatures": [{{"sig": "{expected}"}}]}}"#
    );
    let theirs: Envelope = serde_json::from_str(&result).unwrap();
    assert_eq!(theirs.verify(HELLO, &[&key.verifying()]).unwrap(), b"hello world");
    let der = STANDARD.decode(envelope.signatures[0].sig.as_deref().unwrap()).unwrap();
    assert_eq!(der[0], 0x30, "the standard field is DER");
    assert_eq!(envelope.verify(HELLO, &[&key.verifying()]).unwrap(), b"hello world");
}

#[test]
fn a_shared_secret_has_no_standard_form() {
    let key = SigningKey::from_secret("k", &[3; 32]).unwrap();
    let envelope = Envelope::sign(HELLO, b"hello world", &key);
    let shown = serde_json::to_value(&envelope).unwrap();
    let signature = &shown["signatures"][0];
    assert_eq!((&signature["algorithm"], &signature["keyId"]), (&"hs256".into(), &"k".into()));
    assert!(signature.get("sig").is_none() && signature.get("keyid").is_none());
    assert_eq!(envelope.verify(HELLO, &[&key.verifying()]).unwrap(), b"hello world");
    assert!(envelope.standard().signatures.is_empty());
}

#[test]
fn both_forms_of_a_signature_have_to_verify() {
    let key = SigningKey::from_pem("k", VECTOR_KEY).unwrap();
    let good = Envelope::sign(HELLO, b"hello world", &key);
    let other = Envelope::sign(HELLO, b"hello there", &key);
    for form in [true, false] {
        let mut mixed = good.clone();
        let (to, from) = (&mut mixed.signatures[0], &other.signatures[0]);
        if form {
            to.sig.clone_from(&from.sig);
        } else {
            to.signature.clone_from(&from.signature);
        }
        assert_eq!(
            mixed.verify(HELLO, &[&key.verifying()]),
            Err(DsseError::WrongSignature { key: "k".to_owned() }),
            "{form}"
        );
    }
    let plain = serde_json::to_value(good.standard()).unwrap();
    let fields: Vec<&String> = plain["signatures"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["keyid", "sig"], "some tools refuse fields that they do not know");
    assert_eq!(good.standard().verify(HELLO, &[&key.verifying()]).unwrap(), b"hello world");
}

#[test]
fn the_standard_fields_stand_beside_ours() {
    let key = SigningKey::from_seed("k", &[3; 32]);
    let envelope = Envelope::sign(HELLO, b"hello world", &key);
    let shown = serde_json::to_value(&envelope).unwrap();
    let signature = &shown["signatures"][0];
    assert_eq!(signature["keyId"], signature["keyid"]);
    assert_eq!(signature["signature"], signature["sig"]);
    assert_eq!(signature["algorithm"], "ed25519");
    assert_eq!(shown["payloadType"], HELLO);
    assert_eq!(serde_json::from_value::<Envelope>(shown).unwrap(), envelope);
}

#[test]
fn envelopes_of_others_verify_in_both_alphabets() {
    let key = SigningKey::from_seed("k", &[3; 32]);
    let payload = [0xfb, 0xff, 0xfe];
    let signature = URL_SAFE_FOR_TEST.encode(key.sign(&pae(HELLO, &payload)));
    let text = format!(r#"{{"payloadType":"{HELLO}","payload":"-__-","signatures":[{{"sig":"{signature}"}}]}}"#);
    let envelope: Envelope = serde_json::from_str(&text).unwrap();
    assert_eq!(envelope.verify(HELLO, &[&key.verifying()]).unwrap(), payload);
}

const URL_SAFE_FOR_TEST: GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

#[test]
fn what_was_changed_is_refused() {
    let key = SigningKey::from_seed("k", &[3; 32]);
    let public = key.verifying();
    let good = Envelope::sign(HELLO, b"hello world", &key);
    assert_eq!(good.verify(HELLO, &[&public]).unwrap(), b"hello world");
    let other = SigningKey::from_seed("other", &[4; 32]).verifying();
    let unknown = good.verify(HELLO, &[&other]).unwrap_err().to_string();
    assert_eq!(
        unknown,
        "signed with key 'k' (ed25519), and none of the given keys verifies that: key 'other' (ed25519)"
    );
    let namesake = SigningKey::from_seed("k", &[4; 32]).verifying();
    assert!(matches!(good.verify(HELLO, &[&namesake]), Err(DsseError::WrongSignature { key }) if key == "k"));
    assert!(matches!(good.verify("text/plain", &[&public]), Err(DsseError::PayloadType { .. })));
    let changed = Envelope { payload: STANDARD.encode("hello World"), ..good.clone() };
    assert!(matches!(changed.verify(HELLO, &[&public]), Err(DsseError::WrongSignature { .. })));
    let broken = Envelope { payload: "%".to_owned(), ..good };
    assert_eq!(broken.verify(HELLO, &[&public]), Err(DsseError::Base64("payload")));
}

#[test]
fn a_signature_without_bytes_or_with_two_names_is_refused() {
    for signature in
        [r#"{"keyid":"k"}"#, r#"{"sig":"AA==","keyid":"a","keyId":"b"}"#, r#"{"sig":"AA==","algorithm":"none"}"#]
    {
        let text = format!(r#"{{"payloadType":"t","payload":"","signatures":[{signature}]}}"#);
        assert!(serde_json::from_str::<Envelope>(&text).is_err(), "{text}");
    }
    let unsigned: Envelope = serde_json::from_str(r#"{"payloadType":"t","payload":"","signatures":[]}"#).unwrap();
    assert_eq!(unsigned.verify("t", &[]), Err(DsseError::Unsigned));
}

proptest! {
    #[test]
    fn whatever_was_signed_verifies(kind in "[a-z/+.]{0,30}", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let key = SigningKey::from_seed("k", &[5; 32]);
        let envelope = Envelope::sign(&kind, &payload, &key);
        prop_assert_eq!(envelope.verify(&kind, &[&key.verifying()]).unwrap(), payload);
    }

    #[test]
    fn foreign_bytes_never_panic(text in ".{0,200}") {
        if let Ok(envelope) = serde_json::from_str::<Envelope>(&text) {
            let _ = envelope.verify("t", &[]);
        }
        let envelope = Envelope { payload_type: "t".into(), payload: text, signatures: Vec::new() };
        prop_assert!(envelope.verify("t", &[]).is_err());
    }
}
