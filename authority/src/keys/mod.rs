//! Keys that sign tokens: reading, making, keeping and rotating them.

mod file;
mod ring_of;
mod store;

use std::fmt;

use jsonwebtoken::EncodingKey;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::jose::{Algorithm, JoseError, PublicJwk};

pub use file::{KeyFileError, create, load};
pub(crate) use file::{replace_private, write_private};
pub use ring_of::{KeyRing, Retired};
pub use store::{KeyStore, KeyStoreError, Next, RetiredKey, Rotated};

/// PKCS#8 of an Ed25519 key up to its 32 bytes (RFC 8410, section 7).
const ED25519_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A key that signs. `Debug` shows its name only.
#[derive(Clone)]
pub struct PrivateKey {
    algorithm: Algorithm,
    kid: String,
    public: PublicJwk,
    encoding: EncodingKey,
}

impl PrivateKey {
    /// Makes a key, as PKCS#8 in DER. RSA keys are not made here: bring one as a file.
    ///
    /// # Errors
    /// When the system has no randomness, or for RSA.
    pub fn generate_der(algorithm: Algorithm) -> Result<Vec<u8>, JoseError> {
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                .map(|der| der.as_ref().to_vec())
                .map_err(|_| JoseError::Key("there is no randomness")),
            Algorithm::EdDsa => {
                let mut seed = [0; 32];
                ring::rand::SecureRandom::fill(&random, &mut seed)
                    .map_err(|_| JoseError::Key("there is no randomness"))?;
                // Version 1, which every other implementation reads.
                Ok([&ED25519_PREFIX[..], &seed[..]].concat())
            }
            Algorithm::Rs256 => Err(JoseError::Key("RSA keys are not made here, only read")),
        }
    }

    /// Makes a key that lives in memory only.
    ///
    /// # Errors
    /// As [`PrivateKey::generate_der`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, JoseError> {
        Self::from_pkcs8(&Self::generate_der(algorithm)?)
    }

    /// Reads a PEM: PKCS#8 of any of our algorithms, or PKCS#1 of an RSA key.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(pem: &[u8]) -> Result<Self, JoseError> {
        match PrivateKeyDer::from_pem_slice(pem) {
            Ok(PrivateKeyDer::Pkcs8(der)) => Self::from_pkcs8(der.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(der)) => Self::from_rsa(
                RsaKeyPair::from_der(der.secret_pkcs1_der())
                    .map_err(|_| JoseError::Key("it is no RSA key of 2,048 bits or more"))?,
                der.secret_pkcs1_der(),
            ),
            Ok(PrivateKeyDer::Sec1(_)) => {
                Err(JoseError::Key("it is SEC 1, and PKCS#8 is needed (openssl pkcs8 -topk8 -nocrypt)"))
            }
            _ => Err(JoseError::Key("it is no unencrypted PEM of a private key")),
        }
    }

    /// Reads PKCS#8 in DER.
    ///
    /// # Errors
    /// When it is no key of ours.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JoseError> {
        let random = SystemRandom::new();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random) {
            let public = PublicJwk::of_point(pair.public_key().as_ref())?;
            return Ok(Self::of(public, EncodingKey::from_ec_der(der)));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let public = PublicJwk::of_ed25519(pair.public_key().as_ref());
            return Ok(Self::of(public, EncodingKey::from_ed_der(der)));
        }
        let pair = RsaKeyPair::from_pkcs8(der)
            .map_err(|_| JoseError::Key("it is no P-256, Ed25519 or RSA key (2,048 bits or more)"))?;
        let inner = rsa_of_pkcs8(der).ok_or(JoseError::Key("its PKCS#8 cannot be read"))?;
        Self::from_rsa(pair, inner)
    }

    fn from_rsa(pair: RsaKeyPair, der: &[u8]) -> Result<Self, JoseError> {
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let public = PublicJwk::of_rsa(&public.n, &public.e);
        Ok(Self::of(public, EncodingKey::from_rsa_der(der)))
    }

    fn of(public: PublicJwk, encoding: EncodingKey) -> Self {
        Self { algorithm: public.algorithm(), kid: public.thumbprint(), public, encoding }
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name: the thumbprint of its public half (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    pub(crate) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The PKCS#1 key within PKCS#8 (RFC 5208, section 5): a sequence of version, algorithm and an octet string.
fn rsa_of_pkcs8(der: &[u8]) -> Option<&[u8]> {
    let (body, _) = element(der, 0x30)?;
    let (_, rest) = element(body, 0x02)?;
    let (_, rest) = element(rest, 0x30)?;
    element(rest, 0x04).map(|(key, _)| key)
}

/// The content of the first element, which has `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
