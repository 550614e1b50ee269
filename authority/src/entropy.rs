//! Randomness, as something that is handed in.

use std::fmt;
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::jose::encode;

type Fill = dyn Fn(&mut [u8]) -> Result<(), NoEntropy> + Send + Sync;

/// A source of randomness. Clones share it.
#[derive(Clone)]
pub struct Entropy(Arc<Fill>);

/// The system gives no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoEntropy;

impl Entropy {
    /// The system's source, fit for keys.
    #[must_use]
    pub fn system() -> Self {
        let random = SystemRandom::new();
        Self(Arc::new(move |bytes| random.fill(bytes).map_err(|_| NoEntropy)))
    }

    /// A source that is the same each time, for replays and tests alone.
    #[must_use]
    pub fn counting() -> Self {
        let counter = std::sync::atomic::AtomicU64::new(0);
        Self(Arc::new(move |bytes| {
            let number = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let digest = stella_domain::Digest::of(number.to_be_bytes());
            bytes.iter_mut().zip(digest.as_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
            Ok(())
        }))
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// When there are none.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut bytes = [0; N];
        (self.0)(&mut bytes)?;
        Ok(bytes)
    }

    /// A secret of 256 bits, as base64url: 43 characters.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn secret(&self) -> Result<String, NoEntropy> {
        Ok(encode(&self.bytes::<32>()?))
    }

    /// A name of 128 bits that occurs once, as base64url: 22 characters.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn name(&self) -> Result<String, NoEntropy> {
        Ok(encode(&self.bytes::<16>()?))
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}
