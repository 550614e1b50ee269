//! What lies outside of the database: bytes under their SHA-256, written once, and checked when they are read (decision 039).
//!
//! ```text
//!   note that it is used ──commit──► write it ──► refer to it ──commit──► ... ──► nothing refers to it: note since when
//!                                                                                   │ a day later, if it is still noted
//!                                                                                   ▼
//!                                                      note that it goes ──commit──► the bytes go ──► the note goes
//! ```
//!
//! Whoever would note that a blob is used while it goes waits until it went: nothing that removes it can come after that.
//!
//! A process that ends in between leaves a note without a reference, never a reference without bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use stella_domain::Digest;

use crate::codec::digest;
use crate::{Installation, Store, StoreError};

/// How often is looked whether a blob went that is needed again.
const LOOK: Duration = Duration::from_millis(500);
/// How many times. In these five minutes a request to a bucket has ended, with all its tries, or the process with it.
const LOOKS: u32 = 600;

/// What a place does, and what comes of it.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobError>> + Send + 'a>>;

/// Why a blob could not be kept, read or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// It should be there.
    #[error("blob {digest} is not in {place}")]
    Absent {
        /// Which.
        digest: Digest,
        /// Where.
        place: String,
    },
    /// Its bytes are not those that were kept.
    #[error("blob {digest} in {place} is damaged: it has other bytes than were kept")]
    Damaged {
        /// Which.
        digest: Digest,
        /// Where.
        place: String,
    },
    /// The place does not answer, or not at the moment.
    #[error("{place} does not answer: {reason}")]
    Away {
        /// Where.
        place: String,
        /// What came instead.
        reason: String,
    },
    /// The place does not do what it is asked for.
    #[error("{place} refuses blob {digest}: {reason}")]
    Refused {
        /// Which.
        digest: Digest,
        /// Where.
        place: String,
        /// What it says.
        reason: String,
    },
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Two installations in one place remove what the other needs.
    #[error(
        "{place} belongs to installation {owner}, and this is installation {installation}: name another place for blobs, or, where \
         the other is gone for good, take this one over (--take-blobs-from {owner})"
    )]
    Owned {
        /// Where.
        place: String,
        /// Whose mark it has.
        owner: Installation,
        /// Who would use it.
        installation: Installation,
    },
    /// The place does not say whose it is, or does not let anybody say so.
    #[error("whose {place} is cannot be seen: {reason} (reading, writing and listing are needed there)")]
    Unseen {
        /// Where.
        place: String,
        /// What it says.
        reason: String,
    },
    /// The mark of a place's owner is of no use.
    #[error("the mark of the owner of {place}: {reason}")]
    Mark {
        /// Where.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database refers to blobs, and nobody said where they are.
    #[error("blob {0} lies outside of the database, and no place for blobs is set (--blobs)")]
    NoPlace(Digest),
}

/// Where blobs lie. A place keeps bytes under a name; that the name is their digest is [`Blobs`]' business.
pub trait Place: Debug + Send + Sync {
    /// What people call it; never a secret.
    fn name(&self) -> String;

    /// Keeps bytes, which are durable once this is `Ok`. The same bytes may be there already; others are damage, and are replaced.
    fn put<'a>(&'a self, digest: &'a Digest, bytes: Vec<u8>) -> Doing<'a, ()>;

    /// The bytes; `None` when there are none.
    fn get<'a>(&'a self, digest: &'a Digest) -> Doing<'a, Option<Vec<u8>>>;

    /// Removes them; nothing when there are none.
    fn remove<'a>(&'a self, digest: &'a Digest) -> Doing<'a, ()>;

    /// The mark of the place's owner; `None` when there is none.
    fn owner(&self) -> Doing<'_, Option<Vec<u8>>>;

    /// Writes the mark of the owner, which is durable once this is `Ok`. One that is there stays, unless the new one is to take its
    /// place (`anew`). A place that cannot write only where there is none writes in any case: whoever marks reads it again.
    fn mark(&self, mark: Vec<u8>, anew: bool) -> Doing<'_, ()>;
}

/// Whose a place was before it was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The one's who claims it.
    Held,
    /// Nobody's.
    Made,
    /// Another installation's, which it was taken from.
    Taken(Installation),
}

/// Bytes by their digest. Clones share the place.
#[derive(Debug, Clone)]
pub struct Blobs(Arc<dyn Place>);

impl Blobs {
    /// Those of a place.
    pub fn new(place: impl Place + 'static) -> Self {
        Self(Arc::new(place))
    }

    /// Keeps bytes and gives the digest they are found by.
    ///
    /// # Errors
    /// When the place does not take them.
    pub async fn put(&self, bytes: Vec<u8>) -> Result<Digest, BlobError> {
        let digest = Digest::of(&bytes);
        self.0.put(&digest, bytes).await?;
        Ok(digest)
    }

    /// The bytes of that digest, which is computed anew.
    ///
    /// # Errors
    /// When the place does not answer, has none, or has others.
    pub async fn get(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let place = || self.0.name();
        let bytes = self.0.get(digest).await?.ok_or_else(|| BlobError::Absent { digest: *digest, place: place() })?;
        if Digest::of(&bytes) != *digest {
            return Err(BlobError::Damaged { digest: *digest, place: place() });
        }
        Ok(bytes)
    }

