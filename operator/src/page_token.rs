//! Page tokens: opaque, signed, bound to the question they belong to (HTTP conventions, "Paging").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stella_attest::SigningKey;

/// Signatures of tokens must not be usable for anything else.
const PURPOSE: &str = "stella page token";

/// The token of the page after the row with this rank and id, for the question `bound`.
#[must_use]
pub fn seal(key: &SigningKey, bound: &str, rank: i64, id: &str) -> String {
    let place = format!("{rank} {id}");
    let signature = key.sign(message(bound, &place).as_bytes());
    URL_SAFE_NO_PAD.encode([&signature[..], place.as_bytes()].concat())
}

/// The place that a token names; `None` when it was not made here for the question `bound`.
#[must_use]
pub fn open(key: &SigningKey, bound: &str, token: &str) -> Option<(i64, String)> {
    if token.len() > 512 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (signature, place) = bytes.split_at_checked(key.signature_bytes())?;
    let place = std::str::from_utf8(place).ok()?;
    if !key.verifying().verifies(message(bound, place).as_bytes(), signature) {
        return None;
    }
    let (rank, id) = place.split_once(' ')?;
    Some((rank.parse().ok()?, id.to_owned()))
}

fn message(bound: &str, place: &str) -> String {
    format!("{PURPOSE}\n{bound}\n{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_own_question_only() {
        let key = SigningKey::from_seed("k", &[7; 32]);
        let token = seal(&key, "a", 12, "f1");
        assert_eq!(open(&key, "a", &token), Some((12, "f1".to_owned())));
        assert_eq!(open(&key, "b", &token), None);
        assert_eq!(open(&SigningKey::from_seed("k", &[8; 32]), "a", &token), None);
        assert_eq!(open(&key, "a", &format!("{token}A")), None);
        assert_eq!(open(&key, "a", ""), None);
    }
}
