//! Tokens of ours whose signature held: whoever asks often costs one check of it, and one reading of the token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stella_domain::Digest;

use crate::jose::Parts;

/// Tokens of a generation; there are two, of some 2 KiB a token.
const GENERATION: usize = 2048;

/// Tokens by the digest of all their bytes, the signature among them. Nothing here says that a token still holds: its key, its
/// times and revocations are looked at each time.
#[derive(Debug, Default)]
pub(crate) struct Proven(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Digest, Arc<Parts>>,
    old: HashMap<Digest, Arc<Parts>>,
}

impl Proven {
    /// What `token` says, when its signature held before.
    pub(crate) fn get(&self, token: &str) -> Option<Arc<Parts>> {
        let digest = Digest::of(token);
        let mut held = self.lock();
        if let Some(parts) = held.young.get(&digest) {
            return Some(Arc::clone(parts));
        }
        let parts = held.old.remove(&digest)?;
        held.keep(digest, Arc::clone(&parts));
        Some(parts)
    }

    /// Notes that the signature of `token` held. Tokens nobody showed for longest are forgotten.
    pub(crate) fn put(&self, token: &str, parts: &Arc<Parts>) {
        self.lock().keep(Digest::of(token), Arc::clone(parts));
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, digest: Digest, parts: Arc<Parts>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{self, Algorithm};
    use crate::keys::PrivateKey;

    #[test]
    fn a_token_in_use_is_remembered_and_the_others_go() {
        let key = PrivateKey::generate(Algorithm::EdDsa).unwrap();
        let token = jose::sign(&key, "at+jwt", br#"{"sub":"a"}"#).unwrap();
        let parts = Arc::new(jose::split(&token).unwrap());
        let proven = Proven::default();
        proven.put(&token, &parts);
        for other in 0..3 * GENERATION {
            proven.put(&format!("{other}"), &parts);
            assert!(proven.get(&token).is_some(), "after {other} others");
        }
        assert!(proven.get("0").is_none());
        assert!(proven.get(&token[..token.len() - 1]).is_none(), "another signature is another token");
        let held = proven.lock();
        assert!(held.young.len() <= GENERATION && held.old.len() <= GENERATION);
    }
}
