//! The keys on disk, and their rotation while tokens are issued.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use stella_domain::Timestamp;

use super::file::{KeyFileError, create, load, replace_private};
use super::{KeyRing, PrivateKey, Retired};
use crate::jose::Algorithm;

/// Which key signs, by file, and what signed before.
const PLAN: &str = "ring.json";
/// Seconds between two looks at the plan for a key that is not known: another replica may have rotated.
const LOOK_AGAIN: i64 = 2;

/// Why keys cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// A key file is not usable.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The folder or its plan is not usable.
    #[error("keys in '{path}': {error}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The plan cannot be read.
    #[error("'{path}' is no plan of keys: {reason}")]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plan {
    active: Place,
    #[serde(default)]
    retired: Vec<Retired>,
}

/// Where a private key lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Place {
    path: PathBuf,
    #[serde(default)]
    secret: bool,
}

/// A key that is to sign.
#[derive(Debug)]
pub struct Next {
    place: Place,
    key: PrivateKey,
}

impl Next {
    /// Its name.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.key.kid()
    }
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// The key that signs now.
    pub active_kid: String,
    /// The key that signed before.
    pub previous_kid: String,
    /// Every key that only verifies, in order of their end.
    pub retired: Vec<RetiredKey>,
}

/// A key that only verifies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetiredKey {
    /// Until when.
    pub until: Timestamp,
    /// Its name.
    pub kid: String,
}

/// The keys of a folder. Clones share them.
#[derive(Debug, Clone)]
pub struct KeyStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    ring: RwLock<KeyRing>,
    looked: Mutex<Timestamp>,
}

impl KeyStore {
    /// Opens the keys in `folder`; at the first start makes one of `algorithm`.
    ///
    /// # Errors
    /// When the folder, a key or the plan is not usable.
    pub fn open(folder: &Path, algorithm: Algorithm) -> Result<Self, KeyStoreError> {
        fs::create_dir_all(folder).map_err(|error| KeyStoreError::Io { path: folder.to_owned(), error })?;
        if !folder.join(PLAN).exists() {
            let path = folder.join(format!("signing-{}.pem", algorithm.as_str().to_ascii_lowercase()));
            // Two replicas may start together: whoever is second takes the first one's key.
            let key = match create(&path, algorithm) {
                Err(KeyFileError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
                    load(&path, false)?
                }
                made => made?,
            };
            write(folder, &Plan { active: Place { path, secret: false }, retired: Vec::new() })?;
            tracing::info!(kid = key.kid(), algorithm = algorithm.as_str(), "a key for tokens was made");
        }
        let ring = read(folder)?;
        Ok(Self(Arc::new(Inner { folder: folder.to_owned(), ring: RwLock::new(ring), looked: Mutex::default() })))
    }

