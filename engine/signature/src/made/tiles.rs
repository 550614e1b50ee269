//! A log of Rekor 2, made for tests: entries without a time, and checkpoints signed by Ed25519.

use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use stella_attest::dsse::pae;
use stella_attest::statement::PAYLOAD_TYPE;
use stella_domain::Digest;

use super::{Leaf, base64, bundle};
use crate::merkle;

const ORIGIN: &str = "tiles.example";

pub(crate) struct Tiles {
    key: KeyPair,
}

impl Tiles {
    pub(crate) fn new() -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ED25519).unwrap() }
    }

    /// As a trust root has it: under the digest of its key.
    pub(crate) fn wire(&self) -> Value {
        let key = self.key.subject_public_key_info();
        json!({
            "baseUrl": format!("https://{ORIGIN}"), "hashAlgorithm": "SHA2_256", "logId": {"keyId": base64(Digest::of(&key).as_bytes())},
            "publicKey": {"rawBytes": base64(&key), "keyDetails": "PKIX_ED25519",
                          "validFor": {"start": "2025-09-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}},
        })
    }

    /// The key ID of its checkpoints, by which its entries name it.
    fn id(&self) -> Digest {
        Digest::of([ORIGIN.as_bytes(), b"\n\x01", self.key.der_bytes()].concat())
    }

    /// An entry, the first of the two in its tree.
    fn entry(&self, body: &str) -> Value {
        let other = merkle::leaf(b"other");
        let root = merkle::root(merkle::leaf(body.as_bytes()), 0, 2, &[other]).unwrap();
        let note = format!("{ORIGIN}\n2\n{}\n", base64(root));
        let signature = [&self.id().as_bytes()[..4], &self.key.sign(note.as_bytes()).unwrap()[..]].concat();
        json!({
            "logIndex": "0", "logId": {"keyId": base64(self.id().as_bytes())}, "kindVersion": {"kind": "dsse", "version": "0.0.2"},
            "inclusionProof": {
                "logIndex": "0", "rootHash": base64(root), "treeSize": "2", "hashes": [base64(other)],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} {ORIGIN} {}\n", base64(signature))},
            },
            "canonicalizedBody": base64(body),
        })
    }

    /// A bundle of `payload` by `leaf`, with an entry of this kind and the stamps that are made of its signature.
    pub(crate) fn bundle(
        &self,
        kind: &str,
        leaf: &Leaf,
        payload: &[u8],
        stamps: impl Fn(&[u8]) -> Vec<Vec<u8>>,
    ) -> Value {
        let message = pae(PAYLOAD_TYPE, payload);
        let signature = leaf.key.sign(&message).unwrap();
        let hash = |bytes: &[u8]| json!({"algorithm": "SHA2_256", "digest": base64(Digest::of(bytes).as_bytes())});
        let signed = json!({
            "content": base64(&signature),
            "verifier": {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": base64(leaf.certificate.der())}},
        });
        let spec = match kind {
            "dsse" => json!({"dsseV002": {"payloadHash": hash(payload), "signatures": [signed]}}),
            _ => json!({"hashedRekordV002": {"data": hash(&message), "signature": signed}}),
        };
        let body = json!({"apiVersion": "0.0.2", "kind": kind, "spec": spec}).to_string();
        let stamps = stamps(&signature).into_iter().map(|stamp| json!({"signedTimestamp": base64(stamp)}));
        let material = json!({
            "certificate": {"rawBytes": base64(leaf.certificate.der())}, "tlogEntries": [self.entry(&body)],
            "timestampVerificationData": {"rfc3161Timestamps": stamps.collect::<Vec<_>>()},
        });
        bundle(material, payload, &signature)
    }
}
