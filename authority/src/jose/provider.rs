//! ring as the cryptography of the JWT library, so that a process has one implementation of it.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result, new_error};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature as keys;
use signature::{Signer, Verifier};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Makes ring the library's provider; without one the library panics. Again changes nothing.
pub(super) fn ready() {
    // The error only says that a provider is there already.
    let _ = PROVIDER.install_default();
}

enum Pair {
    Ec(keys::EcdsaKeyPair),
    Ed(keys::Ed25519KeyPair),
    Rsa(keys::RsaKeyPair),
}

struct RingSigner {
    pair: Pair,
    algorithm: Algorithm,
}

struct RingVerifier {
    key: DecodingKey,
    algorithm: Algorithm,
}

fn wrong_family() -> Error {
    new_error(ErrorKind::InvalidKeyFormat)
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let rejected = |e: ring::error::KeyRejected| new_error(ErrorKind::Provider(e.to_string()));
    let bytes = key.as_bytes();
    let pair = match (algorithm, key.family()) {
        (Algorithm::ES256, AlgorithmFamily::Ec) => {
            let pair =
                keys::EcdsaKeyPair::from_pkcs8(&keys::ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &SystemRandom::new());
            Pair::Ec(pair.map_err(rejected)?)
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
            Pair::Ed(keys::Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(rejected)?)
        }
        (Algorithm::RS256, AlgorithmFamily::Rsa) => Pair::Rsa(keys::RsaKeyPair::from_der(bytes).map_err(rejected)?),
        (Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256, _) => return Err(wrong_family()),
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    Ok(Box::new(RingSigner { pair, algorithm: *algorithm }))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match (algorithm, key.family()) {
        (Algorithm::ES256, AlgorithmFamily::Ec)
        | (Algorithm::EdDSA, AlgorithmFamily::Ed)
        | (Algorithm::RS256, AlgorithmFamily::Rsa) => {
            Ok(Box::new(RingVerifier { key: key.clone(), algorithm: *algorithm }))
        }
        (Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256, _) => Err(wrong_family()),
        _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        let random = SystemRandom::new();
        let failed = |_: ring::error::Unspecified| signature::Error::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).map(|signed| signed.as_ref().to_vec()).map_err(failed),
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(&keys::RSA_PKCS1_SHA256, &random, message, &mut signed).map_err(failed)?;
                Ok(signed)
            }
        }
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let verified = match (self.algorithm, self.key.kind()) {
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(key)) => {
                keys::UnparsedPublicKey::new(&keys::ECDSA_P256_SHA256_FIXED, key).verify(message, given)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(key)) => {
                keys::UnparsedPublicKey::new(&keys::ED25519, key).verify(message, given)
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                keys::RsaPublicKeyComponents { n, e }.verify(&keys::RSA_PKCS1_2048_8192_SHA256, message, given)
            }
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
