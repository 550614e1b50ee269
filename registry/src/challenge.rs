//! What a registry asks for (RFC 9110, section 11.6.1; distribution's token authentication).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Bytes of all challenges of an answer that are looked at.
const LONGEST: usize = 8 << 10;

/// A way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With a token of the token service at `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// With user and password.
    Basic,
}

/// The best of the challenges of an answer: a token before a password.
pub(crate) fn of(headers: &HeaderMap) -> Option<Challenge> {
    let mut left = LONGEST;
    let mut found = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        let Some(rest) = left.checked_sub(text.len()) else { break };
        left = rest;
        for (scheme, parameters) in parse(text) {
            match known(&scheme, parameters) {
                Some(bearer @ Challenge::Bearer { .. }) => return Some(bearer),
                Some(Challenge::Basic) => found = Some(Challenge::Basic),
                None => {}
            }
        }
    }
    found
}

fn known(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    let take = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "bearer" => Some(Challenge::Bearer { realm: take("realm")?, service: take("service"), scope: take("scope") }),
        "basic" => Some(Challenge::Basic),
        _ => None,
    }
}

/// Schemes and their parameters, names in lower case. What does not fit the grammar is passed over.
fn parse(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            // Something that is none of ours: go on behind it.
            let mut characters = rest.chars();
            if characters.next().is_none() {
                return found;
            }
            rest = characters.as_str();
            continue;
        }
        let word = word.to_ascii_lowercase();
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word, value));
                }
                rest = after;
            }
            None => {
                found.push((word, Vec::new()));
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    text.split_at(text.bytes().position(|byte| !of_token(byte)).unwrap_or(text.len()))
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        // Unquoted values are tokens; a URL that somebody forgot to quote ends at the comma all the same.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn challenges_of_real_registries() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull""#;
        let expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:library/debian:pull"));
        assert_eq!(asked(&[hub]), expected);
        assert_eq!(asked(&[r#"Basic realm="Registry Realm""#]), Some(Challenge::Basic));
        assert_eq!(asked(&["BASIC"]), Some(Challenge::Basic));
        assert_eq!(asked(&["Bearer realm=https://a/token,service=b"]), bearer("https://a/token", Some("b"), None));
    }

    #[test]
    fn a_token_goes_before_a_password() {
        let token = bearer("https://a/t", None, None);
        for values in [
            &[r#"Basic realm="x", Bearer realm="https://a/t""#] as &[&str],
            &[r#"Bearer realm="https://a/t", Basic realm="x""#],
            &["Basic", r#"bearer Realm = "https://a/t""#],
            &["Negotiate YWJj==", r#"Bearer realm="https://a/t""#],
            &[r#"Negotiate YWJj==, Bearer realm="https://a/t""#],
        ] {
            assert_eq!(asked(values), token, "{values:?}");
        }
    }

    #[test]
    fn quotes_keep_commas_and_backslashes_keep_quotes() {
        let text = r#"Bearer realm="https://a/t",scope="repository:a:pull,push",service="s \"x\"""#;
        assert_eq!(asked(&[text]), bearer("https://a/t", Some("s \"x\""), Some("repository:a:pull,push")));
    }

    #[test]
    fn what_is_none_is_none() {
        for text in ["", "Bearer", "Bearer service=\"x\"", "Digest realm=\"x\"", "=,=", "\"Basic"] {
            assert!(asked(&[text]).is_none_or(|found| text.contains("Basic") && found == Challenge::Basic), "{text}");
        }
        assert_eq!(asked(&[&format!("Bearer realm=\"{}\"", "x".repeat(LONGEST))]), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_nor_runs_on(text: String) {
            let _ = parse(&text);
        }
    }
}
