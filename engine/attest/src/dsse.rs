//! Dead Simple Signing Envelopes (DSSE protocol and envelope specification, v1.0).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use crate::key::{SigningKey, VerifyingKey};

/// Most signatures of an envelope that are looked at.
const MAX_SIGNATURES: usize = 64;

/// Readers must take both alphabets (DSSE envelope, "Standard JSON envelope").
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DsseError {
    /// A field is no base64.
    #[error("envelope field '{0}' is no base64")]
    Base64(&'static str),
    /// More signatures than anybody needs.
    #[error("envelope has {0} signatures, more than 64")]
    TooManySignatures(usize),
    /// A signature says two things at once.
    #[error("signature fields '{0}' and '{1}' differ")]
    Contradiction(&'static str, &'static str),
    /// A signature without bytes.
    #[error("signature has neither 'sig' nor 'signature'")]
    Empty,
    /// Nobody signed it.
    #[error("envelope has no signatures")]
    Unsigned,
    /// Signed by others than was asked for.
    #[error("signed with {signers}, and none of the given keys verifies that: {keys}")]
    UnknownKey {
        /// Keys that the signatures name, with their algorithms.
        signers: String,
        /// Keys that were tried, with their algorithms.
        keys: String,
    },
    /// A key of the right name does not verify.
    #[error(
        "the signature with key '{key}' does not verify: the key is another one of that name, or the signature was changed"
    )]
    WrongSignature {
        /// The key.
        key: String,
    },
    /// The payload is of another type.
    #[error("envelope has payload type '{found}', expected '{expected}'")]
    PayloadType {
        /// What was asked for.
        expected: String,
        /// What it is.
        found: String,
    },
}

/// Signature algorithms by their names in envelopes (reports.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// HMAC-SHA-256; symmetric.
    Hs256,
    /// Ed25519.
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    #[serde(alias = "ecdsa")]
    Es256,
    /// SM2 with SM3.
    Sm2,
}

impl Algorithm {
    /// The name in envelopes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "hs256",
            Self::Ed25519 => "ed25519",
            Self::Es256 => "es256",
            Self::Sm2 => "sm2",
        }
    }
}

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is; signed with it.
    pub payload_type: String,
    /// The payload as base64.
    pub payload: String,
    /// Signatures over [`pae`].
    pub signatures: Vec<Signature>,
}

/// One signature. The key stands twice on the wire, as `keyId` and as the standard `keyid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "WireSignature", try_from = "WireSignature")]
pub struct Signature {
    /// A hint which key signed; not itself signed.
    pub key_id: String,
    /// How; absent in envelopes of others.
    pub algorithm: Option<Algorithm>,
    /// The signature as base64; of ECDSA the two numbers one after the other, as the algorithm's name says (RFC 7518).
    pub signature: Option<String>,
    /// The standard field of DSSE, as base64; of ECDSA in DER. Absent where the key is a shared secret.
    pub sig: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(rename = "keyId", default, skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithm: Option<Algorithm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

impl From<Signature> for WireSignature {
    fn from(signature: Signature) -> Self {
        let name = |told: bool| told.then(|| signature.key_id.clone());
        Self {
            keyid: name(signature.sig.is_some()),
            key_id: name(signature.signature.is_some()),
            sig: signature.sig,
            algorithm: signature.algorithm,
            signature: signature.signature,
        }
    }
}

impl TryFrom<WireSignature> for Signature {
    type Error = DsseError;

    fn try_from(wire: WireSignature) -> Result<Self, DsseError> {
        let key_id = one_of(wire.key_id, wire.keyid, ("keyId", "keyid"))?.unwrap_or_default();
        if wire.signature.is_none() && wire.sig.is_none() {
            return Err(DsseError::Empty);
        }
        Ok(Self { key_id, algorithm: wire.algorithm, signature: wire.signature, sig: wire.sig })
    }
}

impl Signature {
    /// Whether it is one of `key` over `message`. Where it stands there in two forms, both have to be.
    fn is_by(&self, key: &VerifyingKey, message: &[u8]) -> bool {
        let mut forms = self.signature.iter().chain(&self.sig).peekable();
        let fits = self.algorithm.is_none_or(|algorithm| algorithm == key.algorithm());
        fits && forms.peek().is_some()
            && forms.all(|form| decode(form).is_some_and(|bytes| key.verifies(message, &bytes)))
    }
}

fn one_of(
    one: Option<String>,
    other: Option<String>,
    names: (&'static str, &'static str),
) -> Result<Option<String>, DsseError> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(DsseError::Contradiction(names.0, names.1)),
        (one, other) => Ok(one.or(other)),
    }
}

