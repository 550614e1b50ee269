//! What is attached to images: signatures and attestations in the forms that cosign writes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use stella_attest::dsse::pae;
use stella_domain::Digest;
use x509_parser::pem::parse_x509_pem;

use crate::claim::{self, Claim};
use crate::entry::{Entry, LONGEST_BODY, Logged, Proof};
use crate::key::{PublicKey, decoded};
use crate::merkle::LONGEST_PROOF;
use crate::trust_root::{LONGEST_CERTIFICATE, WireCertificate, WireId};

/// The kind of a sigstore bundle of version 0.3.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The same as some tools spell it.
const OLD_BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";
/// The kind of a payload of simple signing.
pub const SIMPLE_SIGNING_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with the signature of such a payload.
pub const SIGNATURE_NOTE: &str = "dev.cosignproject.cosign/signature";
/// The annotation with the certificate.
pub const CERTIFICATE_NOTE: &str = "dev.sigstore.cosign/certificate";
/// The annotation with the entry of the log.
pub const ENTRY_NOTE: &str = "dev.sigstore.cosign/bundle";

/// Bytes of a document; one with an SBOM may be large.
const LONGEST: usize = 16 << 20;
/// Bytes of a signature.
const LONGEST_SIGNATURE: usize = 4096;
/// Signatures of an envelope. Sigstore allows one.
const MOST_SIGNATURES: usize = 8;
/// Entries of a bundle.
const MOST_ENTRIES: usize = 8;
/// Time stamps of a bundle.
const MOST_STAMPS: usize = 8;

