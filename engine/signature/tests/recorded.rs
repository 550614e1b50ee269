//! Signatures made by another implementation (`tests/conformance/attest/keyless.py`, on OpenSSL), of an image with the digest of
//! "x".

use std::collections::BTreeMap;
use std::path::Path;

use stella_domain::Digest;
use stella_signature::{Claim, Pattern, Refusal, Signed, Signer, TrustRoot};

const SUBJECT: &str = "https://git.example/team/app/.ci/release.yml@refs/tags/v1";
const ISSUER: &str = "https://token.example";

fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root(name: &str) -> TrustRoot {
    TrustRoot::parse(&recorded(name)).unwrap()
}

fn signer(subject: &str) -> Signer {
    Signer::Keyless { issuer: Pattern::Exact(ISSUER.to_owned()), subject: Pattern::Exact(subject.to_owned()) }
}

fn old_form() -> Signed {
    let notes: BTreeMap<String, String> = serde_json::from_slice(&recorded("notes.json")).unwrap();
    Signed::from_simple_signing(&recorded("payload.json"), &notes).unwrap()
}

#[test]
fn a_signature_is_verified_in_both_forms() {
    let bundle = Signed::from_bundle(&recorded("bundle.json")).unwrap();
    for signed in [bundle, old_form()] {
        assert_eq!(signed.claim(&[Digest::of("x")]), Ok(Claim::Signature));
        assert_eq!(signer(SUBJECT).verify(&signed, Some(&root("trusted_root.json"))), Ok(()));
        assert!(signed.claim(&[Digest::of("y")]).is_err());
    }
}

#[test]
fn nobody_else_made_it_and_nobody_else_vouches() {
    let bundle = Signed::from_bundle(&recorded("bundle.json")).unwrap();
    for signed in [bundle, old_form()] {
        let other = signer("https://git.example/other").verify(&signed, Some(&root("trusted_root.json")));
        assert_eq!(other, Err(Refusal::Identity { subject: SUBJECT.to_owned(), issuer: ISSUER.to_owned() }));
        let elsewhere = signer(SUBJECT).verify(&signed, Some(&root("other_root.json")));
        assert!(matches!(elsewhere, Err(Refusal::Entry(_))), "{elsewhere:?}");
    }
}

#[test]
fn an_attestation_of_another_type_is_no_signature() {
    let signed = Signed::from_bundle(&recorded("provenance.json")).unwrap();
    assert_eq!(signer(SUBJECT).verify(&signed, Some(&root("trusted_root.json"))), Ok(()), "it is by whom it says");
    let claim = signed.claim(&[Digest::of("x")]).unwrap();
    assert!(
        matches!(claim, Claim::Attestation { predicate_type, .. } if predicate_type == "https://slsa.dev/provenance/v1")
    );
}
