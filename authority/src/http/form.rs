//! Reading bodies and HTTP Basic.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::LIMIT;
use super::answer::Problem;
use crate::grant::{Code, GrantError, TokenRequest};

/// The most fields of a form.
const MAX_FIELDS: usize = 50;

fn invalid(description: &str) -> GrantError {
    GrantError::new(Code::InvalidRequest, description)
}

async fn bytes(body: Body) -> Option<Bytes> {
    to_bytes(body, LIMIT).await.ok()
}

fn is_kind(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// What a client sent to the token endpoint.
pub(super) async fn token_request(headers: &HeaderMap, body: Body) -> Result<TokenRequest, GrantError> {
    if !is_kind(headers, "application/x-www-form-urlencoded") {
        return Err(invalid("the body has to be application/x-www-form-urlencoded"));
    }
    let body = bytes(body).await.ok_or_else(|| invalid("the body is too long"))?;
    let mut form = BTreeMap::new();
    for (at, (name, value)) in form_urlencoded::parse(&body).enumerate() {
        if at >= MAX_FIELDS {
            return Err(invalid("there are too many fields"));
        }
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(invalid("a field is there twice"));
        }
    }
    Ok(TokenRequest { form, basic: basic(headers)? })
}

/// The client of HTTP Basic (RFC 6749, section 2.3.1: both parts are form-encoded).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, GrantError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let wrong = || GrantError::new(Code::InvalidClient, "the Authorization header is no HTTP Basic");
    let text = value.to_str().map_err(|_| wrong())?;
    let (scheme, encoded) = text.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") || headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return Err(wrong());
    }
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(wrong)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(wrong)?;
    Ok(Some((plain(id), plain(secret))))
}

fn plain(text: &str) -> String {
    let field = format!("v={}", text.replace('&', "%26"));
    form_urlencoded::parse(field.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A JSON body.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let body = bytes(body).await.ok_or_else(|| Problem::of(413, "payload-too-large", "the body is too long"))?;
    // Nothing at all is an object without members.
    if body.is_empty() {
        return serde_json::from_str("{}").map_err(|error| Problem::field("$", error.to_string()));
    }
    if !is_kind(headers, "application/json") {
        return Err(Problem::of(415, "unsupported-media-type", "the body has to be application/json"));
    }
    serde_json::from_slice(&body).map_err(|error| Problem::field("$", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_read_as_the_rfc_writes_it() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, text.parse().unwrap());
            basic(&headers)
        };
        let encoded = STANDARD.encode("a%2Bb:c+d%3A&e=f");
        assert_eq!(of(&format!("Basic {encoded}")).unwrap(), Some(("a+b".to_owned(), "c d:&e=f".to_owned())));
        assert_eq!(of("Basic !!").unwrap_err().code, Code::InvalidClient);
        assert_eq!(of("Bearer x").unwrap_err().code, Code::InvalidClient);
    }

    #[tokio::test]
    async fn odd_forms_are_invalid_requests() {
        let mut headers = HeaderMap::new();
        let twice = || Body::from("grant_type=password&grant_type=password");
        assert!(token_request(&headers, twice()).await.is_err());
        headers.insert(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8".parse().unwrap());
        assert_eq!(token_request(&headers, twice()).await.unwrap_err().code, Code::InvalidRequest);
        assert!(token_request(&headers, Body::from("x".repeat(LIMIT + 1))).await.is_err());
        let form = token_request(&headers, Body::from("grant_type=password&scope=a+b")).await.unwrap().form;
        assert_eq!(form["scope"], "a b");
    }
}
