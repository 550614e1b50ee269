//! Keys that sign and verify: Ed25519 (RFC 8032), ECDSA over P-256 (RFC 6979) and HMAC-SHA-256 (RFC 2104).

mod pem;

use std::fmt;
use std::ops::Deref;

use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Verifier as _;
use sha2_for_hmac::Sha256;

use crate::dsse::Algorithm;

/// The key id of reports where none is configured (reports.md).
pub const DEFAULT_KEY_ID: &str = "scanner-report-signing";

/// Fewest and most bytes of a shared secret. Fewer could be guessed (RFC 7518, section 3.2).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=1024;

const ANOTHER_FORM: &str = "it is a key in another form than PEM in UTF-8";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no private key that is known.
    #[error("private key '{id}' is no unencrypted PKCS#8 or SEC1 PEM of an Ed25519 or P-256 key: {reason}")]
    Private {
        /// Id of the key.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The text is no public key that is known.
    #[error("public key '{id}' is no PEM of an Ed25519 or P-256 public key: {reason}")]
    Public {
        /// Id of the key.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// A shared secret is too short to be one, or too long.
    #[error("secret '{id}' has {found} bytes; 32 to 1024 are needed")]
    Secret {
        /// Id of the key.
        id: String,
        /// Its length.
        found: usize,
    },
    /// The key has no public half.
    #[error("key '{id}' is a shared secret and has no public half")]
    NotPublic {
        /// Id of the key.
        id: String,
    },
}

/// A key that signs; its bytes are wiped when it is dropped and never shown by `Debug`.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    key: Private,
}

#[derive(Clone)]
enum Private {
    Ed25519(ed25519_dalek::SigningKey),
    Es256(p256::ecdsa::SigningKey),
    Hs256(Hmac<Sha256>),
}

/// A key that verifies: the public half of a pair, or a shared secret.
#[derive(Clone)]
pub struct VerifyingKey {
    id: String,
    key: Verifying,
}

#[derive(Clone)]
enum Verifying {
    Ed25519(ed25519_dalek::VerifyingKey),
    Es256(p256::ecdsa::VerifyingKey),
    Hs256(Hmac<Sha256>),
}

impl SigningKey {
    /// The Ed25519 key of a seed (RFC 8032, section 5.1.5): 32 bytes from a cryptographic source of randomness.
    #[must_use]
    pub fn from_seed(id: impl Into<String>, seed: &[u8; 32]) -> Self {
        Self { id: id.into(), key: Private::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed)) }
    }

    /// The HMAC key of a shared secret: 32 to 1024 bytes from a cryptographic source of randomness.
    ///
    /// # Errors
    /// When it has another length.
    pub fn from_secret(id: impl Into<String>, secret: &[u8]) -> Result<Self, KeyError> {
        let id = id.into();
        mac(&id, secret).map(|key| Self { id, key: Private::Hs256(key) })
    }

    /// Reads a PKCS#8 PEM (`BEGIN PRIVATE KEY`) or, for P-256, a SEC1 PEM (`BEGIN EC PRIVATE KEY`), neither encrypted.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(id: impl Into<String>, text: &str) -> Result<Self, KeyError> {
        let id = id.into();
        match pem::private(text) {
            Ok(key) => Ok(Self { id, key }),
            Err(reason) => Err(KeyError::Private { id, reason }),
        }
    }

    /// Reads what a key file holds: PEM, or else the bytes of a shared secret without the line break at their end.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_bytes(id: impl Into<String>, bytes: &[u8]) -> Result<Self, KeyError> {
        match pem::text(bytes) {
            Some(text) => Self::from_pem(id, text),
            None if pem::is_another_form(bytes) => {
                Err(KeyError::Private { id: id.into(), reason: ANOTHER_FORM.to_owned() })
            }
            None => Self::from_secret(id, pem::without_line_break(bytes)),
        }
    }

    /// The key as PKCS#8 PEM, version 1, which every OpenSSL reads; the text is wiped when dropped.
    ///
    /// # Errors
    /// For a shared secret, which has no such form, or when the encoder fails.
    pub fn to_pem(&self) -> Result<impl Deref<Target = String> + use<>, KeyError> {
        pem::of_private(&self.key).map_err(|reason| KeyError::Private { id: self.id.clone(), reason })
    }

    /// The name under which its signatures are filed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.key {
            Private::Ed25519(_) => Algorithm::Ed25519,
            Private::Es256(_) => Algorithm::Es256,
            Private::Hs256(_) => Algorithm::Hs256,
        }
    }

    /// The key that verifies its signatures.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        let key = match &self.key {
            Private::Ed25519(key) => Verifying::Ed25519(key.verifying_key()),
            Private::Es256(key) => Verifying::Es256(*key.verifying_key()),
            Private::Hs256(mac) => Verifying::Hs256(mac.clone()),
        };
        VerifyingKey { id: self.id.clone(), key }
    }

    /// Signs `message`: 64 bytes, for a shared secret 32; the same for the same message. Those of ECDSA are the two numbers
    /// one after the other (RFC 7518, section 3.4).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            Private::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Private::Es256(key) => es256(key, message).to_bytes().to_vec(),
            Private::Hs256(mac) => mac.clone().chain_update(message).finalize().into_bytes().to_vec(),
        }
    }

    /// Length of what [`Self::sign`] gives.
    #[must_use]
    pub const fn signature_bytes(&self) -> usize {
        match self.key {
            Private::Ed25519(_) | Private::Es256(_) => 64,
            Private::Hs256(_) => 32,
        }
    }

    /// The same signature in the form that DSSE tools expect: DER for ECDSA. Nothing for a shared secret, which they do not
    /// know.
    #[must_use]
    pub fn sign_for_dsse(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.key {
            Private::Ed25519(_) => Some(self.sign(message)),
            Private::Es256(key) => Some(es256(key, message).to_der().as_bytes().to_vec()),
            Private::Hs256(_) => None,
        }
    }
}

