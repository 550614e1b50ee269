//! Signed bundles of verdicts, for clusters without a server and for the time without one.
//!
//! A bundle is a DSSE envelope around canonical JSON: everything a snapshot holds, when it was issued, until when it may be
//! used, and what it rests on. Whoever has the private key decides what is refused; the webhook has the public one.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stella_api::admission::{AdmissionUpdate, ImageAdmission, NamespaceAdmission};
use stella_attest::{Algorithm, CanonicalError, DsseError, Envelope, SigningKey, VerifyingKey, canonical};
use stella_domain::Timestamp;

use super::cache::Held;
use super::disk;
use super::feed::{Feed, FeedError};
use super::view::View;

/// The only version of a bundle there is.
pub const BUNDLE_SCHEMA: &str = "stella.verdicts.bundle@v1";
/// What the envelope says of its payload.
pub const BUNDLE_TYPE: &str = "application/vnd.stellaops.verdicts+json";
/// Bytes a bundle may have.
pub const LARGEST_BUNDLE: u64 = 256 * 1024 * 1024;
/// So far ahead of one's own clock a bundle may be issued.
const AHEAD_SECONDS: i64 = 300;

/// Why a bundle cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file cannot be read or written.
    #[error("bundle {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is longer than [`LARGEST_BUNDLE`].
    #[error("bundle {0}: longer than {LARGEST_BUNDLE} bytes")]
    TooLarge(PathBuf),
    /// The key is of another kind.
    #[error("bundles are signed with Ed25519, and key '{0}' is of another kind")]
    Algorithm(String),
    /// No known key signed it, or what it signed was changed.
    #[error("the signature does not hold: {0}")]
    Signature(#[from] DsseError),
    /// It is no bundle.
    #[error("this is no bundle: {0}")]
    Json(#[from] serde_json::Error),
    /// It cannot be written down.
    #[error("the bundle cannot be written: {0}")]
    Canonical(#[from] CanonicalError),
    /// It is of another version.
    #[error("schema is '{0}', not '{BUNDLE_SCHEMA}'")]
    Schema(String),
    /// It ends before it begins.
    #[error("it expires at {expires_at}, before it is issued at {issued_at}")]
    Times {
        /// When it was issued.
        issued_at: Timestamp,
        /// When it expires.
        expires_at: Timestamp,
    },
    /// It has expired.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// It is issued in the future.
    #[error("it is issued at {0}, which is to come")]
    Early(Timestamp),
    /// There is a newer one.
    #[error("it was issued at {found}, before the one in use ({held})")]
    Older {
        /// When this one was issued.
        found: Timestamp,
        /// When the one in use was.
        held: Timestamp,
    },
    /// There are no verdicts to put into it.
    #[error("there are no verdicts to put into a bundle")]
    Empty,
    /// Its verdicts are out of order.
    #[error(transparent)]
    Order(#[from] FeedError),
}

/// A feed as a bundle names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFeed {
    /// Its name.
    pub name: String,
    /// The newest change in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
}

/// Verdicts to be carried to where no server is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// Always [`BUNDLE_SCHEMA`].
    pub schema_version: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Until when it may be used.
    pub expires_at: Timestamp,
    /// The revision of the policies.
    pub policy_revision: String,
    /// The feeds that its findings come from.
    pub feeds: Vec<BundleFeed>,
    /// How admission works in each namespace.
    pub namespaces: Vec<NamespaceAdmission>,
    /// The verdicts.
    pub images: Vec<ImageAdmission>,
}

/// A bundle in use.
#[derive(Debug, Clone)]
pub struct Bundled {
    /// Its verdicts.
    pub view: View,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Until when it may be used.
    pub expires_at: Timestamp,
}

impl Bundle {
    /// Everything in `held`, for `valid_seconds` from `now` on.
    ///
    /// # Errors
    /// Nothing is held.
    pub fn of(held: &Held, feeds: Vec<BundleFeed>, now: Timestamp, valid_seconds: i64) -> Result<Self, BundleError> {
        let policy_revision = held.view.policy_revision.clone().ok_or(BundleError::Empty)?;
        Ok(Self {
            schema_version: BUNDLE_SCHEMA.to_owned(),
            issued_at: now,
            expires_at: now.plus_seconds(valid_seconds),
            policy_revision,
            feeds,
            namespaces: held.view.namespaces().into_iter().cloned().collect(),
            images: held.view.images().into_iter().cloned().collect(),
        })
    }

    /// The bytes of a file: the same for the same bundle and key.
    ///
    /// # Errors
    /// Another kind of key than Ed25519.
    pub fn signed(&self, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(BundleError::Algorithm(key.id().to_owned()));
        }
        let envelope = Envelope::sign(BUNDLE_TYPE, &canonical::to_vec(self)?, key).standard();
        let mut bytes = serde_json::to_vec(&envelope)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The bundle in the bytes of a file, if one of `keys` signed it. Whether it may be used now is for [`Self::check`] to say.
    ///
    /// # Errors
    /// No signature of a known Ed25519 key, or no bundle of this version.
    pub fn verified(bytes: &[u8], keys: &[VerifyingKey]) -> Result<Self, BundleError> {
        let fitting: Vec<_> = keys.iter().filter(|key| key.algorithm() == Algorithm::Ed25519).collect();
        let envelope: Envelope = serde_json::from_slice(bytes)?;
        let payload = envelope.verify(BUNDLE_TYPE, &fitting)?;
        let bundle: Self = serde_json::from_slice(&payload)?;
        if bundle.schema_version != BUNDLE_SCHEMA {
            return Err(BundleError::Schema(bundle.schema_version.chars().take(80).collect()));
        }
        let Self { issued_at, expires_at, .. } = bundle;
        if expires_at <= issued_at {
            return Err(BundleError::Times { issued_at, expires_at });
        }
        Ok(bundle)
    }

    /// Whether it may be used at `now`, in place of one issued at `held`.
    ///
    /// # Errors
    /// It has expired, is issued in the future, or is older.
    pub fn check(&self, held: Option<Timestamp>, now: Timestamp) -> Result<(), BundleError> {
        if let Some(held) = held.filter(|held| *held > self.issued_at) {
            return Err(BundleError::Older { found: self.issued_at, held });
        }
        usable(self.issued_at, self.expires_at, now)
    }

    /// The verdicts, ready to judge by.
    ///
    /// # Errors
    /// More entries than are held.
    pub fn bundled(self) -> Result<Bundled, BundleError> {
        let mut feed = Feed::default();
        let ready = AdmissionUpdate::Ready { policy_revision: self.policy_revision, at: self.issued_at };
        let namespaces = self.namespaces.into_iter().map(AdmissionUpdate::Namespace);
        let images = self.images.into_iter().map(AdmissionUpdate::Image);
        for update in [AdmissionUpdate::Begin].into_iter().chain(namespaces).chain(images).chain([ready]) {
            feed.apply(update)?;
        }
        Ok(Bundled { view: feed.view().clone(), issued_at: self.issued_at, expires_at: self.expires_at })
    }
}

impl Bundled {
    /// Whether it may be used at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        usable(self.issued_at, self.expires_at, now).is_ok()
    }
}

