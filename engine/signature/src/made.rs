//! An authority, logs and signatures, made for tests.

pub(crate) mod stamper;
pub(crate) mod tiles;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PublicKeyData as _,
    SanType, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use stella_attest::canonical;
use stella_attest::dsse::pae;
use stella_attest::statement::PAYLOAD_TYPE;
use stella_domain::{Digest, Timestamp};

use crate::asn1::{self, Item};
use crate::claim::SIGNATURE_TYPE;
use crate::merkle;
use crate::signed::{BUNDLE_TYPE, CERTIFICATE_NOTE, ENTRY_NOTE, SIGNATURE_NOTE};
use crate::trust_root::TrustRoot;

/// When signatures are made, in seconds since 1970.
pub(crate) fn noon() -> i64 {
    "2026-01-01T12:00:00Z".parse::<Timestamp>().unwrap().as_millis() / 1000
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// An authority in two steps, as the public one is, and a log.
pub(crate) struct World {
    root: Certificate,
    intermediate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    /// The issuer's key, as a SubjectPublicKeyInfo.
    issuer_key: Vec<u8>,
    log: KeyPair,
}

/// Somebody with a certificate for the first of January 2026.
pub(crate) struct Leaf {
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
}

/// What an authority puts into a certificate.
pub(crate) struct Wish {
    pub(crate) subjects: Vec<SanType>,
    pub(crate) extensions: Vec<(u64, Vec<u8>)>,
    pub(crate) code_signing: bool,
}

impl Wish {
    pub(crate) fn of(subject: &str, issuer: &str) -> Self {
        let length = u8::try_from(issuer.len()).unwrap();
        assert!(length < 128);
        Self {
            subjects: vec![SanType::URI(subject.try_into().unwrap())],
            extensions: vec![(8, [&[0x0c, length][..], issuer.as_bytes()].concat())],
            code_signing: true,
        }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl World {
    pub(crate) fn new() -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let (root_key, root_params) = (key(), authority("root"));
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let (own_key, mut params) = (key(), authority("intermediate"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let intermediate = params.signed_by(&own_key, &root_issuer).unwrap();
        let issuer_key = own_key.subject_public_key_info();
        let issuer = Issuer::new(params, own_key);
        Self { root, intermediate, issuer, issuer_key, log: KeyPair::generate().unwrap() }
    }

    pub(crate) fn leaf(&self, wish: Wish) -> Leaf {
        self.listed_leaf(wish, |_| Vec::new())
    }

    /// One whose certificate has these lists of promises, made from what the logs see of it.
    pub(crate) fn listed_leaf(&self, wish: Wish, lists: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 2);
        params.subject_alt_names = wish.subjects;
        if wish.code_signing {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }
        let extension = |(last, content): (u64, Vec<u8>)| {
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, last], content)
        };
        params.custom_extensions = wish.extensions.into_iter().map(extension).collect();
        let precertificate = params.signed_by(&key, &self.issuer).unwrap();
        let signed = Item::only(precertificate.der()).unwrap().items().unwrap().next(asn1::SEQUENCE).unwrap().whole;
        for list in lists(signed) {
            let content = asn1::wrapped(asn1::OCTET_STRING, &list);
            let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], content);
            params.custom_extensions.push(extension);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { key, certificate }
    }

    pub(crate) fn issuer_key(&self) -> &[u8] {
        &self.issuer_key
    }

    /// The trust root with a change.
    pub(crate) fn root_with(&self, change: impl Fn(&mut Value)) -> TrustRoot {
        let mut root: Value = serde_json::from_slice(&self.trust_root()).unwrap();
        change(&mut root);
        TrustRoot::parse(root.to_string().as_bytes()).unwrap()
    }

    pub(crate) fn trust_root(&self) -> Vec<u8> {
        let period = json!({"start": "2025-01-01T00:00:00Z"});
        let certificates = [&self.intermediate, &self.root].map(|it| json!({"rawBytes": base64(it.der())}));
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": base64(self.log.subject_public_key_info()), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                              "validFor": period},
                "logId": {"keyId": base64(self.log_id())},
            }],
            "certificateAuthorities": [{
                "subject": {"organization": "o", "commonName": "c"}, "uri": "https://ca.example",
                "certChain": {"certificates": certificates}, "validFor": period,
            }],
            "ctlogs": [], "timestampAuthorities": [],
        })
        .to_string()
        .into_bytes()
    }

    fn log_id(&self) -> [u8; 32] {
        *Digest::of(self.log.subject_public_key_info()).as_bytes()
    }

    fn promise(&self, body: &str, at: i64) -> Vec<u8> {
        let promised =
            json!({"body": base64(body), "integratedTime": at, "logID": hex::encode(self.log_id()), "logIndex": 7});
        self.log.sign(&canonical::to_vec(&promised).unwrap()).unwrap()
    }

    /// An entry that the log took in at `at`, the first of the two in its tree.
    pub(crate) fn entry(&self, body: &str, at: i64) -> Value {
        let other = merkle::leaf(b"other");
        let root = merkle::root(merkle::leaf(body.as_bytes()), 0, 2, &[other]).unwrap();
        let note = format!("log.example - 1\n2\n{}\n", base64(root));
        let signature = [&self.log_id()[..4], &self.log.sign(note.as_bytes()).unwrap()[..]].concat();
        json!({
            "logIndex": "7", "logId": {"keyId": base64(self.log_id())}, "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": at.to_string(), "inclusionPromise": {"signedEntryTimestamp": base64(self.promise(body, at))},
            "inclusionProof": {
                "logIndex": "0", "rootHash": base64(root), "treeSize": "2", "hashes": [base64(other)],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} log.example {}\n", base64(signature))},
            },
            "canonicalizedBody": base64(body),
        })
    }

    /// A bundle of `payload` by `leaf`, logged at `at`.
    pub(crate) fn bundle(&self, leaf: &Leaf, payload: &[u8], at: i64) -> Value {
        let signature = leaf.key.sign(&pae(PAYLOAD_TYPE, payload)).unwrap();
        let spec = json!({
            "payloadHash": {"algorithm": "sha256", "value": Digest::of(payload).hex()},
            "signatures": [{"signature": base64(&signature), "verifier": base64(leaf.certificate.pem())}],
        });
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}).to_string();
        let material = json!({
            "certificate": {"rawBytes": base64(leaf.certificate.der())}, "tlogEntries": [self.entry(&body, at)],
        });
        bundle(material, payload, &signature)
    }

    /// The annotations of a signature of `payload` by `leaf`, logged at `at`, in the old form.
    pub(crate) fn notes(&self, leaf: &Leaf, payload: &[u8], at: i64) -> BTreeMap<String, String> {
        let signature = leaf.key.sign(payload).unwrap();
        let spec = json!({
            "data": {"hash": {"algorithm": "sha256", "value": Digest::of(payload).hex()}},
            "signature": {"content": base64(&signature), "publicKey": {"content": base64(leaf.certificate.pem())}},
        });
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}).to_string();
        let entry = json!({
            "SignedEntryTimestamp": base64(self.promise(&body, at)),
            "Payload": {"body": base64(&body), "integratedTime": at, "logIndex": 7, "logID": hex::encode(self.log_id())},
        });
        BTreeMap::from([
            (SIGNATURE_NOTE.to_owned(), base64(&signature)),
            (CERTIFICATE_NOTE.to_owned(), leaf.certificate.pem()),
            (ENTRY_NOTE.to_owned(), entry.to_string()),
        ])
    }
}

/// A bundle of `payload` with the signature of a key that it does not bring.
pub(crate) fn bundle_by_key(key: &KeyPair, payload: &[u8]) -> Value {
    let signature = key.sign(&pae(PAYLOAD_TYPE, payload)).unwrap();
    bundle(json!({"publicKey": {"hint": "k"}}), payload, &signature)
}

fn bundle(material: Value, payload: &[u8], signature: &[u8]) -> Value {
    json!({
        "mediaType": BUNDLE_TYPE, "verificationMaterial": material,
        "dsseEnvelope": {"payload": base64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": base64(signature)}]},
    })
}

/// The statement by which an image is signed.
pub(crate) fn statement(image: &Digest) -> Vec<u8> {
    json!({"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": image.hex()}}],
           "predicateType": SIGNATURE_TYPE, "predicate": {}})
    .to_string()
    .into_bytes()
}

/// The same in the old form.
pub(crate) fn simple(image: &Digest) -> Vec<u8> {
    json!({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": image},
                        "type": "cosign container image signature"}, "optional": null})
    .to_string()
    .into_bytes()
}
