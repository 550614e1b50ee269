//! A token of the authority in place of the one of a service account (`POST /connect/token`; RFC 7523, section 2.1).
//!
//! Who asks, and over what, is the client's business; here is what is sent, what is read, and when it is time.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The media type of [`exchange_form`].
pub const TOKEN_FORM: &str = "application/x-www-form-urlencoded";
/// The `grant_type` of assertions.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// For how long a server that gives no tokens is asked by the account's own, before it is asked for one again.
const OWN_SECONDS: u64 = 300;
/// How long a token that should be renewed is used before that is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// The form that asks for a token in place of `assertion`, with all that the account may.
#[must_use]
pub fn exchange_form(assertion: &str) -> String {
    format!("grant_type={}&assertion={}", encoded(JWT_BEARER), encoded(assertion))
}

/// Percent-encoded, but for what is unreserved (RFC 3986, section 2.3).
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What the authority gives (RFC 6749, section 5.1). Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct GivenToken {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

impl GivenToken {
    /// The account's own token, where a server gives none in its place: it looks at that one itself.
    #[must_use]
    pub fn own(assertion: &str) -> Self {
        Self { access_token: assertion.to_owned(), expires_in: OWN_SECONDS }
    }
}

impl fmt::Debug for GivenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The token that is held in place of a service account's. It is renewed when four fifths of its time are over, and when the
/// account's token is another one. Never shown by `Debug`.
#[derive(Default)]
pub struct ExchangedToken {
    held: Option<Held>,
}

struct Held {
    token: String,
    /// What it was given for.
    assertion: String,
    renew_at: Instant,
    ends_at: Instant,
}

impl ExchangedToken {
    /// The token to ask with at `now`; `None` when one has to be got for `assertion` first.
    #[must_use]
    pub fn usable(&self, assertion: &str, now: Instant) -> Option<&str> {
        let held = self.held.as_ref().filter(|held| held.assertion == assertion && now < held.renew_at)?;
        Some(&held.token)
    }

    /// Takes the token that was `given` for `assertion`, and was asked for at `asked`.
    pub fn keep(&mut self, assertion: &str, given: GivenToken, asked: Instant) -> &str {
        let lasts = Duration::from_secs(given.expires_in.min(365 * 86_400));
        let held = Held {
            token: given.access_token,
            assertion: assertion.to_owned(),
            renew_at: asked + lasts / 5 * 4,
            ends_at: asked + lasts,
        };
        &self.held.insert(held).token
    }

    /// The token to ask with while none could be got for `assertion`: the old one to its end. After a while it is tried again.
    pub fn make_do(&mut self, assertion: &str, now: Instant) -> Option<&str> {
        let held = self.held.as_mut().filter(|held| now < held.ends_at)?;
        assertion.clone_into(&mut held.assertion);
        held.renew_at = held.ends_at.min(now + TRY_AGAIN);
        Some(&held.token)
    }

    /// The server does not take the token any more.
    pub fn forget(&mut self) {
        self.held = None;
    }
}

impl fmt::Debug for ExchangedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangedToken").field("held", &self.held.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(token: &str, seconds: u64) -> GivenToken {
        let text = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds},"scope":"x"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_asked_for_is_a_form() {
        let form = exchange_form("a.b-c_d~e+/=&x");
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        assert_eq!(form, format!("{grant}&assertion=a.b-c_d~e%2B%2F%3D%26x"));
    }

    #[test]
    fn a_token_is_used_for_four_fifths_of_its_time() {
        let (mut exchanged, begun) = (ExchangedToken::default(), Instant::now());
        assert_eq!(exchanged.usable("own", begun), None);
        assert_eq!(exchanged.keep("own", given("one", 3600), begun), "one");
        assert_eq!(exchanged.usable("own", begun + 2879 * SECOND), Some("one"));
        assert_eq!(exchanged.usable("own", begun + 2880 * SECOND), None);
        assert_eq!(exchanged.usable("renewed", begun), None, "it was given for another one");
    }

    #[test]
    fn an_old_token_does_to_its_end_while_no_other_is_to_be_had() {
        let (mut exchanged, begun) = (ExchangedToken::default(), Instant::now());
        assert_eq!(exchanged.make_do("own", begun), None);
        exchanged.keep("own", given("one", 100), begun);
        let late = begun + 95 * SECOND;
        assert_eq!(exchanged.make_do("renewed", late - 10 * SECOND), Some("one"));
        assert_eq!(exchanged.usable("renewed", late - SECOND), Some("one"), "not tried again with each request");
        assert_eq!(exchanged.usable("renewed", late), None);
        assert_eq!(exchanged.make_do("renewed", late), Some("one"));
        assert_eq!(exchanged.usable("renewed", begun + 100 * SECOND), None, "never beyond its end");
        assert_eq!(exchanged.make_do("renewed", begun + 100 * SECOND), None);
    }

    #[test]
    fn a_token_that_is_not_taken_is_not_used_again() {
        let (mut exchanged, begun) = (ExchangedToken::default(), Instant::now());
        exchanged.keep("own", given("one", 100), begun);
        exchanged.forget();
        assert_eq!(exchanged.usable("own", begun), None);
        assert_eq!(exchanged.make_do("own", begun), None);
        let own = exchanged.keep("own", GivenToken::own("own"), begun).to_owned();
        assert_eq!(own, "own");
    }

    #[test]
    fn no_secret_is_shown() {
        let mut exchanged = ExchangedToken::default();
        exchanged.keep("own-secret", given("given-secret", 100), Instant::now());
        assert!(!format!("{exchanged:?} {:?}", given("given-secret", 1)).contains("secret"));
    }
}
