//! Public keys as JSON (RFC 7517), named by their thumbprint (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stella_domain::Digest;

use super::{Algorithm, JoseError};

/// The most keys of a set that are looked at.
const MAX_KEYS: usize = 64;
/// Members of a JWK that belong to private or symmetric keys.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key of one of our algorithms. What it holds is base64url text, as in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicJwk {
    /// P-256.
    Ec {
        /// First coordinate, 32 bytes.
        x: String,
        /// Second coordinate, 32 bytes.
        y: String,
    },
    /// Ed25519.
    Ed {
        /// The key, 32 bytes.
        x: String,
    },
    /// RSA of 2,048 to 8,192 bits.
    Rsa {
        /// Modulus.
        n: String,
        /// Exponent.
        e: String,
    },
}

impl PublicJwk {
    /// The P-256 key of an uncompressed point (SEC 1, section 2.3.3).
    pub(crate) fn of_point(point: &[u8]) -> Result<Self, JoseError> {
        match point {
            [4, coordinates @ ..] if coordinates.len() == 64 => {
                let (x, y) = coordinates.split_at(32);
                Ok(Self::Ec { x: encode(x), y: encode(y) })
            }
            _ => Err(JoseError::Key("it is no point of P-256")),
        }
    }

    pub(crate) fn of_ed25519(key: &[u8]) -> Self {
        Self::Ed { x: encode(key) }
    }

    pub(crate) fn of_rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        Self::Rsa { n: encode(modulus), e: encode(exponent) }
    }

    /// Reads a JWK.
    ///
    /// # Errors
    /// When it is a private or symmetric key, of another curve, or has parts of a wrong length.
    pub fn read(value: &Value) -> Result<Self, JoseError> {
        let object = value.as_object().ok_or(JoseError::Key("it is no object"))?;
        if PRIVATE.iter().any(|member| object.contains_key(*member)) {
            return Err(JoseError::Key("it holds private parts"));
        }
        let curve = object.get("crv").and_then(Value::as_str);
        match (object.get("kty").and_then(Value::as_str), curve) {
            (Some("EC"), Some("P-256")) => {
                Ok(Self::Ec { x: part(object, "x", 32..=32)?, y: part(object, "y", 32..=32)? })
            }
            (Some("OKP"), Some("Ed25519")) => Ok(Self::Ed { x: part(object, "x", 32..=32)? }),
            (Some("RSA"), None) => Ok(Self::Rsa { n: part(object, "n", 256..=1024)?, e: part(object, "e", 1..=8)? }),
            _ => Err(JoseError::Key("its type or curve is not accepted")),
        }
    }

    /// The one algorithm the key is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ec { .. } => Algorithm::Es256,
            Self::Ed { .. } => Algorithm::EdDsa,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    /// The members that make up the key, and no others.
    #[must_use]
    pub fn required(&self) -> Value {
        match self {
            Self::Ec { x, y } => json!({"crv": "P-256", "kty": "EC", "x": x, "y": y}),
            Self::Ed { x } => json!({"crv": "Ed25519", "kty": "OKP", "x": x}),
            Self::Rsa { n, e } => json!({"e": e, "kty": "RSA", "n": n}),
        }
    }

    /// SHA-256 thumbprint, base64url (RFC 7638, section 3).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // All members are base64url text and fixed words: the canonical form is the one of the RFC.
        let canonical = serde_json_canonicalizer::to_vec(&self.required()).unwrap_or_default();
        encode(Digest::of(canonical).as_bytes())
    }

    /// The entry of a key set: with `kid`, `alg` and `use`.
    #[must_use]
    pub fn published(&self) -> Value {
        let mut value = self.required();
        if let Some(object) = value.as_object_mut() {
            object.insert("kid".to_owned(), self.thumbprint().into());
            object.insert("alg".to_owned(), self.algorithm().as_str().into());
            object.insert("use".to_owned(), "sig".into());
        }
        value
    }

    pub(crate) fn decoding(&self) -> Result<DecodingKey, JoseError> {
        match self {
            Self::Ec { x, y } => DecodingKey::from_ec_components(x, y),
            Self::Ed { x } => DecodingKey::from_ed_components(x),
            Self::Rsa { n, e } => DecodingKey::from_rsa_components(n, e),
        }
        .map_err(|_| JoseError::Key("it is not base64url"))
    }
}

impl Serialize for PublicJwk {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.required().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicJwk {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The keys of another issuer, by the name it gave them. Keys that are not ours to use are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jwks(Vec<(Option<String>, PublicJwk)>);

impl Jwks {
    /// Reads a key set; keys of foreign kinds and for encryption are passed over.
    ///
    /// # Errors
    /// When it is no key set.
    pub fn read(value: &Value) -> Result<Self, JoseError> {
        let keys = value.get("keys").and_then(Value::as_array).ok_or(JoseError::Json("key set"))?;
        let usable = keys.iter().take(MAX_KEYS).filter(|key| key.get("use").is_none_or(|of| of == "sig"));
        let read = usable.filter_map(|key| {
            let kid = key.get("kid").and_then(Value::as_str).map(str::to_owned);
            let jwk = PublicJwk::read(key).ok()?;
            let named = key.get("alg").and_then(Value::as_str);
            named.is_none_or(|named| named == jwk.algorithm().as_str()).then_some((kid, jwk))
        });
        Ok(Self(read.collect()))
    }

    /// The key `kid`; without a name, the only key there is.
    #[must_use]
    pub fn find(&self, kid: Option<&str>) -> Option<&PublicJwk> {
        match kid {
            Some(kid) => self.0.iter().find(|(name, _)| name.as_deref() == Some(kid)).map(|(_, key)| key),
            None if self.0.len() == 1 => self.0.first().map(|(_, key)| key),
            None => None,
        }
    }
}

fn part(
    object: &Map<String, Value>,
    name: &'static str,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<String, JoseError> {
    let text = object.get(name).and_then(Value::as_str).ok_or(JoseError::Key("a part is missing"))?;
    if text.len() > 2048 {
        return Err(JoseError::Key("a part is too long"));
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JoseError::Key("a part is not base64url"))?;
    if lengths.contains(&bytes.len()) { Ok(text.to_owned()) } else { Err(JoseError::Key("a part has a wrong length")) }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638, section 3.1.
    #[test]
    fn the_thumbprint_of_the_rfc() {
        let key = json!({"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs\
            tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI\
            SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(PublicJwk::read(&key).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn private_foreign_and_short_keys_are_refused() {
        let x = encode(&[7; 32]);
        assert!(PublicJwk::read(&json!({"kty": "OKP", "crv": "Ed25519", "x": x})).is_ok());
        for wrong in [
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "d": x}),
            json!({"kty": "OKP", "crv": "X25519", "x": x}),
            json!({"kty": "oct", "k": x}),
            json!({"kty": "EC", "crv": "P-256", "x": x}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[7; 31])}),
            json!({"kty": "RSA", "n": encode(&[255; 128]), "e": "AQAB"}),
            json!("text"),
        ] {
            assert!(PublicJwk::read(&wrong).is_err(), "{wrong}");
        }
    }
}
