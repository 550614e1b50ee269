use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

use super::*;
use crate::made::{Leaf, Wish, World, base64, noon, statement};
use crate::signed::Signed;
use crate::signer::{Pattern, Refusal, Signer};

const SUBJECT: &str = "https://git.example/team/app/.ci/release.yml@refs/tags/v1";
const ISSUER: &str = "https://token.example";

/// A log of certificates.
struct CtLog {
    key: KeyPair,
    /// What it says its signatures are.
    algorithm: [u8; 2],
}

impl CtLog {
    fn new() -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), algorithm: [4, 3] }
    }

    fn id(&self) -> Digest {
        Digest::of(self.key.subject_public_key_info())
    }

    /// As a trust root has it.
    fn wire(&self) -> Value {
        json!({
            "baseUrl": "https://ct.example", "hashAlgorithm": "SHA2_256", "logId": {"keyId": base64(self.id().as_bytes())},
            "publicKey": {"rawBytes": base64(self.key.subject_public_key_info()), "validFor": {"start": "2025-06-01T00:00:00Z"}},
        })
    }

    /// The promise to list what an authority with the key `issuer` signs, as of this second.
    fn promise(&self, issuer: &[u8], precertificate: &[u8], at: i64) -> Vec<u8> {
        let at = u64::try_from(at * 1000).unwrap();
        let promise = Promise { log: &[], at, extensions: &[9, 9], algorithm: self.algorithm, signature: &[] };
        let signature = self.key.sign(&promise.signed(&Digest::of(issuer), precertificate).unwrap()).unwrap();
        [&[0_u8][..], self.id().as_bytes(), &at.to_be_bytes(), &long(&[9, 9]), &self.algorithm, &long(&signature)]
            .concat()
    }
}

/// Bytes behind their number.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn list(promises: &[Vec<u8>]) -> Vec<u8> {
    long(&promises.iter().flat_map(|promise| long(promise)).collect::<Vec<_>>())
}

fn wish() -> Wish {
    Wish::of(SUBJECT, ISSUER)
}

/// What becomes of a signature by `leaf`, where these are the logs of certificates.
fn outcome(world: &World, leaf: &Leaf, logs: &[Value]) -> Result<(), Refusal> {
    let root = world.root_with(|root| root["ctlogs"] = json!(logs));
    let bundle = world.bundle(leaf, &statement(&Digest::of("image")), noon());
    let signed = Signed::from_bundle(bundle.to_string().as_bytes()).unwrap();
    let exact = |text: &str| Pattern::Exact(text.to_owned());
    Signer::Keyless { issuer: exact(ISSUER), subject: exact(SUBJECT) }.verify(&signed, Some(&root))
}

#[test]
fn a_certificate_that_a_log_promised_to_list_is_believed() {
    let world = World::new();
    let ed25519 = CtLog { key: KeyPair::generate_for(&PKCS_ED25519).unwrap(), algorithm: [8, 7] };
    for log in [CtLog::new(), ed25519] {
        let other = CtLog::new();
        let leaf = world.listed_leaf(wish(), |signed| {
            let unknown = [&[7_u8][..], &[0; 60]].concat();
            vec![list(&[unknown, log.promise(world.issuer_key(), signed, noon())])]
        });
        assert_eq!(outcome(&world, &leaf, &[other.wire(), log.wire()]), Ok(()), "one that is known is enough");
        assert_eq!(outcome(&world, &leaf, &[]), Ok(()), "nobody asks for it");
        let refusal = outcome(&world, &leaf, &[other.wire()]).unwrap_err().to_string();
        assert!(refusal.contains("is none of the trust root's ctlogs"), "{refusal}");
    }
}

#[test]
fn a_promise_is_of_this_certificate_by_that_log_while_it_was_in_use() {
    let (world, log, stranger) = (World::new(), CtLog::new(), CtLog::new());
    let own = |signed: &[u8]| log.promise(world.issuer_key(), signed, noon());
    let wrong_way = CtLog { key: KeyPair::generate().unwrap(), algorithm: [4, 1] };
    let year = 366 * 86_400;
    type Lists<'a> = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>> + 'a>;
    let cases: [(&str, Lists<'_>); 9] = [
        ("the certificate has none", Box::new(|_| vec![])),
        ("their list is empty", Box::new(|_| vec![list(&[])])),
        ("their list cannot be read", Box::new(|signed| vec![own(signed)])),
        ("their list cannot be read", Box::new(|signed| vec![list(&vec![own(signed); MOST + 1])])),
        ("of another version", Box::new(|signed| vec![list(&[[&[1_u8][..], &own(signed)[1..]].concat()])])),
        ("or of another certificate", Box::new(|_| vec![list(&[own(b"another")])])),
        ("or of another certificate", Box::new(|signed| vec![list(&[log.promise(b"another", signed, noon())])])),
        ("was not in use at", Box::new(|signed| vec![list(&[log.promise(world.issuer_key(), signed, noon() - year)])])),
        ("in another way", Box::new(|signed| vec![list(&[wrong_way.promise(world.issuer_key(), signed, noon())])])),
    ];
    for (reason, lists) in &cases {
        let refusal = outcome(&world, &world.listed_leaf(wish(), lists), &[log.wire(), wrong_way.wire()]).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::CertificateTimestamp(text) if text.contains(reason)),
            "{reason}: {refusal}"
        );
    }
    // Whoever reads the certificate lets no extension be there twice.
    let twice = world.listed_leaf(wish(), |signed| vec![list(&[own(signed)]), list(&[own(signed)])]);
    assert!(matches!(outcome(&world, &twice, &[log.wire()]), Err(Refusal::Certificate(_))));
    let leaf = world.listed_leaf(wish(), |signed| vec![list(&[own(signed)])]);
    let mut impostor = log.wire();
    impostor["publicKey"] = stranger.wire()["publicKey"].clone();
    let refusal = outcome(&world, &leaf, &[impostor]).unwrap_err().to_string();
    assert!(refusal.contains("it is not by the key of the log"), "{refusal}");
}

proptest::proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>, place: usize, byte: u8) {
        let (world, log) = (World::new(), CtLog::new());
        let leaf = world.listed_leaf(wish(), |signed| vec![list(&[log.promise(world.issuer_key(), signed, noon())])]);
        let mut der = leaf.certificate.der().to_vec();
        let place = place % der.len();
        der[place] = byte;
        let root = world.root_with(|root| root["ctlogs"] = json!([log.wire()]));
        let _ = verify(&der, world.issuer_key(), &root);
        let _ = verify(&bytes, &bytes, &root);
        let _ = promises(&asn1::wrapped(asn1::OCTET_STRING, &bytes));
    }
}
