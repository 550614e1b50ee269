//! Scans that were made and of which nobody has been told yet.

use stella_domain::Tenant;
use stella_service::spans::carried;
use stella_store::{NewScan, Scan, ScanStatus, StoreError, Submitted};

use super::error::ApiError;
use crate::app::App;
use crate::scanning;

/// A scan that was asked for. Dropped before its answer went out, it calls off what was made for it (scanning.md, "Scan queue").
pub(super) struct Untold {
    app: App,
    submitted: Submitted,
    told: bool,
}

impl Untold {
    /// Puts a scan into the queue. What was begun is finished, also when the caller goes away meanwhile: only then is it known
    /// whether there is anything to call off.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn submit(app: &App, tenant: &Tenant, new: NewScan) -> Result<Self, ApiError> {
        let (app, tenant) = (app.clone(), tenant.clone());
        let task = tokio::spawn(carried(async move {
            let submitted = scanning::submit(&app, &tenant, new).await?;
            Ok::<_, StoreError>(Self { app, submitted, told: false })
        }));
        Ok(task.await.map_err(ApiError::internal)??)
    }

    /// What became of the request. Its answer goes out now.
    pub(super) fn tell(mut self) -> Submitted {
        self.told = true;
        self.submitted.clone()
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        if self.told || !self.submitted.created {
            return;
        }
        let (app, scan) = (self.app.clone(), self.submitted.scan.clone());
        tokio::spawn(async move {
            let message = "called off: whoever asked for it went away before the answer";
            if let Err(error) = call_off(&app, &scan, message).await {
                tracing::warn!(scan = scan.id, %error, "a scan that nobody waits for cannot be called off");
            }
        });
    }
}

/// Calls off a scan; `false` when it had ended.
///
/// # Errors
/// When the database does not take it.
pub(super) async fn call_off(app: &App, scan: &Scan, message: &str) -> Result<bool, StoreError> {
    let called_off = app.store.advance_scan(scan, ScanStatus::Cancelled, None, message, app.clock.now()).await?;
    app.progress.moved(&scan.id);
    Ok(called_off)
}
