//! Public keys of others: ECDSA over P-256 and P-384, Ed25519, RSA.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::asn1::{self, Item};

/// Bytes of a key that are read; the largest RSA key has some 1,100.
const LONGEST: usize = 16 << 10;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// The text is no PEM of a public key.
    #[error("it is no PEM with the label PUBLIC KEY")]
    Pem,
    /// The bytes are no key.
    #[error("it is no SubjectPublicKeyInfo (RFC 5280, section 4.1)")]
    Der,
    /// It is of a kind that is not known.
    #[error("keys of the kind {0} are not supported: ECDSA over P-256 or P-384, Ed25519 and RSA are")]
    Kind(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

/// What digests are made with, where that is told apart from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(crate) fn of(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    /// What stands in the bit string.
    bytes: Vec<u8>,
    /// The whole of it as it was read.
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads a PEM with the label `PUBLIC KEY`, as `cosign generate-key-pair` writes it. What stands behind the first is not
    /// looked at.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        if text.len() > LONGEST {
            return Err(PublicKeyError::Pem);
        }
        let (_, block) = parse_x509_pem(text.as_bytes()).map_err(|_| PublicKeyError::Pem)?;
        if block.label != "PUBLIC KEY" {
            return Err(PublicKeyError::Pem);
        }
        Self::from_der(&block.contents)
    }

    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`PublicKeyError`].
    pub fn from_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        if der.len() > LONGEST {
            return Err(PublicKeyError::Der);
        }
        let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| PublicKeyError::Der)?;
        if !rest.is_empty() {
            return Err(PublicKeyError::Der);
        }
        Self::of(&info)
    }

    /// Reads an RSAPublicKey (RFC 8017, section A.1.1), as old logs of certificates have it.
    pub(crate) fn from_pkcs1(der: &[u8]) -> Result<Self, PublicKeyError> {
        let numbers = Item::only(der).ok().filter(|key| key.has_tag(asn1::SEQUENCE) && der.len() <= LONGEST);
        let numbers = numbers.and_then(|key| key.items().ok()?.rest().ok()).ok_or(PublicKeyError::Der)?;
        if numbers.len() != 2 || numbers.iter().any(|number| !number.has_tag(asn1::INTEGER)) {
            return Err(PublicKeyError::Der);
        }
        Ok(Self { kind: Kind::Rsa, bytes: der.to_vec(), der: der.to_vec() })
    }

    pub(crate) fn of(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, PublicKeyError> {
        let algorithm = info.algorithm.algorithm.to_id_string();
        let curve = info.algorithm.parameters.as_ref().and_then(|any| Some(any.as_oid().ok()?.to_id_string()));
        let kind = match (algorithm.as_str(), curve.as_deref()) {
            ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => Kind::P256,
            ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => Kind::P384,
            ("1.3.101.112", _) => Kind::Ed25519,
            ("1.2.840.113549.1.1.1", _) => Kind::Rsa,
            (_, curve) => {
                let curve = curve.map(|curve| format!(" with {curve}")).unwrap_or_default();
                return Err(PublicKeyError::Kind(format!("{algorithm}{curve}")));
            }
        };
        Ok(Self { kind, bytes: info.subject_public_key.data.to_vec(), der: info.raw.to_vec() })
    }

    /// The key as DER: what names it.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether `signature` is one over `message`. Those of ECDSA are DER, over SHA-256, with P-384 over SHA-384 as well; those of
    /// RSA are PKCS #1 v1.5 over SHA-256.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithms: &[&'static dyn VerificationAlgorithm] = match self.kind {
            Kind::P256 => &[&ECDSA_P256_SHA256_ASN1],
            Kind::P384 => &[&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1],
            Kind::Ed25519 => &[&ED25519],
            Kind::Rsa => &[&RSA_PKCS1_2048_8192_SHA256],
        };
        algorithms
            .iter()
            .any(|algorithm| UnparsedPublicKey::new(*algorithm, &self.bytes).verify(message, signature).is_ok())
    }

    /// The same with a hash that is told beside the signature; with P-256 not SHA-512. Ed25519 has one of its own.
    pub(crate) fn verifies_with(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, hash) {
            (Kind::P256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
            (Kind::P256, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
            (Kind::P384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
            (Kind::P384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
            (Kind::P256 | Kind::P384, Hash::Sha512) => return false,
            (Kind::Ed25519, _) => &ED25519,
            (Kind::Rsa, Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, Hash::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
    }

    /// How TLS numbers the hash and the kind of the signatures that a log of certificates makes with this key (RFC 6962, section
    /// 2.1.4, and RFC 8422, section 5.1.3).
    pub(crate) const fn tls_algorithm(&self) -> [u8; 2] {
        match self.kind {
            Kind::P256 | Kind::P384 => [4, 3],
            Kind::Rsa => [4, 1],
            Kind::Ed25519 => [8, 7],
        }
    }

    /// The bytes of an Ed25519 key.
    pub(crate) fn ed25519(&self) -> Option<&[u8]> {
        (self.kind == Kind::Ed25519).then_some(self.bytes.as_slice())
    }
}

/// Bytes of a field in base64, as far as they are not more than `most`.
pub(crate) fn decoded(text: &str, most: usize) -> Option<Vec<u8>> {
    if text.len() / 4 * 3 > most + 3 {
        return None;
    }
    STANDARD.decode(text).ok().filter(|bytes| bytes.len() <= most)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey as _};

    use super::*;

    #[test]
    fn each_kind_verifies_its_own_and_no_other() {
        let pairs = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
            .map(|kind| KeyPair::generate_for(kind).unwrap());
        for (n, pair) in pairs.iter().enumerate() {
            let signature = pair.sign(b"message").unwrap();
            for (m, other) in pairs.iter().enumerate() {
                let key = PublicKey::from_pem(&other.public_key_pem()).unwrap();
                assert_eq!(key.verifies(b"message", &signature), n == m);
                assert!(!key.verifies(b"another", &signature));
            }
        }
    }

    #[test]
    fn an_rsa_key_is_read_in_both_forms() {
        // 2048 bits that nobody has the factors of.
        let numbers =
            [asn1::wrapped(asn1::INTEGER, &[&[0_u8, 0xc1][..], &[7; 255]].concat()), vec![2, 3, 1, 0, 1]].concat();
        let pkcs1 = asn1::wrapped(asn1::SEQUENCE, &numbers);
        let algorithm = [0x30_u8, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
        let bits = asn1::wrapped(0x03, &[&[0_u8][..], &pkcs1].concat());
        let info = asn1::wrapped(asn1::SEQUENCE, &[&algorithm[..], &bits].concat());
        let (bare, whole) = (PublicKey::from_pkcs1(&pkcs1).unwrap(), PublicKey::from_der(&info).unwrap());
        assert_eq!((bare.kind, bare.bytes), (whole.kind, whole.bytes));
        assert_eq!(PublicKey::from_pkcs1(&info), Err(PublicKeyError::Der));
        assert!(PublicKey::from_der(&pkcs1).is_err());
    }

    #[test]
    fn what_is_no_public_key_says_so() {
        let pair = KeyPair::generate().unwrap();
        assert_eq!(PublicKey::from_pem(&pair.serialize_pem()), Err(PublicKeyError::Pem), "a private one is none");
        assert_eq!(PublicKey::from_pem("key"), Err(PublicKeyError::Pem));
        assert_eq!(PublicKey::from_der(&[1, 2]), Err(PublicKeyError::Der));
        let mut longer = PublicKey::from_pem(&pair.public_key_pem()).unwrap().der().to_vec();
        longer.push(0);
        assert_eq!(PublicKey::from_der(&longer), Err(PublicKeyError::Der));
    }
}
