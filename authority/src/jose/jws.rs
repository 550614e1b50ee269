//! Compact and detached signatures (RFC 7515).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::jwk::encode;
use super::{Algorithm, JoseError, MAX_TOKEN, PublicJwk, provider};
use crate::keys::PrivateKey;

/// What a compact JWS says, before anybody believes it.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its type, in lower case, without `application/`.
    pub typ: Option<String>,
    /// The name of its key.
    pub kid: Option<String>,
    /// The key it carries, as it is.
    pub jwk: Option<Value>,
    /// The payload.
    pub payload: Value,
}

/// Signs `payload` under a header with `typ` and the key's name.
///
/// # Errors
/// When the key cannot sign.
pub fn sign(key: &PrivateKey, typ: &str, payload: &[u8]) -> Result<String, JoseError> {
    let header = serde_json::json!({"alg": key.algorithm().as_str(), "kid": key.kid(), "typ": typ});
    sign_header(key, &header, payload)
}

pub(crate) fn sign_header(key: &PrivateKey, header: &Value, payload: &[u8]) -> Result<String, JoseError> {
    provider::ready();
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload));
    let signed = jsonwebtoken::crypto::sign(message.as_bytes(), key.encoding(), key.algorithm().of_library());
    Ok(format!("{message}.{}", signed.map_err(|_| JoseError::Signing)?))
}

/// Reads `token` without believing it: the shape, the header's types, the algorithm.
///
/// # Errors
/// What is wrong with it. Critical header members are refused, for none are understood (RFC 7515, section 4.1.11).
pub fn split(token: &str) -> Result<Parts, JoseError> {
    if token.len() > MAX_TOKEN {
        return Err(JoseError::TooLong);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(JoseError::Shape);
    };
    let json = |part: &str, what| -> Result<Value, JoseError> {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Shape)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| JoseError::Json(what))?;
        if value.is_object() { Ok(value) } else { Err(JoseError::Json(what)) }
    };
    let header = json(header, "header")?;
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err(JoseError::Critical);
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(JoseError::Json("header")),
    };
    let algorithm = text("alg")?.ok_or(JoseError::Json("algorithm"))?.parse()?;
    let typ = text("typ")?.map(|typ| typ.to_ascii_lowercase()).map(|typ| match typ.strip_prefix("application/") {
        Some(short) => short.to_owned(),
        None => typ,
    });
    Ok(Parts { algorithm, typ, kid: text("kid")?, jwk: header.get("jwk").cloned(), payload: json(payload, "payload")? })
}

/// Checks the signature of `token` with `key`, whose algorithm has to be the token's.
///
/// # Errors
/// When it is not one of this key.
pub fn verify(token: &str, algorithm: Algorithm, key: &PublicJwk) -> Result<(), JoseError> {
    provider::ready();
    if key.algorithm() != algorithm {
        return Err(JoseError::Key("it is for another algorithm"));
    }
    let (message, signature) = token.rsplit_once('.').ok_or(JoseError::Shape)?;
    let verified =
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.decoding()?, algorithm.of_library());
    if verified.unwrap_or(false) { Ok(()) } else { Err(JoseError::Signature) }
}

/// Takes the payload out of a compact JWS (RFC 7515, appendix F).
#[must_use]
pub fn detach(token: &str) -> String {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(_), Some(signature)) => format!("{header}..{signature}"),
        _ => String::new(),
    }
}

/// Puts `payload` back into a detached JWS.
///
/// # Errors
/// When `detached` is none.
pub fn reattach(detached: &str, payload: &[u8]) -> Result<String, JoseError> {
    let (header, signature) = detached.trim().split_once("..").ok_or(JoseError::Shape)?;
    if header.len() > MAX_TOKEN || signature.len() > MAX_TOKEN {
        return Err(JoseError::TooLong);
    }
    Ok(format!("{header}.{}.{signature}", encode(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: Algorithm) -> PrivateKey {
        PrivateKey::generate(algorithm).unwrap()
    }

    #[test]
    fn what_is_signed_verifies_and_a_changed_byte_does_not() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let key = key(algorithm);
            let token = sign(&key, "at+jwt", br#"{"sub":"a"}"#).unwrap();
            let parts = split(&token).unwrap();
            assert_eq!((parts.algorithm, parts.kid.as_deref()), (algorithm, Some(key.kid())));
            assert_eq!(parts.typ.as_deref(), Some("at+jwt"));
            verify(&token, algorithm, key.public()).unwrap();
            let other = token.replacen('.', ".e", 1);
            assert!(verify(&other, algorithm, key.public()).is_err());
            assert!(verify(&token, algorithm, self::key(algorithm).public()).is_err());
        }
    }

    #[test]
    fn none_hmac_critical_members_and_odd_shapes_are_refused() {
        let with = |header: &str| format!("{}.{}.AA", encode(header.as_bytes()), encode(b"{}"));
        assert_eq!(split(&with(r#"{"alg":"none"}"#)).unwrap_err(), JoseError::Algorithm("none".to_owned()));
        assert_eq!(split(&with(r#"{"alg":"HS256"}"#)).unwrap_err(), JoseError::Algorithm("HS256".to_owned()));
        assert_eq!(split(&with(r#"{"alg":"ES256","crit":["exp"]}"#)).unwrap_err(), JoseError::Critical);
        for wrong in ["", "a", "a.b", "a.b.c.d", "é.b.c", &with("[]"), &with(r#"{"alg":7}"#), &"x".repeat(20_000)] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_of_another_kind_never_verifies() {
        let token = sign(&key(Algorithm::Es256), "at+jwt", b"{}").unwrap();
        assert!(verify(&token, Algorithm::Es256, key(Algorithm::EdDsa).public()).is_err());
    }

    #[test]
    fn a_detached_signature_is_put_together_again() {
        let key = key(Algorithm::EdDsa);
        let token = sign(&key, "revocations+json", b"{}").unwrap();
        let detached = detach(&token);
        assert_eq!(reattach(&detached, b"{}").unwrap(), token);
        assert!(verify(&reattach(&detached, b"{ }").unwrap(), Algorithm::EdDsa, key.public()).is_err());
        assert!(reattach("a.b.c", b"").is_err());
    }
}
