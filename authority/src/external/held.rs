//! Keys of the issuer that are held, and for how long they are believed.

use std::sync::Arc;

use stella_domain::Timestamp;

use crate::jose::Jwks;

/// What is known of the issuer.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: Option<(Arc<Jwks>, Timestamp)>,
    asked: Timestamp,
}

impl Held {
    /// Keys within their lifetime that hold `kid`.
    pub(super) fn good(&self, kid: Option<&str>, now: Timestamp) -> Option<Arc<Jwks>> {
        let (keys, until) = self.keys.as_ref()?;
        (*until > now && keys.find(kid).is_some()).then(|| Arc::clone(keys))
    }

    /// Keys within their lifetime and `tolerance` seconds more.
    pub(super) fn tolerated(&self, now: Timestamp, tolerance: i64) -> Option<Arc<Jwks>> {
        let (keys, until) = self.keys.as_ref()?;
        (until.plus_seconds(tolerance) > now).then(|| Arc::clone(keys))
    }

    /// Whether the last question is `pause` seconds ago.
    pub(super) fn may_ask(&self, now: Timestamp, pause: i64) -> bool {
        now.seconds_since(self.asked) >= pause
    }

    pub(super) fn put(&mut self, keys: Jwks, now: Timestamp, seconds: i64) -> Arc<Jwks> {
        let keys = Arc::new(keys);
        self.keys = Some((Arc::clone(&keys), now.plus_seconds(seconds)));
        self.asked = now;
        keys
    }

    pub(super) fn failed(&mut self, now: Timestamp) {
        self.asked = now;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_used_for_their_lifetime_and_tolerated_for_a_while() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let x = crate::jose::encode(&[7; 32]);
        let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a"}]});
        let mut held = Held::default();
        assert!(held.may_ask(at(100), 5) && held.tolerated(at(100), 600).is_none());
        held.put(Jwks::read(&jwks).unwrap(), at(100), 60);
        assert!(held.good(Some("a"), at(159)).is_some() && held.good(Some("b"), at(159)).is_none());
        assert!(held.good(None, at(159)).is_some(), "the only key needs no name");
        assert!(held.good(Some("a"), at(160)).is_none());
        assert!(held.tolerated(at(759), 600).is_some() && held.tolerated(at(760), 600).is_none());
        assert!(!held.may_ask(at(104), 5) && held.may_ask(at(105), 5));
    }
}
