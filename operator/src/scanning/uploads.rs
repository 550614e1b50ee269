//! Uploads whose callers were told to look later.
//!
//! What was sent lies with the process that took it, and is read by that process or by none.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stella_domain::Tenant;
use stella_store::{NewScan, Scan, ScanSource, ScanStatus, StoreError, Submitted};
use tokio_util::task::AbortOnDropHandle;

use super::held::{Original, Room};
use super::pulls::{LEASE, under_lease};
use super::queue::{conclude, fail};
use super::upload::{Upload, UploadError};
use crate::app::App;

/// Seconds that reading may take when nobody waits for it any more.
const TIMEOUT: i64 = 600;

/// An upload that is being read; dropped, it is read no further.
pub type Reading = AbortOnDropHandle<Result<Upload, UploadError>>;

/// The uploads of this process.
#[derive(Debug, Default)]
pub struct Uploads {
    /// Memory for those that are held.
    room: Room,
    /// The scans of those that are read while nobody waits, one entry for each reading.
    read: Mutex<Vec<(Tenant, String)>>,
}

impl Uploads {
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Tenant, String)>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, scan: &Scan) -> bool {
        self.all().iter().any(|(tenant, id)| *tenant == scan.tenant && *id == scan.id)
    }
}

/// An entry of [`Uploads`], which goes with this.
struct Held {
    app: App,
    entry: (Tenant, String),
}

impl Held {
    fn new(app: &App, tenant: &Tenant, id: String) -> Self {
        let entry = (tenant.clone(), id);
        app.uploads.all().push(entry.clone());
        Self { app: app.clone(), entry }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.app.uploads.all();
        if let Some(at) = all.iter().position(|entry| *entry == self.entry) {
            all.swap_remove(at);
        }
    }
}

/// Goes on with `reading` what was sent, as a scan of its own that anybody may follow. It is named by those bytes.
///
/// # Errors
/// When a file cannot be read back, or the database does not take the scan; then it is read no further.
pub async fn read_on(app: App, tenant: Tenant, sent: Original, reading: Reading) -> Result<Submitted, UploadError> {
    let sent = tokio::task::spawn_blocking(move || sent.digest()).await??;
    let new = NewScan {
        sent: Some(sent),
        source: ScanSource::Upload,
        force: true,
        timeout_seconds: TIMEOUT,
        ..NewScan::default()
    };
    // The queue must not take it for one that nobody reads.
    let held = Held::new(&app, &tenant, new.id(&tenant));
    let submitted = app.store.submit_scan(&tenant, &new, app.clock.now()).await?;
    let (scan, now) = (submitted.scan.clone(), app.clock.now());
    app.store.claim_scan(&scan, &app.settings.worker, now, now.plus_seconds(LEASE)).await?;
    app.store.advance_scan(&scan, ScanStatus::Running, None, "reading the upload", now).await?;
    tokio::spawn(async move {
        let _held = held;
        under_lease(&app, &scan, end(&app, &scan, reading)).await;
    });
    Ok(submitted)
}

async fn end(app: &App, scan: &Scan, reading: Reading) -> Result<(), StoreError> {
    match reading.await.map_err(UploadError::from).flatten() {
        Ok(upload) => conclude(app, scan, &upload.digest).await,
        Err(error) => fail(app, scan, &error.to_string()).await,
    }
}

/// Ends the scan of an upload whose process has ended.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn end_abandoned(app: &App, scan: &Scan) -> Result<(), StoreError> {
    let now = app.clock.now();
    let is_new = now.seconds_since(scan.updated_at) < LEASE;
    if is_new || app.uploads.has(scan) {
        return Ok(());
    }
    let until = now.plus_seconds(LEASE);
    if app.store.claim_scan(scan, &app.settings.worker, now, until).await?.is_some() {
        fail(app, scan, "the process that read the upload has ended, and the upload with it; send it again").await?;
        app.store.release_scan(scan, &app.settings.worker).await?;
    }
    Ok(())
}
