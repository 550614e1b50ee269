//! What is signed: envelopes, and the one spelling of JSON.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stella_attest::page::Page;
use stella_attest::report::ReportBody;
use stella_attest::{Envelope, Report, SigningKey, VerifyingKey};
use stella_domain::Digest;
use stella_signature::{CERTIFICATE_NOTE, ENTRY_NOTE, Pattern, PublicKey, SIGNATURE_NOTE, Signed, Signer, TrustRoot};

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

/// Up to four parts, between lines of `--`: what is attached to an image; a certificate and an entry of a log, as its annotations;
/// a trust root, a key or an identity. Nobody's bytes are signed by a key of ours, and of an image that nobody has nothing is
/// claimed.
pub fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\n--\n");
    let mut next = || parts.next().unwrap_or_default();
    let (attached, certificate, entry, root) = (next(), next(), next(), next());
    let _ = (PublicKey::from_pem(root), PublicKey::from_der(bytes), Pattern::matching("f", root));
    let root = TrustRoot::parse(root.as_bytes()).ok();
    let notes = [(SIGNATURE_NOTE, "AAAA"), (CERTIFICATE_NOTE, certificate), (ENTRY_NOTE, entry)];
    let notes: BTreeMap<String, String> =
        notes.into_iter().map(|(name, note)| (name.to_owned(), note.to_owned())).collect();
    let ours = SigningKey::from_seed("k", &[0x5a; 32]).verifying().to_pem().expect("a public key");
    let ours = Signer::key(&ours).expect("a key that is read");
    let anybody = anybody();
    let attached = attached.as_bytes();
    let read = [
        Signed::from_bundle(attached),
        Signed::from_envelope(attached, &notes),
        Signed::from_simple_signing(attached, &notes),
    ];
    for signed in read.into_iter().flatten() {
        assert!(signed.claim(&[]).is_err());
        assert!(signed.claim(&[Digest::of(bytes)]).is_err());
        assert!(ours.verify(&signed, root.as_ref()).is_err());
        assert!(anybody.verify(&signed, None).is_err());
        let _ = anybody.verify(&signed, root.as_ref());
    }
}

/// Whoever has an identity.
fn anybody() -> Signer {
    let any = || Pattern::matching("f", "(?s).*").expect("a pattern");
    Signer::Keyless { issuer: any(), subject: any() }
}

/// A time stamp, in place of that of a bundle that is good otherwise. One that verifies says what its authority signed.
pub fn stamp(bytes: &[u8]) {
    if verifies(bytes) {
        assert!(bytes.windows(15).any(|text| text == b"20250725195304Z"));
    }
}

fn verifies(stamp: &[u8]) -> bool {
    static GOOD: LazyLock<(Value, TrustRoot)> = LazyLock::new(|| {
        let bundle = include_bytes!("../../engine/signature/tests/recorded/sigstore/bundle.json");
        let root = include_bytes!("../../engine/signature/tests/recorded/sigstore/trusted_root.json");
        let bundle = serde_json::from_slice(bundle).expect("the recorded bundle");
        (bundle, TrustRoot::parse(root).expect("the recorded root"))
    });
    let (bundle, root) = &*GOOD;
    let mut bundle = bundle.clone();
    let stamps = json!([{"signedTimestamp": STANDARD.encode(stamp)}]);
    bundle["verificationMaterial"]["timestampVerificationData"] = json!({"rfc3161Timestamps": stamps});
    Signed::from_bundle(bundle.to_string().as_bytes()).is_ok_and(|signed| anybody().verify(&signed, Some(root)).is_ok())
}

#[cfg(test)]
mod tests {
    /// Without it, a target that refuses everything would show nothing.
    #[test]
    fn the_recorded_stamp_verifies() {
        assert!(super::verifies(include_bytes!("../corpus/stamp/seed-recorded")));
    }
}
