//! Dead Simple Signing Envelopes (DSSE protocol and envelope specification, v1.0).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use crate::key::{PublicKey, SigningKey};

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
    /// No signature by a known key.
    #[error("no signature of the envelope is by one of the keys {0}")]
    Unverified(String),
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
    Es256,
    /// SM2 with SM3.
    Sm2,
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

/// One signature. On the wire it stands twice: as `keyId`, `algorithm`, `signature`, and as the standard `keyid`, `sig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "WireSignature", try_from = "WireSignature")]
pub struct Signature {
    /// A hint which key signed; not itself signed.
    pub key_id: String,
    /// How; absent in envelopes of others.
    pub algorithm: Option<Algorithm>,
    /// The signature as base64.
    pub signature: String,
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
        let asymmetric = signature.algorithm != Some(Algorithm::Hs256);
        Self {
            keyid: asymmetric.then(|| signature.key_id.clone()),
            sig: asymmetric.then(|| signature.signature.clone()),
            key_id: Some(signature.key_id),
            algorithm: signature.algorithm,
            signature: Some(signature.signature),
        }
    }
}

impl TryFrom<WireSignature> for Signature {
    type Error = DsseError;

    fn try_from(wire: WireSignature) -> Result<Self, DsseError> {
        let key_id = one_of(wire.key_id, wire.keyid, ("keyId", "keyid"))?.unwrap_or_default();
        let signature = one_of(wire.signature, wire.sig, ("signature", "sig"))?.ok_or(DsseError::Empty)?;
        Ok(Self { key_id, algorithm: wire.algorithm, signature })
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
        let signature = Signature {
            key_id: key.id().to_owned(),
            algorithm: Some(Algorithm::Ed25519),
            signature: STANDARD.encode(key.sign(&pae(payload_type, payload))),
        };
        Self { payload_type: payload_type.to_owned(), payload: STANDARD.encode(payload), signatures: vec![signature] }
    }

    /// The payload, if it is of `payload_type` and one signature is by one of `keys`. The ids of signatures are hints: every key
    /// is tried.
    ///
    /// # Errors
    /// When the type differs, a field is no base64 or no signature verifies.
    pub fn verify(&self, payload_type: &str, keys: &[&PublicKey]) -> Result<Vec<u8>, DsseError> {
        if self.payload_type != payload_type {
            let (expected, found) = (payload_type.to_owned(), self.payload_type.chars().take(100).collect());
            return Err(DsseError::PayloadType { expected, found });
        }
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(DsseError::TooManySignatures(self.signatures.len()));
        }
        let payload = decode(&self.payload).ok_or(DsseError::Base64("payload"))?;
        let message = pae(payload_type, &payload);
        let by_known_key = |signature: &Signature| {
            let ours = signature.algorithm.is_none_or(|algorithm| algorithm == Algorithm::Ed25519);
            ours && decode(&signature.signature)
                .is_some_and(|bytes| keys.iter().any(|key| key.verifies(&message, &bytes)))
        };
        if self.signatures.iter().any(by_known_key) {
            return Ok(payload);
        }
        let names: Vec<_> = keys.iter().map(|key| format!("'{}'", key.id())).collect();
        Err(DsseError::Unverified(names.join(", ")))
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    LENIENT_STANDARD.decode(text).or_else(|_| LENIENT_URL_SAFE.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: &str = "http://example.com/HelloWorld";

    /// DSSE protocol, "Test Vectors".
    #[test]
    fn the_encoding_is_that_of_the_protocol() {
        assert_eq!(pae(HELLO, b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn the_standard_fields_stand_beside_ours() {
        let key = SigningKey::from_seed("k", &[3; 32]);
        let envelope = Envelope::sign(HELLO, b"hello world", &key);
        let shown = serde_json::to_value(&envelope).unwrap();
        let signature = &shown["signatures"][0];
        assert_eq!(signature["keyId"], signature["keyid"]);
        assert_eq!(signature["signature"], signature["sig"]);
        assert_eq!(signature["algorithm"], "ed25519");
        assert_eq!(shown["payloadType"], HELLO);
        assert_eq!(serde_json::from_value::<Envelope>(shown).unwrap(), envelope);
    }

    #[test]
    fn envelopes_of_others_verify_in_both_alphabets() {
        let key = SigningKey::from_seed("k", &[3; 32]);
        let payload = [0xfb, 0xff, 0xfe];
        let signature = URL_SAFE_FOR_TEST.encode(key.sign(&pae(HELLO, &payload)));
        let text = format!(r#"{{"payloadType":"{HELLO}","payload":"-__-","signatures":[{{"sig":"{signature}"}}]}}"#);
        let envelope: Envelope = serde_json::from_str(&text).unwrap();
        assert_eq!(envelope.verify(HELLO, &[&key.public()]).unwrap(), payload);
    }

    const URL_SAFE_FOR_TEST: GeneralPurpose = base64::engine::general_purpose::URL_SAFE_NO_PAD;

    #[test]
    fn what_was_changed_is_refused() {
        let key = SigningKey::from_seed("k", &[3; 32]);
        let public = key.public();
        let good = Envelope::sign(HELLO, b"hello world", &key);
        assert_eq!(good.verify(HELLO, &[&public]).unwrap(), b"hello world");
        let other = SigningKey::from_seed("other", &[4; 32]).public();
        assert!(matches!(good.verify(HELLO, &[&other]), Err(DsseError::Unverified(_))));
        assert!(matches!(good.verify("text/plain", &[&public]), Err(DsseError::PayloadType { .. })));
        let changed = Envelope { payload: STANDARD.encode("hello World"), ..good.clone() };
        assert!(matches!(changed.verify(HELLO, &[&public]), Err(DsseError::Unverified(_))));
        let broken = Envelope { payload: "%".to_owned(), ..good };
        assert_eq!(broken.verify(HELLO, &[&public]), Err(DsseError::Base64("payload")));
    }

    #[test]
    fn a_signature_that_contradicts_itself_is_refused() {
        let text = r#"{"payloadType":"t","payload":"","signatures":[{"sig":"AA==","signature":"AQ=="}]}"#;
        assert!(serde_json::from_str::<Envelope>(text).is_err());
    }

    proptest! {
        #[test]
        fn whatever_was_signed_verifies(kind in "[a-z/+.]{0,30}", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let key = SigningKey::from_seed("k", &[5; 32]);
            let envelope = Envelope::sign(&kind, &payload, &key);
            prop_assert_eq!(envelope.verify(&kind, &[&key.public()]).unwrap(), payload);
        }

        #[test]
        fn foreign_bytes_never_panic(text in ".{0,200}") {
            if let Ok(envelope) = serde_json::from_str::<Envelope>(&text) {
                let _ = envelope.verify("t", &[]);
            }
            let envelope = Envelope { payload_type: "t".into(), payload: text, signatures: Vec::new() };
            prop_assert!(envelope.verify("t", &[]).is_err());
        }
    }
}
