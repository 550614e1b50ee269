//! Secrets at rest: Argon2id (RFC 9106) in the PHC string format.

use std::sync::{Arc, OnceLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::entropy::{Entropy, NoEntropy};

/// The longest secret that is looked at, in bytes.
pub const MAX_SECRET: usize = 1024;
/// Secrets hashed at a time: each takes 19 MiB and some 20 ms of a core.
const AT_A_TIME: usize = 2;
/// Secrets that may wait for it, some second's worth.
const WAITING: usize = 64;

/// Why a secret cannot be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It is empty, or longer than is read.
    #[error("a secret has 1 to {MAX_SECRET} bytes")]
    Length,
    /// There is no randomness for its salt.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// Too many others wait.
    #[error("too many secrets wait to be looked at")]
    Busy,
    /// The hash function refused.
    #[error("the secret cannot be hashed: {0}")]
    Hash(String),
}

/// Hashes and checks secrets. Clones share their limit.
#[derive(Debug, Clone)]
pub struct Hashing {
    memory: u32,
    passes: u32,
    places: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// A hash that no secret has, for whoever does not exist.
    nobody: Arc<OnceLock<String>>,
}

impl Default for Hashing {
    /// 19 MiB, two passes, one lane: the figures OWASP names for Argon2id.
    fn default() -> Self {
        Self::new(Params::DEFAULT_M_COST, Params::DEFAULT_T_COST)
    }
}

impl Hashing {
    /// With `memory` KiB and `passes`.
    #[must_use]
    pub fn new(memory: u32, passes: u32) -> Self {
        let [places, queue] = [AT_A_TIME, AT_A_TIME + WAITING].map(|size| Arc::new(Semaphore::new(size)));
        Self { memory, passes, places, queue, nobody: Arc::default() }
    }

    fn argon2(&self) -> Result<Argon2<'static>, SecretError> {
        let params =
            Params::new(self.memory, self.passes, 1, None).map_err(|error| SecretError::Hash(error.to_string()))?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    /// The PHC string of `secret`.
    ///
    /// # Errors
    /// When the secret is too long, or there is no randomness.
    pub fn hash(&self, secret: &str, entropy: &Entropy) -> Result<String, SecretError> {
        self.hash_salted(secret, &entropy.bytes::<16>()?)
    }

    fn hash_salted(&self, secret: &str, salt: &[u8]) -> Result<String, SecretError> {
        if !(1..=MAX_SECRET).contains(&secret.len()) {
            return Err(SecretError::Length);
        }
        let hash = self.argon2()?.hash_password_with_salt(secret.as_bytes(), salt);
        hash.map(|hash| hash.to_string()).map_err(|error| SecretError::Hash(error.to_string()))
    }

    /// The PHC string of `secret`, beside the event loop.
    ///
    /// # Errors
    /// As [`Hashing::hash`], and when too many others wait.
    pub async fn hash_aside(&self, secret: String, entropy: Entropy) -> Result<String, SecretError> {
        let this = self.clone();
        self.aside(move || this.hash(&secret, &entropy)).await?
    }

    /// Whether `secret` is the one of `hash`. Without a hash the answer is no, and takes as long.
    ///
    /// # Errors
    /// When too many others wait.
    pub async fn check(&self, hash: Option<String>, secret: String) -> Result<bool, SecretError> {
        let this = self.clone();
        self.aside(move || this.check_now(hash.as_deref(), &secret)).await
    }

    /// Does `work` when its turn comes. Who comes when the queue is full is sent away: strangers fill it, too.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, SecretError> {
        let waiting = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| SecretError::Busy)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| SecretError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held to the end of the work, also when nobody waits for it any more.
            drop((place, waiting));
            done
        });
        done.await.map_err(|error| SecretError::Hash(error.to_string()))
    }

    fn check_now(&self, hash: Option<&str>, secret: &str) -> bool {
        let known = hash.is_some();
        let nobody =
            self.nobody.get_or_init(|| self.hash_salted("nobody has this secret", &[0; 16]).unwrap_or_default());
        // A secret beyond the limit is never a right one; hashing a cut one keeps the time.
        let fits = secret.len() <= MAX_SECRET;
        let looked_at = if fits { secret.as_bytes() } else { &secret.as_bytes()[..MAX_SECRET] };
        let Ok(parsed) = PasswordHash::new(hash.unwrap_or(nobody)) else { return false };
        let Ok(argon2) = self.argon2() else { return false };
        argon2.verify_password(looked_at, &parsed).is_ok() && known && fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_secret_of_somebody_passes() {
        let hashing = Hashing::new(64, 1);
        let hash = hashing.hash("correct horse", &Entropy::counting()).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, hashing.hash("correct horse", &Entropy::system()).unwrap());
        assert!(hashing.check(Some(hash.clone()), "correct horse".to_owned()).await.unwrap());
        assert!(!hashing.check(Some(hash.clone()), "wrong".to_owned()).await.unwrap());
        assert!(!hashing.check(None, "nobody has this secret".to_owned()).await.unwrap());
        assert!(!hashing.check(Some("no hash".to_owned()), "x".to_owned()).await.unwrap());
        assert!(!hashing.check(Some(hash), "x".repeat(MAX_SECRET + 1)).await.unwrap());
        assert_eq!(hashing.hash("", &Entropy::system()), Err(SecretError::Length));
    }

    #[tokio::test]
    async fn who_comes_when_the_queue_is_full_is_sent_away() {
        let hashing = Hashing::new(4096, 4);
        let tries = (0..200).map(|_| hashing.check(None, "x".to_owned()));
        let answers = futures::future::join_all(tries).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Ok(false)).count(), AT_A_TIME + WAITING);
        assert_eq!(
            answers.iter().filter(|answer| **answer == Err(SecretError::Busy)).count(),
            200 - AT_A_TIME - WAITING
        );
        assert_eq!(hashing.check(None, "x".to_owned()).await, Ok(false), "places come back");
    }

    #[test]
    fn the_defaults_are_those_of_the_spec() {
        let hash = Hashing::default().hash("correct horse", &Entropy::counting()).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    }
}