/// Why a document cannot be read. Whatever it would have said, nobody is believed for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is longer than anybody needs.
    #[error("{what} has {found} bytes, at most {most} are read")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// It is no JSON, or has fields of other types.
    #[error("{what}: {reason}")]
    Json {
        /// What.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It is of a kind that is not read.
    #[error("it is of the kind '{0}', expected {BUNDLE_TYPE}")]
    Kind(String),
    /// A field cannot be used.
    #[error("{place}: {reason}")]
    Field {
        /// Which.
        place: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// A signed payload with what its signature can be verified by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    content: Content,
    certificate: Option<Vec<u8>>,
    entry: Option<Entry>,
    /// Time stamps of its signature.
    stamps: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// A payload that is signed as it is.
    Bare { payload: Vec<u8>, signature: Vec<u8> },
    /// A payload in an envelope (DSSE).
    Envelope { payload_type: String, payload: Vec<u8>, signatures: Vec<Vec<u8>> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBundle {
    media_type: String,
    verification_material: WireMaterial,
    #[serde(default)]
    dsse_envelope: Option<WireEnvelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMaterial {
    #[serde(default)]
    certificate: Option<WireCertificate>,
    #[serde(default)]
    tlog_entries: Vec<WireEntry>,
    #[serde(default)]
    timestamp_verification_data: Option<WireStamps>,
}

#[derive(Default, Deserialize)]
struct WireStamps {
    #[serde(default, rename = "rfc3161Timestamps")]
    stamps: Vec<WireStamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStamp {
    signed_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEnvelope {
    payload: String,
    payload_type: String,
    #[serde(default)]
    signatures: Vec<WireSignature>,
}

#[derive(Deserialize)]
struct WireSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEntry {
    #[serde(default, deserialize_with = "number")]
    log_index: i64,
    log_id: WireId,
    #[serde(default, deserialize_with = "number")]
    integrated_time: i64,
    #[serde(default)]
    inclusion_promise: Option<WirePromise>,
    #[serde(default)]
    inclusion_proof: Option<WireProof>,
    canonicalized_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePromise {
    signed_entry_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireProof {
    #[serde(default, deserialize_with = "number")]
    log_index: i64,
    root_hash: String,
    #[serde(default, deserialize_with = "number")]
    tree_size: i64,
    #[serde(default)]
    hashes: Vec<String>,
    checkpoint: WireCheckpoint,
}

#[derive(Deserialize)]
struct WireCheckpoint {
    envelope: String,
}

/// The entry in an annotation.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OldEntry {
    signed_entry_timestamp: String,
    payload: OldPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// A number of 64 bits, which the JSON of protocol buffers writes as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Number(i64),
    }
    match Number::deserialize(deserializer)? {
        Number::Number(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

impl Signed {
    /// Reads a sigstore bundle of version 0.3 with a DSSE envelope in it. Where it has several entries of logs, the first counts.
    ///
    /// # Errors
    /// [`ReadError`] naming the field.
    pub fn from_bundle(bytes: &[u8]) -> Result<Self, ReadError> {
        let wire: WireBundle = json("the bundle", bytes, LONGEST)?;
        if wire.media_type != BUNDLE_TYPE && wire.media_type != OLD_BUNDLE_TYPE {
            return Err(ReadError::Kind(claim::cut(&wire.media_type)));
        }
        let envelope = wire.dsse_envelope.ok_or_else(|| field("dsseEnvelope", "it is not there"))?;
        let material = wire.verification_material;
        let certificate = material.certificate.map(|certificate| {
            let der = decoded(&certificate.raw_bytes, LONGEST_CERTIFICATE);
            der.ok_or_else(|| field("verificationMaterial.certificate.rawBytes", "it is no base64, or too long"))
        });
        if material.tlog_entries.len() > MOST_ENTRIES {
            let reason = format!("{} entries, at most {MOST_ENTRIES} are read", material.tlog_entries.len());
            return Err(field("verificationMaterial.tlogEntries", reason));
        }
        let entry = material.tlog_entries.into_iter().next().map(entry).transpose()?;
        let stamps = stamps(&material.timestamp_verification_data.unwrap_or_default().stamps)?;
        Ok(Self { content: content(envelope)?, certificate: certificate.transpose()?, entry, stamps })
    }

    /// Reads a payload of simple signing with the annotations of its layer, as `cosign sign` attaches it under the tag `.sig`.
    ///
    /// # Errors
    /// [`ReadError`] naming the annotation.
    pub fn from_simple_signing(payload: &[u8], notes: &BTreeMap<String, String>) -> Result<Self, ReadError> {
        check("the payload", payload, LONGEST_BODY)?;
        let signature = notes.get(SIGNATURE_NOTE).ok_or_else(|| field(SIGNATURE_NOTE, "it is not there"))?;
        let signature = decoded(signature, LONGEST_SIGNATURE).filter(|bytes| !bytes.is_empty());
        let signature = signature.ok_or_else(|| field(SIGNATURE_NOTE, "it is no base64 of a signature"))?;
        let content = Content::Bare { payload: payload.to_vec(), signature };
        Ok(Self { content, certificate: noted_certificate(notes)?, entry: noted_entry(notes)?, stamps: Vec::new() })
    }

    /// Reads an envelope with the annotations of its layer, as `cosign attest` attaches it under the tag `.att`.
    ///
    /// # Errors
    /// [`ReadError`] naming the field or the annotation.
    pub fn from_envelope(bytes: &[u8], notes: &BTreeMap<String, String>) -> Result<Self, ReadError> {
        let content = content(json("the envelope", bytes, LONGEST)?)?;
        Ok(Self { content, certificate: noted_certificate(notes)?, entry: noted_entry(notes)?, stamps: Vec::new() })
    }

    /// What it claims of one of `images`. Nothing of this is verified.
    ///
    /// # Errors
    /// What is wrong with it, or that it is of another image.
    pub fn claim(&self, images: &[Digest]) -> Result<Claim, String> {
        match &self.content {
            Content::Bare { payload, .. } => claim::of_simple(payload, images),
            Content::Envelope { payload_type, payload, .. } => claim::of_statement(payload_type, payload, images),
        }
    }

    /// Its certificate, DER.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// The entry of a log that tells of it.
    pub(crate) const fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// The time stamps that it has.
    pub(crate) fn stamps(&self) -> &[Vec<u8>] {
        &self.stamps
    }

    /// What the entry has to be of, where `key`, which is that of `certificate`, made a signature.
    pub(crate) fn logged<'a>(&'a self, certificate: &'a [u8], key: &PublicKey) -> Option<Logged<'a>> {
        let signature = self.signature_by(key)?;
        let (message, payload) = match &self.content {
            Content::Bare { payload, .. } => (Digest::of(payload), None),
            Content::Envelope { payload_type, payload, .. } => {
                (Digest::of(pae(payload_type, payload)), Some(Digest::of(payload)))
            }
        };
        Some(Logged { certificate, signature, message, payload })
    }

    /// The signature that `key` made.
    pub(crate) fn signature_by(&self, key: &PublicKey) -> Option<&[u8]> {
        match &self.content {
            Content::Bare { payload, signature } => key.verifies(payload, signature).then_some(signature.as_slice()),
            Content::Envelope { payload_type, payload, signatures } => {
                let message = pae(payload_type, payload);
                signatures.iter().find(|signature| key.verifies(&message, signature)).map(Vec::as_slice)
            }
        }
    }
}

fn field(place: &'static str, reason: impl Into<String>) -> ReadError {
    ReadError::Field { place, reason: reason.into() }
}

fn check(what: &'static str, bytes: &[u8], most: usize) -> Result<(), ReadError> {
    if bytes.len() > most { Err(ReadError::TooLong { what, found: bytes.len(), most }) } else { Ok(()) }
}

fn json<'de, T: Deserialize<'de>>(what: &'static str, bytes: &'de [u8], most: usize) -> Result<T, ReadError> {
    check(what, bytes, most)?;
    serde_json::from_slice(bytes).map_err(|error| ReadError::Json { what, reason: error.to_string() })
}

fn content(wire: WireEnvelope) -> Result<Content, ReadError> {
    let payload = decoded(&wire.payload, LONGEST).ok_or_else(|| field("payload", "it is no base64, or too long"))?;
    if wire.signatures.is_empty() || wire.signatures.len() > MOST_SIGNATURES {
        return Err(field("signatures", format!("{} of them; 1 to {MOST_SIGNATURES} are read", wire.signatures.len())));
    }
    let signatures = wire.signatures.iter().map(|signature| decoded(&signature.sig, LONGEST_SIGNATURE));
    let signatures = signatures.collect::<Option<Vec<_>>>();
    let signatures = signatures.ok_or_else(|| field("signatures", "one is no base64, or too long"))?;
    Ok(Content::Envelope { payload_type: wire.payload_type, payload, signatures })
}

fn entry(wire: WireEntry) -> Result<Entry, ReadError> {
    const PLACE: &str = "verificationMaterial.tlogEntries[0]";
    let bytes = |text: &str, what: &str, most| {
        decoded(text, most).ok_or_else(|| field(PLACE, format!("its {what} is no base64, or too long")))
    };
    let promise = wire.inclusion_promise.as_ref().map(|promise| promise.signed_entry_timestamp.as_str());
    Ok(Entry {
        body: bytes(&wire.canonicalized_body, "canonicalizedBody", LONGEST_BODY)?,
        integrated: wire.integrated_time,
        index: wire.log_index,
        log: bytes(&wire.log_id.key_id, "logId", 64)?,
        promise: bytes(promise.unwrap_or_default(), "inclusionPromise", LONGEST_SIGNATURE)?,
        proof: Some(proof(wire.inclusion_proof.ok_or_else(|| field(PLACE, "it has no inclusionProof"))?)?),
    })
}

fn stamps(wire: &[WireStamp]) -> Result<Vec<Vec<u8>>, ReadError> {
    const PLACE: &str = "verificationMaterial.timestampVerificationData.rfc3161Timestamps";
    if wire.len() > MOST_STAMPS {
        return Err(field(PLACE, format!("{} time stamps, at most {MOST_STAMPS} are read", wire.len())));
    }
    let stamps =
        wire.iter().map(|stamp| decoded(&stamp.signed_timestamp, crate::stamp::LONGEST)).collect::<Option<_>>();
    stamps.ok_or_else(|| field(PLACE, "a signedTimestamp is no base64, or too long"))
}

fn proof(wire: WireProof) -> Result<Proof, ReadError> {
    const PLACE: &str = "verificationMaterial.tlogEntries[0].inclusionProof";
    let hash = |text: &str| -> Option<[u8; 32]> { decoded(text, 32)?.try_into().ok() };
    if wire.hashes.len() > LONGEST_PROOF {
        return Err(field(PLACE, format!("{} hashes, at most {LONGEST_PROOF} are read", wire.hashes.len())));
    }
    let wrong = || field(PLACE, "a hash is none of SHA-256");
    Ok(Proof {
        index: u64::try_from(wire.log_index).map_err(|_| field(PLACE, "its logIndex is negative"))?,
        size: u64::try_from(wire.tree_size).map_err(|_| field(PLACE, "its treeSize is negative"))?,
        root: hash(&wire.root_hash).ok_or_else(wrong)?,
        hashes: wire.hashes.iter().map(|text| hash(text)).collect::<Option<_>>().ok_or_else(wrong)?,
        checkpoint: wire.checkpoint.envelope,
    })
}

fn noted_certificate(notes: &BTreeMap<String, String>) -> Result<Option<Vec<u8>>, ReadError> {
    let Some(text) = notes.get(CERTIFICATE_NOTE).filter(|text| !text.is_empty()) else { return Ok(None) };
    check("the certificate", text.as_bytes(), 2 * LONGEST_CERTIFICATE)?;
    match parse_x509_pem(text.as_bytes()) {
        Ok((_, block)) if block.label == "CERTIFICATE" => Ok(Some(block.contents)),
        _ => Err(field(CERTIFICATE_NOTE, "it is no PEM of a certificate")),
    }
}

fn noted_entry(notes: &BTreeMap<String, String>) -> Result<Option<Entry>, ReadError> {
    let Some(text) = notes.get(ENTRY_NOTE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let OldEntry { signed_entry_timestamp, payload } = json(ENTRY_NOTE, text.as_bytes(), 2 * LONGEST_BODY)?;
    let wrong = |what: &str| field(ENTRY_NOTE, format!("its {what} cannot be read, or is too long"));
    Ok(Some(Entry {
        body: decoded(&payload.body, LONGEST_BODY).ok_or_else(|| wrong("body"))?,
        integrated: payload.integrated_time,
        index: payload.log_index,
        log: hex::decode(&payload.log_id).ok().filter(|id| id.len() <= 64).ok_or_else(|| wrong("logID"))?,
        promise: decoded(&signed_entry_timestamp, LONGEST_SIGNATURE).ok_or_else(|| wrong("SignedEntryTimestamp"))?,
        // The annotation has none: the promise alone says that the log has it.
        proof: None,
    }))
}
