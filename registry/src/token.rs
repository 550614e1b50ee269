//! Tokens of a registry's token service (distribution, "Token Authentication Specification" and its OAuth 2 form).

use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::credentials::Credential;
use crate::document::{read_at_most, status_of};
use crate::error::{RequestError, is_passing_status};
use crate::transport::{Question, Transport, authority};

/// Bytes of an answer.
const LONGEST: u64 = 1 << 20;
/// Bytes of a realm.
const LONGEST_REALM: usize = 2 << 10;
/// What a token service knows us as.
const CLIENT: &str = "stella";

/// What a token is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant<'a> {
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
    pub(crate) scope: &'a str,
    /// Whether the registry itself is spoken to by plain HTTP.
    pub(crate) plain: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// A token, as the value of `Authorization`; none when the service does not accept the credential.
pub(crate) async fn fetch(
    transport: &Transport,
    grant: Grant<'_>,
    credential: Option<&Credential>,
) -> Result<Option<HeaderValue>, RequestError> {
    let realm = realm(transport, grant)?;
    let host = authority(&realm);
    let response = match credential {
        Some(Credential::Identity(token)) => {
            let mut fields = vec![("grant_type", "refresh_token"), ("client_id", CLIENT), ("scope", grant.scope)];
            fields.extend(grant.service.map(|service| ("service", service)));
            fields.push(("refresh_token", token.reveal()));
            transport.post(&realm, form(&fields)).await?
        }
        _ => {
            let mut url = realm;
            url.query_pairs_mut().extend_pairs(grant.service.map(|service| ("service", service)));
            url.query_pairs_mut().append_pair("scope", grant.scope);
            let authorization = match credential {
                Some(Credential::Basic { username, password }) => Some(basic(username, password.reveal())?),
                _ => None,
            };
            let question =
                Question { head: false, url: &url, accept: None, from: None, authorization: authorization.as_ref() };
            transport.get(question).await?.response
        }
    };
    let failed = |reason: String, passing| RequestError::Token { host: host.clone(), reason, passing };
    match response.status().as_u16() {
        200 => {}
        400 | 401 | 403 if credential.is_some() => return Ok(None),
        401 | 403 => return Ok(None),
        status if is_passing_status(status) => return Err(status_of(response).await),
        status => return Err(failed(format!("HTTP {status}"), false)),
    }
    let bytes = read_at_most(response, LONGEST, &transport.limits).await?;
    // The parser's messages quote what they stumble over.
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|_| failed("not the JSON it should be".into(), false))?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token).unwrap_or_default();
    if token.is_empty() {
        return Err(failed("an answer without a token".into(), false));
    }
    bearer(&token).map(Some).map_err(|_| failed("a token that fits into no header".into(), false))
}

/// Secrets go to a token service by TLS only, unless the registry itself is spoken to without.
fn realm(transport: &Transport, grant: Grant<'_>) -> Result<Url, RequestError> {
    let refused = |reason| RequestError::Challenge { reason };
    if grant.realm.len() > LONGEST_REALM {
        return Err(refused("the URL of the token service is too long"));
    }
    let url: Url = grant.realm.parse().map_err(|_| refused("the token service has no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("the URL of the token service brings credentials"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if grant.plain || transport.is_insecure(&authority(&url)) => Ok(url),
        "http" => Err(refused("the token service is reached by plain HTTP, the registry by TLS")),
        _ => Err(refused("the token service is not reached by HTTP")),
    }
}

/// `Authorization: Basic` (RFC 7617).
pub(crate) fn basic(username: &str, password: &str) -> Result<HeaderValue, RequestError> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    hidden(format!("Basic {text}"))
}

/// `Authorization: Bearer` (RFC 6750).
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, RequestError> {
    hidden(format!("Bearer {token}"))
}

fn hidden(text: String) -> Result<HeaderValue, RequestError> {
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| RequestError::Challenge { reason: "the credential fits into no header" })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("form:") else { return String::new() };
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form(&[("a", "x y&z"), ("b", "é")]), "a=x+y%26z&b=%C3%A9");
    }

    #[test]
    fn a_token_service_without_tls_is_for_registries_without_tls() {
        // The provider may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registries = crate::Registries::default().with_insecure(&["open.example:5001".to_owned()]);
        let transport = Transport::new(&registries, crate::Limits::default()).unwrap();
        let ask = |url: &str, plain| {
            let grant = Grant { realm: url, service: None, scope: "repository:a:pull", plain };
            realm(&transport, grant).map(String::from)
        };
        assert!(ask("https://auth.example/token", false).is_ok());
        assert!(ask("http://auth.example/token", true).is_ok());
        assert!(ask("http://open.example:5001/token", false).is_ok());
        let long = format!("https://auth.example/{}", "x".repeat(LONGEST_REALM));
        for url in ["http://auth.example/token", "file:///etc/passwd", "https://u:p@auth.example/", "token", &long] {
            assert!(matches!(ask(url, false), Err(RequestError::Challenge { .. })), "{url}");
        }
    }

    #[test]
    fn authorizations_are_marked_as_secret() {
        let value = basic("user", "pa:ss").unwrap();
        assert_eq!(value.to_str().unwrap(), "Basic dXNlcjpwYTpzcw==");
        assert!(!format!("{value:?}").contains("dXNl"));
        assert!(bearer("a\nb").is_err());
    }
}
