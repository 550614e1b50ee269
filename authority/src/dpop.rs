//! Proofs of possession (RFC 9449).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use stella_domain::{Digest, Hasher, Timestamp};
use url::Url;

use crate::jose::{self, JoseError, PublicJwk};

/// Seconds that a proof may be old, or early.
pub const WINDOW: i64 = 60;
/// The algorithms of proofs, as challenges name them.
pub const ALGORITHMS: &str = "ES256 EdDSA RS256";
/// The type of a proof.
const TYPE: &str = "dpop+jwt";
/// The longest `jti` that is read.
const MAX_JTI: usize = 256;

/// The request that a proof has to be for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL, as the client sees it.
    pub url: &'a Url,
    /// The token sent with it; none at the token endpoint.
    pub token: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// A proof that holds, but for whether it was seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of its key (RFC 7638).
    pub jkt: String,
    /// What is kept to know the proof again.
    pub replay: Digest,
    /// How long that has to be kept.
    pub until: Timestamp,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DpopError {
    /// It is no such JWS.
    #[error("the proof is refused: {0}")]
    Jose(#[from] JoseError),
    /// A claim is missing or has another type.
    #[error("the proof has no usable '{0}'")]
    Claim(&'static str),
    /// It is for another request.
    #[error("the proof's '{claim}' is not {wanted}")]
    Other {
        /// The claim.
        claim: &'static str,
        /// What was expected.
        wanted: String,
    },
    /// It is too old, or from the future.
    #[error("the proof's 'iat' is not within {WINDOW} seconds")]
    Time,
    /// It was used before.
    #[error("the proof was used before")]
    Replayed,
    /// The request has none, or more than one.
    #[error("exactly one DPoP header is needed")]
    Count,
}

/// Checks `proof` against the request (RFC 9449, section 4.3), all but its replay.
///
/// # Errors
/// What is wrong with it.
pub fn check(proof: &str, expected: Expected<'_>) -> Result<Proof, DpopError> {
    let parts = jose::split(proof)?;
    if parts.typ.as_deref() != Some(TYPE) {
        let got = parts.typ.unwrap_or_default().chars().take(40).collect();
        return Err(JoseError::Type { got, wanted: TYPE }.into());
    }
    let key = PublicJwk::read(parts.jwk.as_ref().ok_or(DpopError::Claim("jwk"))?)?;
    jose::verify(proof, parts.algorithm, &key)?;

    let text = |claim| parts.payload.get(claim).and_then(Value::as_str).ok_or(DpopError::Claim(claim));
    let other = |claim, wanted: &str| DpopError::Other { claim, wanted: wanted.to_owned() };
    let jti = text("jti")?;
    if jti.is_empty() || jti.len() > MAX_JTI {
        return Err(DpopError::Claim("jti"));
    }
    if text("htm")? != expected.method {
        return Err(other("htm", expected.method));
    }
    let htu = Url::parse(text("htu")?).map_err(|_| DpopError::Claim("htu"))?;
    if target(&htu) != target(expected.url) {
        return Err(other("htu", &target(expected.url)));
    }
    let iat = seconds(parts.payload.get("iat")).ok_or(DpopError::Claim("iat"))?;
    let age = expected.now.as_millis() as f64 / 1000.0 - iat;
    if age.abs() > WINDOW as f64 {
        return Err(DpopError::Time);
    }
    if let Some(token) = expected.token
        && text("ath")? != ath(token)
    {
        return Err(other("ath", "the hash of the token"));
    }
    let jkt = key.thumbprint();
    let mut replay = Hasher::new();
    replay.field(&jkt);
    replay.field(jti);
    let until = Timestamp::from_millis((iat * 1000.0) as i64).plus_seconds(WINDOW + 1);
    Ok(Proof { jkt, replay: replay.finish(), until })
}

/// The hash of a token that a proof carries (RFC 9449, section 4.2).
#[must_use]
pub fn ath(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(token).as_bytes())
}

/// A JSON number of seconds that a clock may show (RFC 7519, section 2, NumericDate).
fn seconds(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64).filter(|seconds| (0.0..1e11).contains(seconds))
}

/// A URL without query and fragment, in one spelling (RFC 3986, section 6.2.2).
fn target(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    let text = plain.as_str();
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escaped)) = rest.split_once('%') {
        normal.push_str(before);
        let byte = escaped.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => normal.push(char::from(byte)),
            Some(byte) => normal.push_str(&format!("%{byte:02X}")),
            None => normal.push('%'),
        }
        rest = if byte.is_some() { &escaped[2..] } else { escaped };
    }
    normal + rest
}

#[cfg(test)]
mod tests;
