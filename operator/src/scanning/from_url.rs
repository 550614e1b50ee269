//! Archives and SBOMs that lie on a web server of an allowed host.

use stella_domain::Digest;
use stella_registry::DownloadError;
use stella_store::Scan;

use super::held::Body;
use super::upload::{MAX_UPLOAD, Takes, UploadError, inventory_of};
use crate::app::App;

/// Why what lies at a URL could not be read.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// No server gave it.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// It is of no use.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The work folder cannot be written.
    #[error("cannot keep the file while it is read: {0}")]
    Io(#[from] std::io::Error),
}

/// Fetches the file that a scan names by its URL, reads it and files its inventory. Nothing stays in the work folder.
///
/// # Errors
/// See [`UrlError`]; then no image is kept.
pub(super) async fn read(app: &App, scan: &Scan) -> Result<Digest, UrlError> {
    let folder = tempfile::tempdir_in(&app.settings.work)?;
    let path = folder.path().join("download");
    let url = scan.reference.as_deref().unwrap_or_default();
    app.registries.download(url, &app.settings.url_hosts, &path, MAX_UPLOAD).await?;
    let record = inventory_of(app, &scan.tenant, Body::File(path), Takes::default()).await?.record(app.clock.now());
    // The URL is no name of the image: what lies there may change, and its query may let everybody in who reads a list of names.
    let digest = record.digest;
    app.store.put_image(&scan.tenant, record, &[]).await.map_err(UploadError::from)?;
    Ok(digest)
}
