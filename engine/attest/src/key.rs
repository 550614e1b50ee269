//! Ed25519 keys (RFC 8032) and their PEM forms (RFC 8410).

use std::fmt;
use std::ops::Deref;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};

/// The key id of reports where none is configured (reports.md).
pub const DEFAULT_KEY_ID: &str = "scanner-report-signing";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no PKCS#8 PEM of an Ed25519 private key.
    #[error("private key '{id}' is no unencrypted PKCS#8 PEM of an Ed25519 key: {reason}")]
    Private {
        /// Id of the key.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The text is no SPKI PEM of an Ed25519 public key.
    #[error("public key '{id}' is no PEM of an Ed25519 public key: {reason}")]
    Public {
        /// Id of the key.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

/// A private key that signs; its bytes are wiped when it is dropped and never shown by `Debug`.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    key: ed25519_dalek::SigningKey,
}

/// A public key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    key: ed25519_dalek::VerifyingKey,
}

impl SigningKey {
    /// The key of a seed (RFC 8032, section 5.1.5): 32 bytes from a cryptographic source of randomness.
    #[must_use]
    pub fn from_seed(id: impl Into<String>, seed: &[u8; 32]) -> Self {
        Self { id: id.into(), key: ed25519_dalek::SigningKey::from_bytes(seed) }
    }

    /// Reads a PKCS#8 PEM (`BEGIN PRIVATE KEY`, not encrypted).
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(id: impl Into<String>, pem: &str) -> Result<Self, KeyError> {
        let id = id.into();
        match ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
            Ok(key) => Ok(Self { id, key }),
            Err(error) => Err(KeyError::Private { id, reason: error.to_string() }),
        }
    }

    /// The key as PKCS#8 PEM, version 1, which every OpenSSL reads; the text is wiped when dropped.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn to_pem(&self) -> Result<impl Deref<Target = String> + use<>, KeyError> {
        let pair = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        pair.to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| KeyError::Private { id: self.id.clone(), reason: error.to_string() })
    }

    /// The name under which its signatures are filed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key that verifies its signatures.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey { id: self.id.clone(), key: self.key.verifying_key() }
    }

    /// Signs `message`: 64 bytes, the same for the same message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PublicKey {
    /// Reads an SPKI PEM (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(id: impl Into<String>, pem: &str) -> Result<Self, KeyError> {
        let id = id.into();
        match ed25519_dalek::VerifyingKey::from_public_key_pem(pem) {
            Ok(key) => Ok(Self { id, key }),
            Err(error) => Err(KeyError::Public { id, reason: error.to_string() }),
        }
    }

    /// The key as SPKI PEM.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| KeyError::Public { id: self.id.clone(), reason: error.to_string() })
    }

    /// The name under which signatures of its private half are filed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether `signature` is one over `message`; weak keys and malleable signatures count as wrong.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn signs_as_the_rfc_does() {
        let mut seed = [0; 32];
        hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed).unwrap();
        let key = SigningKey::from_seed("k", &seed);
        assert_eq!(
            hex::encode(key.public().to_bytes()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let expected = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
            5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(hex::encode(key.sign(b"")), expected);
        assert!(key.public().verifies(b"", &key.sign(b"")));
        assert!(!key.public().verifies(b"x", &key.sign(b"")));
        assert!(!key.public().verifies(b"", b"short"));
    }

    #[test]
    fn pem_round_trips_and_debug_hides_the_key() {
        let key = SigningKey::from_seed("k", &[7; 32]);
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(SigningKey::from_pem("k", &pem).unwrap().public(), key.public());
        let public = key.public().to_pem().unwrap();
        assert_eq!(PublicKey::from_pem("k", &public).unwrap(), key.public());
        assert_eq!(format!("{key:?}"), "SigningKey { id: \"k\", .. }");
        assert!(SigningKey::from_pem("k", &public).is_err());
        assert!(PublicKey::from_pem("k", &pem).is_err());
    }
}
