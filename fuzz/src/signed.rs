//! What is signed: envelopes, and the one spelling of JSON.

use serde_json::Value;
use stella_attest::page::Page;
use stella_attest::report::ReportBody;
use stella_attest::{Envelope, Report, SigningKey, VerifyingKey};

/// JSON. Its canonical form is the form of its canonical form.
pub fn canonical(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(once) = stella_attest::canonical::to_vec(&value) else { return };
    let again: Value = serde_json::from_slice(&once).expect("canonical json is json");
    // A double may be a whole number beyond 2^53, which has no canonical form as an integer.
    if let Ok(twice) = stella_attest::canonical::to_vec(&again) {
        assert_eq!(once, twice);
    }
}

/// An envelope, or a key file. Nobody's bytes verify, what is read is written as it was, and a page of it holds no script.
pub fn dsse(bytes: &[u8]) {
    let _ = SigningKey::from_bytes("k", bytes);
    let _ = VerifyingKey::all_from_bytes("k", bytes);
    let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) else { return };
    let text = serde_json::to_vec(&envelope).expect("an envelope can be written");
    assert_eq!(serde_json::from_slice::<Envelope>(&text).expect("what we write is an envelope"), envelope);
    let key = SigningKey::from_seed("k", &[0x5a; 32]).verifying();
    assert!(envelope.verify(&envelope.payload_type, &[&key]).is_err());
    assert!(Report::open(&envelope, &[&key]).is_err());
    let Ok(payload) = envelope.unverified_payload() else { return };
    let Ok(body) = serde_json::from_slice::<ReportBody>(&payload) else { return };
    if let Ok(page) = Report::new(&body).and_then(|report| Page::of(&report)) {
        assert!(!page.html().contains("<script") && !page.markdown().contains("<script"));
    }
}
