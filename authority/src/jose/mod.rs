//! Signed JSON (RFC 7515, RFC 7517, RFC 7519): three algorithms, one spelling of keys, and no `none`.

mod jwk;
mod jws;
mod provider;

use serde::{Deserialize, Serialize};

pub(crate) use jwk::encode;
pub use jwk::{Jwks, PublicJwk};
#[cfg(test)]
pub(crate) use jws::sign_header;
pub use jws::{Parts, detach, reattach, sign, split, verify};

/// The longest token, proof or detached signature that is read, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The algorithms that sign and verify here; every other one is refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256 (RFC 7518, section 3.4). The default.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3), 2,048 bits at least.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// Every algorithm, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The name in `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    const fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

impl std::str::FromStr for Algorithm {
    type Err = JoseError;

    fn from_str(text: &str) -> Result<Self, JoseError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| JoseError::Algorithm(text.chars().take(20).collect()))
    }
}

/// Why signed JSON is refused, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoseError {
    /// It is longer than is read.
    #[error("it is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// It does not have three parts of base64url.
    #[error("it is no compact JWS")]
    Shape,
    /// A part is no JSON object, or a member of it has the wrong type.
    #[error("its {0} cannot be read")]
    Json(&'static str),
    /// The algorithm is none of ours.
    #[error("algorithm '{0}' is not accepted")]
    Algorithm(String),
    /// Its type is another one.
    #[error("its type is '{got}', not '{wanted}'")]
    Type {
        /// What it says.
        got: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// It names header members that must be understood, and none are.
    #[error("it has critical header members")]
    Critical,
    /// No key of that name is known.
    #[error("its key '{0}' is not known")]
    UnknownKey(String),
    /// A key is not usable.
    #[error("the key is not usable: {0}")]
    Key(&'static str),
    /// The signature is another one.
    #[error("its signature is wrong")]
    Signature,
    /// Signing failed.
    #[error("signing failed")]
    Signing,
}
