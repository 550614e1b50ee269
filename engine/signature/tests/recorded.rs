//! Signatures made by another implementation (`tests/conformance/attest/keyless.py`, on OpenSSL), of an image with the digest of
//! "x", and one of sigstore's staging instance (`recorded/sigstore/SOURCE.md`).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
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

#[test]
fn an_entry_of_the_second_rekor_needs_a_time_and_a_listed_certificate() {
    let verified = |name: &str| {
        let signed = Signed::from_bundle(&recorded(name)).unwrap();
        assert_eq!(signed.claim(&[Digest::of("x")]), Ok(Claim::Signature), "{name}");
        signer(SUBJECT).verify(&signed, Some(&root("tiled_root.json")))
    };
    assert_eq!(verified("tiled.json"), Ok(()));
    let restamped = verified("restamped.json").unwrap_err();
    assert_eq!(restamped, Refusal::Timestamp("it is of another signature".to_owned()));
    let unlisted = verified("unlisted.json").unwrap_err();
    assert_eq!(unlisted, Refusal::CertificateTimestamp("the certificate has none".to_owned()));
}

const WORKFLOW: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";

/// What becomes of the bundle of sigstore's staging instance, where its trust root is changed.
fn staging(change: impl Fn(&mut Value)) -> Result<(), Refusal> {
    let mut root: Value = serde_json::from_slice(&recorded("sigstore/trusted_root.json")).unwrap();
    change(&mut root);
    let root = TrustRoot::parse(root.to_string().as_bytes()).unwrap();
    let signed = Signed::from_bundle(&recorded("sigstore/bundle.json")).unwrap();
    let issuer = Pattern::Exact("https://token.actions.githubusercontent.com".to_owned());
    Signer::Keyless { issuer, subject: Pattern::Exact(WORKFLOW.to_owned()) }.verify(&signed, Some(&root))
}

#[test]
fn a_bundle_of_the_second_rekor_is_verified() {
    assert_eq!(staging(|_| {}), Ok(()));
    let signed = Signed::from_bundle(&recorded("sigstore/bundle.json")).unwrap();
    let subject = "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf".parse().unwrap();
    assert!(matches!(signed.claim(&[subject]), Ok(Claim::Attestation { .. })));
}

#[test]
fn each_part_of_the_root_is_needed() {
    let refused = |change: &dyn Fn(&mut Value)| staging(change).unwrap_err();
    // Made on 2025-07-25 at 19:53:04.
    let ends = |root: &mut Value| {
        root["ctlogs"][2]["publicKey"]["validFor"] =
            json!({"start": "2022-07-01T00:00:00Z", "end": "2025-07-25T19:53:04Z"});
    };
    assert!(matches!(refused(&ends), Refusal::CertificateTimestamp(reason) if reason.contains("was not in use")));
    let unlisted = refused(&|root| _ = root["ctlogs"].as_array_mut().unwrap().pop());
    assert!(matches!(unlisted, Refusal::CertificateTimestamp(reason) if reason.contains("none of the trust root's")));
    let unstamped = refused(&|root| root["timestampAuthorities"] = json!([]));
    assert!(matches!(unstamped, Refusal::Timestamp(reason) if reason.contains("timestampAuthorities")));
    let late = refused(&|root| root["timestampAuthorities"][0]["validFor"] = json!({"start": "2025-07-25T19:53:05Z"}));
    assert!(matches!(late, Refusal::Timestamp(reason) if reason.contains("was in use at 2025-07-25T19:53:04.000Z")));
    let unlogged = refused(&|root| _ = root["tlogs"].as_array_mut().unwrap().pop());
    assert!(matches!(unlogged, Refusal::Entry(reason) if reason.contains("none of the trust root")));
    let elsewhere = refused(&|root| root["tlogs"][1]["baseUrl"] = json!("https://other.example"));
    assert!(matches!(elsewhere, Refusal::Entry(reason) if reason.contains("none of the trust root")));
    assert_eq!(staging(|root| root["ctlogs"] = json!([])), Ok(()), "where no log is named, none is asked");
}