    /// The keys now.
    #[must_use]
    pub fn ring(&self) -> KeyRing {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys, read again when `kid` is none of them.
    #[must_use]
    pub fn ring_with(&self, kid: &str, now: Timestamp) -> KeyRing {
        let ring = self.ring();
        if ring.find(kid, now).is_some() || !self.may_look(now) {
            return ring;
        }
        // Taken before reading, so that a rotation meanwhile is not taken back.
        let mut held = self.0.ring.write().unwrap_or_else(PoisonError::into_inner);
        match read(&self.0.folder) {
            Ok(read) => {
                held.clone_from(&read);
                read
            }
            Err(error) => {
                tracing::warn!(%error, "the keys cannot be read again");
                ring
            }
        }
    }

    fn may_look(&self, now: Timestamp) -> bool {
        let mut looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = now.seconds_since(*looked) >= LOOK_AGAIN;
        if may {
            *looked = now;
        }
        may
    }

    /// The key at `location`, or a new one of `algorithm` in the folder: what [`KeyStore::put`] lets sign.
    ///
    /// # Errors
    /// When the key is not usable.
    pub fn prepare(
        &self,
        location: Option<(&Path, bool)>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Next, KeyStoreError> {
        let (place, key) = match location {
            Some((path, secret)) => (Place { path: path.to_owned(), secret }, load(path, secret)?),
            None => {
                let name = format!("signing-{}-{}.pem", algorithm.as_str().to_ascii_lowercase(), now.as_millis());
                let path = self.0.folder.join(name);
                let key = create(&path, algorithm)?;
                (Place { path, secret: false }, key)
            }
        };
        Ok(Next { place, key })
    }

    /// Lets the key at `location` sign from now on. Without one a key of `algorithm` is made in the folder. What the key
    /// before signed verifies until `until`.
    ///
    /// # Errors
    /// When the key is not usable, or the plan cannot be written. Then nothing changes.
    pub fn rotate(
        &self,
        location: Option<(&Path, bool)>,
        algorithm: Algorithm,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Rotated, KeyStoreError> {
        self.put(self.prepare(location, algorithm, now)?, now, until)
    }

    /// Lets `next` sign from now on. What the key before signed verifies until `until`.
    ///
    /// # Errors
    /// When the plan cannot be written. Then nothing changes.
    pub fn put(&self, next: Next, now: Timestamp, until: Timestamp) -> Result<Rotated, KeyStoreError> {
        let Next { place, key } = next;
        let mut ring = self.0.ring.write().unwrap_or_else(PoisonError::into_inner);
        // Another replica may have rotated since this one looked; its key has to verify on.
        let before = read(&self.0.folder).unwrap_or_else(|error| {
            tracing::warn!(%error, "the plan cannot be read; the keys in memory are rotated");
            ring.clone()
        });
        let previous_kid = before.active().kid().to_owned();
        let next = before.rotated(key, now, until);
        let retired: Vec<Retired> = next.retired(now).cloned().collect();
        // On disk first: a key that signs and is gone after a restart would orphan its tokens.
        write(&self.0.folder, &Plan { active: place, retired: retired.clone() })?;
        *ring = next;
        let mut retired: Vec<_> =
            retired.iter().map(|old| RetiredKey { until: old.until, kid: old.key.thumbprint() }).collect();
        retired.sort();
        Ok(Rotated { active_kid: ring.active().kid().to_owned(), previous_kid, retired })
    }
}

fn read(folder: &Path) -> Result<KeyRing, KeyStoreError> {
    let path = folder.join(PLAN);
    let bytes = fs::read(&path).map_err(|error| KeyStoreError::Io { path: path.clone(), error })?;
    let plan: Plan = serde_json::from_slice(&bytes)
        .map_err(|error| KeyStoreError::Plan { path: path.clone(), reason: error.to_string() })?;
    Ok(KeyRing::new(load(&plan.active.path, plan.active.secret)?, plan.retired))
}

fn write(folder: &Path, plan: &Plan) -> Result<(), KeyStoreError> {
    let path = folder.join(PLAN);
    let bytes = serde_json::to_vec_pretty(plan)
        .map_err(|error| KeyStoreError::Plan { path: path.clone(), reason: error.to_string() })?;
    replace_private(&path, &bytes).map_err(|error| KeyStoreError::Io { path, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose;

    #[test]
    fn keys_rotate_without_a_restart_and_survive_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let keys = KeyStore::open(folder.path(), Algorithm::Es256).unwrap();
        let old = keys.ring();
        let token = jose::sign(old.active(), "at+jwt", b"{}").unwrap();
        let other = KeyStore::open(folder.path(), Algorithm::Es256).unwrap();
        let done = keys.rotate(None, Algorithm::EdDsa, at(10), at(100)).unwrap();
        assert_eq!(done.previous_kid, old.active().kid());
        assert_eq!(done.retired, [RetiredKey { until: at(100), kid: old.active().kid().to_owned() }]);
        assert!(keys.ring().verify(&token, at(99)).is_ok() && keys.ring().verify(&token, at(101)).is_err());

        let new = jose::sign(keys.ring().active(), "at+jwt", b"{}").unwrap();
        assert!(other.ring().verify(&new, at(20)).is_err());
        assert!(other.ring_with(&done.active_kid, at(20)).verify(&new, at(20)).is_ok(), "another replica looks again");

        let again = KeyStore::open(folder.path(), Algorithm::Es256).unwrap();
        assert_eq!(again.ring().active().kid(), done.active_kid);
        assert!(again.ring().verify(&token, at(99)).is_ok());
    }

    #[test]
    fn a_replica_that_has_not_looked_rotates_nobodys_key_away() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let [a, b] = [(); 2].map(|()| KeyStore::open(folder.path(), Algorithm::Es256).unwrap());
        let of_a = a.rotate(None, Algorithm::EdDsa, at(10), at(100)).unwrap();
        let token = jose::sign(a.ring().active(), "at+jwt", b"{}").unwrap();
        let of_b = b.rotate(None, Algorithm::EdDsa, at(11), at(100)).unwrap();
        assert_eq!(of_b.previous_kid, of_a.active_kid);
        assert!(b.ring().verify(&token, at(50)).is_ok(), "what the other one signed verifies");
    }

    #[test]
    fn a_key_is_taken_from_where_it_lies_and_one_that_is_none_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyStore::open(folder.path(), Algorithm::Es256).unwrap();
        let path = folder.path().join("next.pem");
        let next = create(&path, Algorithm::EdDsa).unwrap();
        let (now, until) = (Timestamp::from_millis(0), Timestamp::from_millis(1));
        let broken = folder.path().join("broken.pem");
        super::super::write_private(&broken, b"no key").unwrap();
        assert!(keys.rotate(Some((&broken, false)), Algorithm::Es256, now, until).is_err());
        assert_ne!(keys.ring().active().kid(), next.kid());
        keys.rotate(Some((&path, false)), Algorithm::Es256, now, until).unwrap();
        assert_eq!(keys.ring().active().kid(), next.kid());
    }
}
