//! The way into the queue.

use std::time::Duration;

use stella_domain::{Digest, Tenant};
use stella_registry::Reference;
use stella_service::spans::{self, Kind, step};
use stella_store::{NewScan, ScanSource, ScanStatus, StoreError, Submitted};

use super::pull_secrets;
use super::registry::{RegistryError, keyring};
use super::traced::TRACE;
use crate::app::App;

/// How long a registry may take to say what a reference names.
const LOOK: Duration = Duration::from_secs(3);

/// Puts a scan into the queue. The same request again gives the same scan; when that one succeeded, its registry is asked whether
/// the reference still names the image that was scanned, and a new attempt begins when it does not (scanning.md, "Scan queue").
///
/// # Errors
/// When the database does not answer. A registry that does not answer leaves the scan as it is.
pub async fn submit(app: &App, tenant: &Tenant, new: NewScan) -> Result<Submitted, StoreError> {
    let names_now = if may_have_moved(app, tenant, &new).await? { names_now(app, &new).await } else { None };
    let mut new = NewScan { names_now, ..new };
    // Whoever works on it later goes on with the trace of whoever asked.
    new.metadata.extend(spans::current().map(|trace| (TRACE.to_owned(), trace)));
    let submitted = app.store.submit_scan(tenant, &new, app.clock.now());
    let submitted = step(Kind::Client, "store: queue a scan", submitted).await?;
    app.scans_changed.notify_one();
    if let Some(image) = submitted.scan.digest {
        app.store.image_asked(tenant, &image, app.clock.now()).await?;
    }
    Ok(submitted)
}

/// Whether the answer depends on what the reference names by now: there is one alone, and it was scanned before.
async fn may_have_moved(app: &App, tenant: &Tenant, new: &NewScan) -> Result<bool, StoreError> {
    let is_pulled = matches!(new.source, ScanSource::Auto | ScanSource::Registry);
    if new.force || new.reference.is_none() || new.digest.is_some() || !is_pulled {
        return Ok(false);
    }
    let before = app.store.scan(tenant, &new.id(tenant)).await?;
    Ok(before.is_some_and(|scan| scan.status == ScanStatus::Succeeded))
}

/// What the reference names at its registry, where that answers in time.
async fn names_now(app: &App, new: &NewScan) -> Option<Digest> {
    let reference = new.reference.as_deref().unwrap_or_default();
    match tokio::time::timeout(LOOK, look_up(app, new, reference)).await {
        Ok(Ok(digest)) => Some(digest),
        Ok(Err(error)) => {
            tracing::debug!(reference, %error, "whether a reference names another image by now is not known");
            None
        }
        Err(_) => {
            tracing::debug!(reference, "a registry does not say in time what a reference names");
            None
        }
    }
}

async fn look_up(app: &App, new: &NewScan, reference: &str) -> Result<Digest, RegistryError> {
    let name: Reference = reference.parse()?;
    if let Some(digest) = name.digest() {
        return Ok(digest);
    }
    let mut keyring = keyring(app.settings.registry_config.as_deref()).await?;
    if let Some(named) = &new.pull_secrets {
        keyring = pull_secrets::add(keyring, app.cluster.as_ref(), named).await?;
    }
    Ok(app.registries.digest(&name, &keyring).await?)
}