/// The nonce comes from key and message (RFC 6979), so that the same bytes have the same signature.
fn es256(key: &p256::ecdsa::SigningKey, message: &[u8]) -> p256::ecdsa::Signature {
    key.sign(message)
}

fn mac(id: &str, secret: &[u8]) -> Result<Hmac<Sha256>, KeyError> {
    let wrong = || KeyError::Secret { id: id.to_owned(), found: secret.len() };
    if !SECRET_BYTES.contains(&secret.len()) {
        return Err(wrong());
    }
    Hmac::new_from_slice(secret).map_err(|_| wrong())
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// Reads an SPKI PEM (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(id: impl Into<String>, text: &str) -> Result<Self, KeyError> {
        let id = id.into();
        match pem::public(text) {
            Ok(key) => Ok(Self { id, key }),
            Err(reason) => Err(KeyError::Public { id, reason }),
        }
    }

    /// Reads what a key file holds: public keys as PEM, one after the other, or else the bytes of a shared secret without the
    /// line break at their end. PEM is never taken for a secret: whoever knows a public key could sign with it.
    ///
    /// # Errors
    /// When it is neither.
    pub fn all_from_bytes(id: &str, bytes: &[u8]) -> Result<Vec<Self>, KeyError> {
        match pem::text(bytes) {
            Some(text) => pem::blocks(text).map(|block| Self::from_pem(id, block)).collect(),
            None if pem::is_another_form(bytes) => {
                Err(KeyError::Public { id: id.to_owned(), reason: ANOTHER_FORM.to_owned() })
            }
            None => {
                let key = Verifying::Hs256(mac(id, pem::without_line_break(bytes))?);
                Ok(vec![Self { id: id.to_owned(), key }])
            }
        }
    }

    /// The key as SPKI PEM.
    ///
    /// # Errors
    /// For a shared secret, or when the encoder fails.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        pem::of_public(&self.key)
            .ok_or_else(|| KeyError::NotPublic { id: self.id.clone() })?
            .map_err(|reason| KeyError::Public { id: self.id.clone(), reason })
    }

    /// The name under which signatures of its other half are filed.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How its other half signs.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.key {
            Verifying::Ed25519(_) => Algorithm::Ed25519,
            Verifying::Es256(_) => Algorithm::Es256,
            Verifying::Hs256(_) => Algorithm::Hs256,
        }
    }

    /// Whether it may be shown to everybody.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        !matches!(self.key, Verifying::Hs256(_))
    }

    /// Whether `signature` is one over `message`; weak keys and malleable Ed25519 signatures count as wrong. Those of ECDSA may
    /// be DER or the two numbers one after the other.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Verifying::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Verifying::Es256(key) => {
                [p256::ecdsa::Signature::from_slice(signature), p256::ecdsa::Signature::from_der(signature)]
                    .into_iter()
                    .flatten()
                    .any(|signature| key.verify(message, &signature).is_ok())
            }
            Verifying::Hs256(mac) => mac.clone().chain_update(message).verify_slice(signature).is_ok(),
        }
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && match (&self.key, &other.key) {
                (Verifying::Ed25519(one), Verifying::Ed25519(other)) => one == other,
                (Verifying::Es256(one), Verifying::Es256(other)) => one == other,
                // Secrets are compared by what they make of the same message, in constant time.
                (Verifying::Hs256(one), Verifying::Hs256(other)) => one.clone().finalize() == other.clone().finalize(),
                _ => false,
            }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