    /// Removes the bytes of that digest, if they are there.
    ///
    /// # Errors
    /// When the place does not answer.
    pub async fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        self.0.remove(digest).await
    }

    /// Sees that the place has the mark of `installation`, and gives it that where it has none, or that of `from`.
    ///
    /// # Errors
    /// When the place is another's, or does not answer.
    pub async fn claim(&self, installation: Installation, from: Option<Installation>) -> Result<Claim, BlobError> {
        let owned = |owner| BlobError::Owned { place: self.0.name(), owner, installation };
        let claim = match self.owner().await? {
            Some(owner) if owner == installation => return Ok(Claim::Held),
            Some(owner) if Some(owner) == from => Claim::Taken(owner),
            Some(owner) => return Err(owned(owner)),
            None => Claim::Made,
        };
        self.0.mark(format!("{installation}\n").into_bytes(), claim != Claim::Made).await?;
        // Somebody else may have marked it meanwhile, and not every place tells so.
        match self.owner().await? {
            Some(owner) if owner == installation => Ok(claim),
            Some(owner) => Err(owned(owner)),
            None => Err(BlobError::Mark { place: self.0.name(), reason: "it was written and is not there".to_owned() }),
        }
    }

    async fn owner(&self) -> Result<Option<Installation>, BlobError> {
        let Some(mark) = self.0.owner().await? else { return Ok(None) };
        let named = std::str::from_utf8(&mark).ok().and_then(|text| text.trim_end().parse::<Installation>().ok());
        let reason = "it names no installation; remove it where nobody else keeps blobs there";
        named.map(Some).ok_or_else(|| BlobError::Mark { place: self.0.name(), reason: reason.to_owned() })
    }
}

/// Blobs, and from which size on something becomes one.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    pub(crate) blobs: Blobs,
    least: usize,
}

/// Where a body is.
pub(crate) enum Body {
    /// In its row.
    Here(Vec<u8>),
    /// In a blob.
    Blob(Digest),
}

impl Body {
    /// The two columns of a row.
    pub(crate) fn columns(self) -> (Vec<u8>, Option<String>) {
        match self {
            Self::Here(bytes) => (bytes, None),
            Self::Blob(digest) => (Vec::new(), Some(digest.to_string())),
        }
    }
}

impl Store {
    /// From now on what has at least `least` bytes lies in `blobs`, as far as it may lie there. What is kept already stays where
    /// it is.
    #[must_use]
    pub fn with_blobs(mut self, blobs: Blobs, least: usize) -> Self {
        self.outside = Some(Outside { blobs, least });
        self
    }

    /// Writes those bodies outside that are large. The transaction that refers to them has to begin after this.
    pub(crate) async fn put_outside(&self, bodies: Vec<(Digest, Vec<u8>)>) -> Result<Vec<(Digest, Body)>, StoreError> {
        let Some(outside) = &self.outside else {
            return Ok(bodies.into_iter().map(|(id, bytes)| (id, Body::Here(bytes))).collect());
        };
        let mut large = BTreeMap::new();
        let mut placed = Vec::with_capacity(bodies.len());
        for (id, bytes) in bodies {
            if bytes.len() < outside.least {
                placed.push((id, Body::Here(bytes)));
                continue;
            }
            let digest = Digest::of(&bytes);
            placed.push((id, Body::Blob(digest)));
            large.insert(digest, bytes);
        }
        self.note_blobs(&large.keys().copied().collect()).await?;
        for (digest, bytes) in large {
            outside.blobs.0.put(&digest, bytes).await?;
        }
        Ok(placed)
    }

    /// Notes that blobs are used, before they are written. Of those that are going, once they went.
    async fn note_blobs(&self, digests: &BTreeSet<Digest>) -> Result<(), StoreError> {
        let mut going = digests.clone();
        for _ in 0..LOOKS {
            going = self.note_staying(&going, false).await?;
            if going.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        // Whoever was removing them has ended.
        self.note_staying(&going, true).await?;
        Ok(())
    }

    /// Notes that blobs are used, `all` or those that are not going, and gives the others. In the order of their digests, so that
    /// nobody waits for somebody who waits for them.
    async fn note_staying(&self, digests: &BTreeSet<Digest>, all: bool) -> Result<BTreeSet<Digest>, StoreError> {
        let mut going = BTreeSet::new();
        if digests.is_empty() {
            return Ok(going);
        }
        let mut tx = self.begin().await?;
        for digest in digests {
            let noted = sqlx::query(
                "INSERT INTO blob (digest, unused) VALUES ($1, NULL) ON CONFLICT (digest) DO UPDATE SET unused = NULL
                   WHERE blob.unused IS NULL OR blob.unused >= $2",
            )
            .bind(digest.to_string())
            .bind(if all { i64::MIN } else { 0 })
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if noted == 0 {
                going.insert(*digest);
            }
        }
        tx.commit().await?;
        Ok(going)
    }

    /// A body by the two columns of its row.
    pub(crate) async fn bring_in(&self, here: Vec<u8>, blob: Option<String>) -> Result<Vec<u8>, StoreError> {
        let Some(blob) = blob else { return Ok(here) };
        let blob = digest("blob", &blob)?;
        let outside = self.outside.as_ref().ok_or(BlobError::NoPlace(blob))?;
        Ok(outside.blobs.get(&blob).await?)
    }
}