/// The pre-authentication encoding: what is signed (DSSE protocol, "Signature Definition").
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Signs `payload` with `key`; the same for the same arguments.
    #[must_use]
    pub fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Self {
        let message = pae(payload_type, payload);
        let signature = Signature {
            key_id: key.id().to_owned(),
            algorithm: Some(key.algorithm()),
            signature: Some(STANDARD.encode(key.sign(&message))),
            sig: key.sign_for_dsse(&message).map(|bytes| STANDARD.encode(bytes)),
        };
        Self { payload_type: payload_type.to_owned(), payload: STANDARD.encode(payload), signatures: vec![signature] }
    }

    /// The same in the standard fields alone, for tools that take offence at others. Signatures without a standard form are
    /// left out.
    #[must_use]
    pub fn standard(&self) -> Self {
        let plain = |signature: &Signature| Signature { algorithm: None, signature: None, ..signature.clone() };
        let signatures = self.signatures.iter().filter(|signature| signature.sig.is_some()).map(plain).collect();
        Self { signatures, ..self.clone() }
    }

    /// The payload, whoever signed it.
    ///
    /// # Errors
    /// When it is no base64.
    pub fn unverified_payload(&self) -> Result<Vec<u8>, DsseError> {
        decode(&self.payload).ok_or(DsseError::Base64("payload"))
    }

    /// The payload, if it is of `payload_type` and one signature is by one of `keys`. The ids of signatures are hints: every key
    /// is tried.
    ///
    /// # Errors
    /// When the type differs, a field is no base64 or no signature verifies; then it says whose the signatures are.
    pub fn verify(&self, payload_type: &str, keys: &[&VerifyingKey]) -> Result<Vec<u8>, DsseError> {
        if self.payload_type != payload_type {
            let (expected, found) = (payload_type.to_owned(), self.payload_type.chars().take(100).collect());
            return Err(DsseError::PayloadType { expected, found });
        }
        match self.signatures.len() {
            0 => return Err(DsseError::Unsigned),
            1..=MAX_SIGNATURES => {}
            more => return Err(DsseError::TooManySignatures(more)),
        }
        let payload = self.unverified_payload()?;
        let message = pae(payload_type, &payload);
        let by_known_key = |signature: &Signature| keys.iter().any(|key| signature.is_by(key, &message));
        if self.signatures.iter().any(by_known_key) { Ok(payload) } else { Err(self.refusal(keys)) }
    }

    /// Why no signature verifies.
    fn refusal(&self, keys: &[&VerifyingKey]) -> DsseError {
        let meant = |key: &&&VerifyingKey| {
            let mut named = self.signatures.iter().filter(|signature| signature.key_id == key.id());
            named.any(|signature| signature.algorithm.is_none_or(|algorithm| algorithm == key.algorithm()))
        };
        if let Some(key) = keys.iter().find(meant) {
            return DsseError::WrongSignature { key: key.id().to_owned() };
        }
        let signers = self.signatures.iter().map(|signature| {
            let name: String = signature.key_id.chars().take(100).collect();
            named(&name, signature.algorithm)
        });
        let keys = keys.iter().map(|key| named(key.id(), Some(key.algorithm())));
        DsseError::UnknownKey { signers: listed(signers), keys: listed(keys) }
    }
}

fn named(id: &str, algorithm: Option<Algorithm>) -> String {
    match algorithm {
        Some(algorithm) => format!("key '{id}' ({})", algorithm.name()),
        None => format!("key '{id}'"),
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.dedup();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    LENIENT_STANDARD.decode(text).or_else(|_| LENIENT_URL_SAFE.decode(text)).ok()
}

#[cfg(test)]
mod tests;