fn usable(issued_at: Timestamp, expires_at: Timestamp, now: Timestamp) -> Result<(), BundleError> {
    if issued_at.seconds_since(now) > AHEAD_SECONDS {
        return Err(BundleError::Early(issued_at));
    }
    if now >= expires_at { Err(BundleError::Expired(expires_at)) } else { Ok(()) }
}

/// The bytes of a bundle's file.
///
/// # Errors
/// The file cannot be read, or is too long.
pub fn read_bundle(path: &Path) -> Result<Vec<u8>, BundleError> {
    let failed = |source| BundleError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST_BUNDLE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_BUNDLE { Err(BundleError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}

/// Writes a bundle's file, so that a reader finds the old one or the new one.
///
/// # Errors
/// The folder cannot be written; the old file stays.
pub fn write_bundle(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    disk::replace(path, |file| file.write_all(bytes))
        .map_err(|source| BundleError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn bundle() -> Bundle {
        let held = fixture::held(&[fixture::namespace("*")], &[fixture::blocked("bad:1"), fixture::passing("good:1")]);
        let feed = BundleFeed { name: "PyPI".to_owned(), date: Some(fixture::now()) };
        Bundle::of(&held, vec![feed], fixture::now(), 3600).unwrap()
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("verdicts", &[seed; 32])
    }

    #[test]
    fn what_is_signed_is_read_and_the_same_bundle_gives_the_same_bytes() {
        let bytes = bundle().signed(&key(1)).unwrap();
        assert_eq!(bytes, bundle().signed(&key(1)).unwrap());
        let read = Bundle::verified(&bytes, &[key(2).verifying(), key(1).verifying()]).unwrap();
        assert_eq!(read, bundle());
        let bundled = read.bundled().unwrap();
        assert_eq!((bundled.view.image_count(), bundled.view.policy_revision.as_deref()), (2, Some("7")));
    }

    #[test]
    fn another_key_another_type_and_every_changed_byte_are_refused() {
        let bytes = bundle().signed(&key(1)).unwrap();
        assert!(matches!(Bundle::verified(&bytes, &[key(2).verifying()]), Err(BundleError::Signature(_))));
        assert!(Bundle::verified(&bytes, &[]).is_err());
        let report = Envelope::sign("application/other", &canonical::to_vec(&bundle()).unwrap(), &key(1));
        assert!(Bundle::verified(&serde_json::to_vec(&report).unwrap(), &[key(1).verifying()]).is_err());
        for at in (0..bytes.len() - 1).step_by(13) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            // The id of the key is a hint, and not signed.
            if let Ok(read) = Bundle::verified(&changed, &[key(1).verifying()]) {
                assert_eq!(read, bundle(), "byte {at}");
            }
        }
        let shared = SigningKey::from_secret("s", &[7; 32]).unwrap();
        assert!(matches!(bundle().signed(&shared), Err(BundleError::Algorithm(_))));
    }

    #[test]
    fn a_bundle_has_its_time_and_gives_way_to_newer_ones_only() {
        let (bundle, now) = (bundle(), fixture::now());
        assert!(bundle.check(None, now).is_ok() && bundle.check(Some(now), now.plus_seconds(3599)).is_ok());
        assert!(matches!(bundle.check(None, now.plus_seconds(3600)), Err(BundleError::Expired(_))));
        assert!(matches!(bundle.check(None, now.plus_seconds(-301)), Err(BundleError::Early(_))));
        assert!(matches!(bundle.check(Some(now.plus_seconds(1)), now), Err(BundleError::Older { .. })));
        let bundled = bundle.bundled().unwrap();
        assert!(bundled.holds_at(now.plus_seconds(3599)) && !bundled.holds_at(now.plus_seconds(3600)));
    }
}
