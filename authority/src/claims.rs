//! What our access tokens say (RFC 9068).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stella_domain::Timestamp;

use crate::jose::JoseError;
use crate::tenants::Tenants;

/// The type of access tokens.
pub const TYPE: &str = "at+jwt";
/// Seconds an access token is good for.
pub const LIFETIME: i64 = 3600;
/// The most days an offline token is good for.
pub const MAX_OFFLINE_DAYS: i64 = 90;
/// Seconds by which clocks may differ.
pub const LEEWAY: i64 = 5;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it stands for.
    pub sub: String,
    /// For which API.
    pub aud: String,
    /// End, in seconds.
    pub exp: i64,
    /// Beginning, in seconds.
    pub nbf: i64,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// Its name.
    pub jti: String,
    /// The client it was given to.
    pub client_id: String,
    /// What it allows.
    pub scope: String,
    /// For whom it may speak.
    pub tenants: Tenants,
    /// The login it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The key it is bound to (RFC 9449, section 6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Scans a day.
    #[serde(default, rename = "maxScansPerDay", skip_serializing_if = "Option::is_none")]
    pub max_scans_per_day: Option<u32>,
}

/// The key a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Its thumbprint (RFC 7638).
    pub jkt: String,
}

/// Why a token does not hold though its signature does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// It is not signed, or not by us.
    #[error("the token is refused: {0}")]
    Jose(#[from] JoseError),
    /// A claim is missing or has another type.
    #[error("the token has no usable '{0}'")]
    Claim(&'static str),
    /// It is of another issuer, or for another API.
    #[error("the token's '{0}' is another one")]
    Other(&'static str),
    /// It is over.
    #[error("the token expired")]
    Expired,
    /// It is not good yet.
    #[error("the token is not good yet")]
    Early,
}

/// What every token has to be, ours or another issuer's.
#[derive(Debug, Clone, Copy)]
pub struct Required<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `aud`, one of them at least.
    pub audience: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// Checks issuer, audience and times of `payload` (RFC 7519, section 4.1).
///
/// # Errors
/// The first thing that is wrong.
pub fn check(payload: &Value, required: Required<'_>) -> Result<(), ClaimError> {
    if payload.get("iss").and_then(Value::as_str) != Some(required.issuer) {
        return Err(ClaimError::Other("iss"));
    }
    let for_us = match payload.get("aud") {
        Some(Value::String(audience)) => audience == required.audience,
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience == required.audience),
        _ => return Err(ClaimError::Claim("aud")),
    };
    if !for_us {
        return Err(ClaimError::Other("aud"));
    }
    let now = required.now.as_millis() as f64 / 1000.0;
    let leeway = LEEWAY as f64;
    if seconds(payload, "exp")?.ok_or(ClaimError::Claim("exp"))? + leeway <= now {
        return Err(ClaimError::Expired);
    }
    for claim in ["nbf", "iat"] {
        if seconds(payload, claim)?.is_some_and(|begin| begin - leeway > now) {
            return Err(ClaimError::Early);
        }
    }
    Ok(())
}

fn seconds(payload: &Value, claim: &'static str) -> Result<Option<f64>, ClaimError> {
    match payload.get(claim) {
        None => Ok(None),
        Some(value) => match value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds)) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(ClaimError::Claim(claim)),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn issuer_audience_and_times_are_checked_strictly() {
        let required = Required { issuer: "i", audience: "a", now: Timestamp::from_millis(1_000_000) };
        let good = json!({"iss": "i", "aud": ["b", "a"], "exp": 1001, "nbf": 1000, "iat": 999.5});
        assert_eq!(check(&good, required), Ok(()));
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            check(&changed, required).unwrap_err()
        };
        assert_eq!(with("iss", json!("j")), ClaimError::Other("iss"));
        assert_eq!(with("aud", json!("b")), ClaimError::Other("aud"));
        assert_eq!(with("aud", json!(null)), ClaimError::Claim("aud"));
        assert_eq!(with("exp", json!(995)), ClaimError::Expired);
        assert_eq!(with("exp", json!("1001")), ClaimError::Claim("exp"));
        assert_eq!(with("exp", json!(1e300)), ClaimError::Claim("exp"));
        assert_eq!(with("nbf", json!(1006)), ClaimError::Early);
        assert_eq!(with("iat", json!(-1)), ClaimError::Claim("iat"));
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove("exp");
        assert_eq!(check(&without, required), Err(ClaimError::Claim("exp")));
    }
}
