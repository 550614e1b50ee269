//! Docker's `config.json`, which is also a pull secret's `.dockerconfigjson`, and the older `.dockercfg`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::{Credential, CredentialsError, Secret};

/// Bytes of a document; a Secret of Kubernetes ends there, too.
const LONGEST: usize = 1 << 20;
/// Entries.
const MOST: usize = 1_000;
const CONFIG: &str = "docker config";
const LEGACY: &str = ".dockercfg";

/// Some tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What such a document says about credentials; the rest of it is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerConfig {
    /// By key: a host, with scheme and path or without.
    pub logins: Vec<Login>,
    /// Credential helpers by host.
    pub helpers: BTreeMap<String, String>,
    /// The helper for all other hosts.
    pub store: Option<String>,
}

/// One entry of `auths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// What it is for.
    pub key: String,
    /// Who we are there.
    pub credential: Credential,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity: Option<String>,
    #[serde(default, rename = "registrytoken")]
    token: Option<String>,
}

impl DockerConfig {
    /// Reads `config.json` or the bytes of `.dockerconfigjson`.
    ///
    /// # Errors
    /// [`CredentialsError`] naming the entry, or the line when it is not JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, CredentialsError> {
        let document: Document = json(CONFIG, bytes)?;
        let helpers = document.helpers.unwrap_or_default();
        if helpers.len() > MOST {
            return Err(CredentialsError::TooLarge { what: CONFIG, max: MOST, unit: "helpers" });
        }
        let store = document.store.filter(|name| !name.is_empty());
        for (key, name) in helpers.iter().map(|(key, name)| (key.as_str(), name)).chain(store.iter().map(|n| ("", n))) {
            if !is_helper(name) {
                return Err(wrong(
                    CONFIG,
                    key,
                    "the name of the credential helper has other characters than letters, digits, '.', '_' and '-'",
                ));
            }
        }
        Ok(Self { logins: logins(CONFIG, document.auths.unwrap_or_default())?, helpers, store })
    }

    /// Reads the bytes of `.dockercfg`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_legacy(bytes: &[u8]) -> Result<Self, CredentialsError> {
        Ok(Self { logins: logins(LEGACY, json(LEGACY, bytes)?)?, ..Self::default() })
    }
}

/// Parser's messages quote what they stumble over, so only the place is told.
fn json<T: for<'de> Deserialize<'de>>(what: &'static str, bytes: &[u8]) -> Result<T, CredentialsError> {
    if bytes.len() > LONGEST {
        return Err(CredentialsError::TooLarge { what, max: LONGEST, unit: "bytes" });
    }
    serde_json::from_slice(bytes).map_err(|error| CredentialsError::Malformed {
        what,
        line: error.line(),
        column: error.column(),
    })
}

fn wrong(what: &'static str, key: &str, reason: &'static str) -> CredentialsError {
    CredentialsError::Entry { what, key: key.chars().take(200).collect(), reason }
}

fn logins(what: &'static str, auths: BTreeMap<String, Entry>) -> Result<Vec<Login>, CredentialsError> {
    if auths.len() > MOST {
        return Err(CredentialsError::TooLarge { what, max: MOST, unit: "entries" });
    }
    let mut found = Vec::new();
    for (key, entry) in auths {
        if let Some(credential) = credential(entry).map_err(|reason| wrong(what, &key, reason))? {
            found.push(Login { key, credential });
        }
    }
    Ok(found)
}

/// An entry without anything is a note that a helper has it.
fn credential(entry: Entry) -> Result<Option<Credential>, &'static str> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(token) = filled(entry.token) {
        return safe(&token).map(|()| Some(Credential::Token(Secret(token))));
    }
    if let Some(token) = filled(entry.identity) {
        return safe(&token).map(|()| Some(Credential::Identity(Secret(token))));
    }
    let (username, password) = match filled(entry.auth) {
        Some(auth) => {
            let bytes = BASE64.decode(auth.trim()).map_err(|_| "auth is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "auth is not UTF-8")?;
            let (username, password) = text.split_once(':').ok_or("auth is not user:password")?;
            // Old clients padded with NUL.
            (username.to_owned(), password.trim_end_matches('\0').to_owned())
        }
        None => match (filled(entry.username), filled(entry.password)) {
            (Some(username), Some(password)) => (username, password),
            (None, None) => return Ok(None),
            _ => return Err("user and password belong together"),
        },
    };
    if username.is_empty() || username.contains(':') {
        return Err("a user is not empty and has no ':'");
    }
    safe(&username)?;
    safe(&password)?;
    Ok(Some(Credential::Basic { username, password: Secret(password) }))
}

