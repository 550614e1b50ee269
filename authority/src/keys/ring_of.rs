//! The keys in use: one that signs, and those that only verify any more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stella_domain::Timestamp;

use super::PrivateKey;
use crate::jose::{self, JoseError, Parts, PublicJwk};

/// A key that signs no more, and verifies what it signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retired {
    /// Its public half.
    pub key: PublicJwk,
    /// When every token it signed has expired.
    pub until: Timestamp,
}

/// The keys of the authority at one moment.
#[derive(Debug, Clone)]
pub struct KeyRing {
    active: Arc<PrivateKey>,
    retired: Vec<Retired>,
}

impl KeyRing {
    /// A ring of `active` and keys that were active before.
    #[must_use]
    pub fn new(active: PrivateKey, retired: Vec<Retired>) -> Self {
        Self { active: Arc::new(active), retired }
    }

    /// The key that signs.
    #[must_use]
    pub fn active(&self) -> &PrivateKey {
        &self.active
    }

    /// Keys that still verify at `now`.
    pub fn retired(&self, now: Timestamp) -> impl Iterator<Item = &Retired> {
        self.retired.iter().filter(move |retired| retired.until > now)
    }

    /// The ring after `next` took over; the key before verifies until `until`.
    #[must_use]
    pub fn rotated(&self, next: PrivateKey, now: Timestamp, until: Timestamp) -> Self {
        let mut retired: Vec<Retired> = self
            .retired(now)
            .filter(|old| old.key != *next.public() && old.key != *self.active.public())
            .cloned()
            .collect();
        if next.public() != self.active.public() {
            retired.push(Retired { key: self.active.public().clone(), until });
        }
        Self { active: Arc::new(next), retired }
    }

    /// The public key `kid`, when it verifies at `now`.
    #[must_use]
    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&PublicJwk> {
        if self.active.kid() == kid {
            return Some(self.active.public());
        }
        self.retired(now).map(|retired| &retired.key).find(|key| key.thumbprint() == kid)
    }

    /// Reads `token` and checks that one of these keys signed it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Parts, JoseError> {
        let parts = jose::split(token)?;
        let kid = parts.kid.as_deref().unwrap_or_default();
        let key = self.find(kid, now).ok_or_else(|| JoseError::UnknownKey(kid.chars().take(64).collect()))?;
        jose::verify(token, parts.algorithm, key)?;
        Ok(parts)
    }

    /// The key set of `/jwks` (RFC 7517, section 5): the active key first.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> Value {
        let keys = std::iter::once(self.active.public()).chain(self.retired(now).map(|retired| &retired.key));
        json!({"keys": keys.map(PublicJwk::published).collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::Algorithm;

    #[test]
    fn a_retired_key_verifies_until_its_tokens_have_expired() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let first = PrivateKey::generate(Algorithm::Es256).unwrap();
        let token = jose::sign(&first, "at+jwt", b"{}").unwrap();
        let ring = KeyRing::new(first.clone(), Vec::new());
        let ring = ring.rotated(PrivateKey::generate(Algorithm::EdDsa).unwrap(), at(0), at(100));
        assert!(ring.verify(&token, at(99)).is_ok());
        assert!(matches!(ring.verify(&token, at(100)), Err(JoseError::UnknownKey(_))));
        assert_eq!(ring.jwks(at(99))["keys"].as_array().unwrap().len(), 2);
        assert_eq!(ring.jwks(at(100))["keys"].as_array().unwrap().len(), 1);
        let back = ring.rotated(first.clone(), at(10), at(200));
        assert_eq!(back.active().kid(), first.kid());
        assert!(back.retired(at(11)).all(|retired| retired.key != *first.public()));
    }
}
