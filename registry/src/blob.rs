//! A layer on its way into a file: verified while it comes in, taken up where it broke off.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Response;
use reqwest::header::CONTENT_RANGE;
use stella_domain::{Digest, Hasher};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::document::status_of;
use crate::endpoint::Endpoint;
use crate::error::RequestError;

/// A blob that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blob<'a> {
    pub(crate) digest: Digest,
    /// Its size in bytes; zero when not told.
    pub(crate) size: u64,
    /// Bytes that may still be received for this image.
    pub(crate) budget: &'a Budget,
}

/// Bytes that may still be received.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
    max: u64,
}

impl Budget {
    pub(crate) const fn new(max: u64) -> Self {
        Self { left: AtomicU64::new(max), max }
    }

    fn take(&self, bytes: u64) -> Result<(), RequestError> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| RequestError::TooLong { max: self.max })
    }
}

/// What has been received so far.
#[derive(Default)]
struct Received {
    hasher: Hasher,
    bytes: u64,
    /// Whether it was put together from several answers.
    resumed: bool,
}

/// Fetches a blob from one host into `file`, from its beginning.
pub(crate) async fn fetch(endpoint: &Endpoint, blob: Blob<'_>, file: &mut File) -> Result<(), RequestError> {
    let mut received = Received::default();
    restart(&mut received, file).await?;
    let mut failed = 0;
    loop {
        let error = match fetch_once(endpoint, blob, &mut received, file).await {
            Ok(()) => break,
            Err(error) => error,
        };
        failed += 1;
        let Some(delay) = endpoint.delay(failed, &error) else { return Err(error) };
        let (host, digest) = (&endpoint.host, blob.digest);
        tracing::debug!(host, %digest, failed, at = received.bytes, %error, "going on with a layer");
        tokio::time::sleep(delay).await;
    }
    file.flush().await.map_err(RequestError::Folder)
}

async fn fetch_once(
    endpoint: &Endpoint,
    blob: Blob<'_>,
    received: &mut Received,
    file: &mut File,
) -> Result<(), RequestError> {
    let from = (received.bytes > 0).then_some(received.bytes);
    if from.is_none() || blob.size == 0 || received.bytes < blob.size {
        let response = endpoint.get(&format!("blobs/{}", blob.digest), None, from).await?;
        match (response.status().as_u16(), from) {
            (206, Some(from)) if begins_at(&response) == Some(from) => received.resumed = true,
            (200, _) => restart(received, file).await?,
            (206 | 416, _) => {
                restart(received, file).await?;
                return Err(RequestError::Range);
            }
            _ => return Err(status_of(response).await),
        }
        receive(endpoint, blob, received, file, response).await?;
    }
    let found = received.hasher.clone().finish();
    if found == blob.digest {
        return Ok(());
    }
    let wrong = RequestError::Digest { expected: blob.digest, found };
    if !received.resumed {
        return Err(wrong);
    }
    // The seam may be at fault: what comes in one piece decides.
    restart(received, file).await?;
    Err(RequestError::Range)
}

async fn restart(received: &mut Received, file: &mut File) -> Result<(), RequestError> {
    *received = Received::default();
    file.set_len(0).await.map_err(RequestError::Folder)?;
    file.rewind().await.map(drop).map_err(RequestError::Folder)
}

async fn receive(
    endpoint: &Endpoint,
    blob: Blob<'_>,
    received: &mut Received,
    file: &mut File,
    mut response: Response,
) -> Result<(), RequestError> {
    let limits = &endpoint.transport().limits;
    let max = if blob.size == 0 { limits.blob_bytes } else { blob.size };
    if response.content_length().is_some_and(|length| received.bytes.saturating_add(length) > max) {
        return Err(RequestError::TooLong { max });
    }
    loop {
        let chunk = match tokio::time::timeout(limits.idle, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            // All of it is there, so it does not matter how the connection ends.
            Ok(Err(_)) | Err(_) if received.bytes == blob.size && blob.size > 0 => break,
            Ok(Err(_)) => return Err(RequestError::Cut),
            Err(_) => return Err(RequestError::Timeout { seconds: limits.idle.as_secs() }),
        };
        let length = chunk.len() as u64;
        if received.bytes + length > max {
            return Err(RequestError::TooLong { max });
        }
        blob.budget.take(length)?;
        received.hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(RequestError::Folder)?;
        received.bytes += length;
    }
    if blob.size > 0 && received.bytes < blob.size {
        return Err(RequestError::TooShort { expected: blob.size, found: received.bytes });
    }
    Ok(())
}

/// The first byte of a partial answer (RFC 9110, section 14.4).
fn begins_at(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