fn safe(text: &str) -> Result<(), &'static str> {
    if text.chars().any(char::is_control) { Err("a control character") } else { Ok(()) }
}

/// It becomes the name of a program.
fn is_helper(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic { username: username.to_owned(), password: Secret(password.to_owned()) }
    }

    fn parsed(text: &str) -> Vec<(String, Credential)> {
        let found = DockerConfig::parse(text.as_bytes()).unwrap();
        found.logins.into_iter().map(|login| (login.key, login.credential)).collect()
    }

    #[test]
    fn every_spelling_of_a_login_is_read() {
        let found = parsed(
            r#"{"auths":{
                "a.example":{"auth":"dXNlcjpwYTpzcw=="},
                "b.example":{"auth":"dXNlcjpwYTpzcw"},
                "c.example":{"username":"user","password":"pass","email":"x@y"},
                "d.example":{"auth":"PHRva2VuPjo=","identitytoken":"refresh"},
                "e.example":{"registrytoken":"token"},
                "f.example":{},
                "g.example":{"auth":"","username":"user","password":"pass"},
                "h.example":{"auth":"dXNlcjpwYXNzAAA="}},
               "HttpHeaders":{"X":"y"},"credsStore":"","psFormat":"table"}"#,
        );
        let expected = [
            ("a.example", basic("user", "pa:ss")),
            ("b.example", basic("user", "pa:ss")),
            ("c.example", basic("user", "pass")),
            ("d.example", Credential::Identity(Secret("refresh".into()))),
            ("e.example", Credential::Token(Secret("token".into()))),
            ("g.example", basic("user", "pass")),
            ("h.example", basic("user", "pass")),
        ];
        assert_eq!(found, expected.map(|(key, credential)| (key.to_owned(), credential)));
    }

    #[test]
    fn helpers_are_named() {
        let found = DockerConfig::parse(br#"{"credHelpers":{"x.example":"ecr-login"},"credsStore":"pass"}"#).unwrap();
        assert_eq!(found.helpers["x.example"], "ecr-login");
        assert_eq!(found.store.as_deref(), Some("pass"));
        for name in ["../evil", "a b", "a/b", ".", "a;b"] {
            let text = format!(r#"{{"credHelpers":{{"x.example":"{name}"}}}}"#);
            assert!(matches!(DockerConfig::parse(text.as_bytes()), Err(CredentialsError::Entry { .. })), "{name}");
        }
    }

    #[test]
    fn the_legacy_form_has_no_auths() {
        let bytes = br#"{"https://index.docker.io/v1/":{"username":"user","password":"pass","email":"e","auth":"dXNlcjpwYXNz"}}"#;
        let found = DockerConfig::parse_legacy(bytes).unwrap();
        assert_eq!(
            found.logins,
            [Login { key: "https://index.docker.io/v1/".into(), credential: basic("user", "pass") }]
        );
    }

    #[test]
    fn errors_name_the_place_and_never_the_secret() {
        for (text, words) in [
            (r#"{"auths":{"a.example":{"auth":"geheim!"}}}"#, "entry 'a.example': auth is not base64"),
            (r#"{"auths":{"a.example":{"auth":"Z2VoZWlt"}}}"#, "not user:password"),
            (r#"{"auths":{"a.example":{"username":"geheim"}}}"#, "belong together"),
            (r#"{"auths":{"a.example":{"username":"u","password":"geheim\n"}}}"#, "control character"),
            (r#"{"auths":{"a.example":"geheim"}}"#, "line 1"),
            (r#"{"auths":{"a.example":{"password":["geheim"]}}}"#, "line 1"),
            ("\n{\"auths\": geheim", "line 2"),
        ] {
            let error = DockerConfig::parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        }
        let shown = format!("{:?}", basic("user", "geheim"));
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(matches!(DockerConfig::parse(&vec![b' '; LONGEST + 1]), Err(CredentialsError::TooLarge { .. })));
        let entries: Vec<String> = (0..=MOST).map(|n| format!(r#""h{n}":{{}}"#)).collect();
        let text = format!("{{{}}}", entries.join(","));
        assert!(matches!(DockerConfig::parse_legacy(text.as_bytes()), Err(CredentialsError::TooLarge { .. })));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = DockerConfig::parse(&bytes);
            let _ = DockerConfig::parse_legacy(&bytes);
        }

        #[test]
        fn any_entry_gives_a_login_or_an_error(auth in "[A-Za-z0-9+/=]{0,40}", username: String, password: String) {
            let text = serde_json::json!({"auths": {"h": {"auth": auth, "username": username, "password": password}}});
            let _ = DockerConfig::parse(text.to_string().as_bytes());
        }
    }
}
