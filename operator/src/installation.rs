//! The name of this installation, and the place that is its own (decision 042).

use std::time::Duration;

use stella_authority::entropy::{Entropy, NoEntropy};
use stella_store::{BlobError, Claim, Installation, Store, StoreError, lack};

/// How long the start waits for a place that does not answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why an installation has no name, or no place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallationError {
    /// The database, or the place for blobs.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to draw a name from.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

/// The name that the database keeps; at the first start it gets one. Then the place for blobs, where one is set, is claimed under that
/// name, and taken over if it is the one of `from`.
///
/// A place that is away is claimed before anything is removed from it; until then blobs are written to it and read.
///
/// # Errors
/// When the database does not take it, or the place is another installation's.
pub async fn settle(store: &Store, from: Option<Installation>) -> Result<Installation, InstallationError> {
    let new = Installation::new(u128::from_be_bytes(Entropy::system().bytes()?));
    let installation = store.name_installation(new).await?;
    match tokio::time::timeout(PATIENCE, store.claim_blobs(from)).await {
        Ok(Ok(None | Some(Claim::Held))) => {}
        Ok(Ok(Some(Claim::Made))) => {
            tracing::info!(%installation, "the place for blobs is marked as this installation's");
        }
        Ok(Ok(Some(Claim::Taken(from)))) => {
            tracing::warn!(%installation, %from, "the place for blobs is taken over from another installation");
        }
        Ok(Err(error)) if is_settled(&error) => return Err(error.into()),
        Ok(Err(error)) => tracing::warn!(%error, "whose the place for blobs is cannot be seen yet"),
        Err(_) => tracing::warn!("whose the place for blobs is cannot be seen yet: it does not answer"),
    }
    Ok(installation)
}

/// Whether waiting will not help. A place that does not let its mark be seen is used as before, and nothing is removed from it.
fn is_settled(error: &StoreError) -> bool {
    match error {
        StoreError::Blob(error) => matches!(error, BlobError::Owned { .. } | BlobError::Mark { .. }),
        other => lack(other).is_none(),
    }
}
