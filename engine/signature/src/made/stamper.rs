//! An authority for time stamps, made for tests.

use rcgen::{
    Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use stella_domain::Digest;

use super::{authority, base64};
use crate::asn1::{self, Item};
use crate::stamp::{CONTENT_TYPE, FIRST, MESSAGE_DIGEST, SIGNED_DATA, SIGNING_CERTIFICATE, STAMP, TIME_STAMPING};

const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// A root, and a certificate by it that stamps from July 2025 on for a year.
pub(crate) struct Stamper {
    pub(crate) root: Certificate,
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    asn1::wrapped(asn1::SEQUENCE, &parts.concat())
}

fn oid(oid: &[u8]) -> Vec<u8> {
    asn1::wrapped(asn1::OBJECT_IDENTIFIER, oid)
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    asn1::wrapped(asn1::OCTET_STRING, bytes)
}

fn integer(number: u8) -> Vec<u8> {
    asn1::wrapped(asn1::INTEGER, &[number])
}

/// What a stamp says: that `message` was there at `at`, a GeneralizedTime.
pub(crate) fn info(message: &[u8], at: &str) -> Vec<u8> {
    let imprint = sequence(&[sequence(&[oid(SHA256)]), octets(Digest::of(message).as_bytes())]);
    let time = asn1::wrapped(asn1::GENERALIZED_TIME, at.as_bytes());
    sequence(&[integer(1), oid(&[0x2a, 3]), imprint, integer(5), time])
}

impl Stamper {
    pub(crate) fn new() -> Self {
        Self::with(true, &[TIME_STAMPING])
    }

    /// One whose certificate is for these uses.
    pub(crate) fn with(critical: bool, uses: &[&[u8]]) -> Self {
        let (root_key, root_params) =
            (KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(), authority("root of stamps"));
        let root = root_params.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(root_params, root_key);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "stamps");
        params.not_before = date_time_ymd(2025, 7, 1);
        params.not_after = date_time_ymd(2026, 7, 1);
        let uses: Vec<u8> = uses.iter().flat_map(|usage| oid(usage)).collect();
        let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], asn1::wrapped(asn1::SEQUENCE, &uses));
        usage.set_criticality(critical);
        params.custom_extensions = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self { root, certificate, key }
    }

    /// As a trust root has it.
    pub(crate) fn wire(&self) -> Value {
        let certificates = [&self.certificate, &self.root].map(|it| json!({"rawBytes": base64(it.der())}));
        json!({
            "subject": {"organization": "o", "commonName": "c"}, "uri": "https://time.example",
            "certChain": {"certificates": certificates},
            "validFor": {"start": "2025-03-01T00:00:00Z", "end": "2026-12-31T00:00:00Z"},
        })
    }

    /// That `message` was there at `at`, as an answer of the authority.
    pub(crate) fn stamp(&self, message: &[u8], at: &str) -> Vec<u8> {
        let info = info(message, at);
        self.answer(&info, &self.attributes(&info))
    }

    /// What is signed in place of `info`: its kind and digest, and who signs.
    pub(crate) fn attributes(&self, info: &[u8]) -> Vec<Vec<u8>> {
        let attribute = |kind: &[u8], value: Vec<u8>| sequence(&[oid(kind), asn1::wrapped(asn1::SET, &value)]);
        let certificate = octets(Digest::of(self.certificate.der()).as_bytes());
        vec![
            attribute(CONTENT_TYPE, oid(STAMP)),
            attribute(MESSAGE_DIGEST, octets(Digest::of(info).as_bytes())),
            attribute(SIGNING_CERTIFICATE, sequence(&[sequence(&[sequence(&[certificate])])])),
        ]
    }

    pub(crate) fn answer(&self, info: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
        let attributes = attributes.concat();
        let signature = self.key.sign(&asn1::wrapped(asn1::SET, &attributes)).unwrap();
        let certificate = Item::only(self.certificate.der()).unwrap();
        let mut fields = certificate.items().unwrap().next(asn1::SEQUENCE).unwrap().items().unwrap();
        let [_version, serial, _algorithm, issuer] = [(); 4].map(|()| fields.any().unwrap().whole.to_vec());
        let signer = sequence(&[
            integer(1),
            sequence(&[issuer, serial]),
            sequence(&[oid(SHA256)]),
            asn1::wrapped(FIRST, &attributes),
            sequence(&[oid(ECDSA_SHA256)]),
            octets(&signature),
        ]);
        let data = sequence(&[
            integer(3),
            asn1::wrapped(asn1::SET, &sequence(&[oid(SHA256)])),
            sequence(&[oid(STAMP), asn1::wrapped(FIRST, &octets(info))]),
            asn1::wrapped(FIRST, self.certificate.der()),
            asn1::wrapped(asn1::SET, &signer),
        ]);
        sequence(&[sequence(&[integer(0)]), sequence(&[oid(SIGNED_DATA), asn1::wrapped(FIRST, &data)])])
    }
}
