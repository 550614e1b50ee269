//! The authority in this process: opened over the store, the cluster and the data folder.

mod accounts;
mod vault;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stella_authority::accounts::ServiceAccounts;
use stella_authority::audit::{AuditLog, Place};
use stella_authority::bootstrap::{self, BOOTSTRAP_FILE};
use stella_authority::entropy::Entropy;
use stella_authority::external::External;
use stella_authority::keys::KeyStore;
use stella_authority::secret::Hashing;
use stella_authority::{Authority, Parts, Settings};
use stella_service::clock::Clock;
use stella_store::Store;
use tokio_util::sync::CancellationToken;

use crate::serve::Failure;

pub use accounts::ClusterAccounts;
pub use vault::StoreVault;

/// Between two sweeps of what has ended.
const SWEEP: Duration = Duration::from_secs(300);

/// Opens the authority of the settings in `file`, or of the defaults. At the first start it makes its keys and an administrator in `folder`.
/// The audit log of this replica is in `audit/INSTANCE` there.
///
/// # Errors
/// When the settings, the keys, the log or the vault are not usable.
pub async fn open(
    file: Option<&Path>,
    folder: &Path,
    instance: &str,
    store: Store,
    cluster: Option<kube::Client>,
    clock: Clock,
) -> Result<Authority, Failure> {
    let settings = match file {
        Some(file) => {
            let settings = Settings::read(file)?;
            settings.warnings(&file.display().to_string()).iter().for_each(|warning| tracing::warn!("{warning}"));
            settings
        }
        None => Settings::default(),
    };
    let (entropy, hashing) = (Entropy::system(), Hashing::default());
    let vault = Arc::new(StoreVault::new(store));
    bootstrap::bootstrap(folder, &*vault, &hashing, &entropy, &clock).await?;
    Ok(Authority::new(Parts {
        keys: KeyStore::open(&folder.join("keys"), settings.algorithm)?,
        audit: AuditLog::open(Place::new(folder.join("audit").join(instance)), clock.clone())?,
        external: settings.issuer.clone().map(External::new).transpose()?,
        accounts: cluster.map(|client| Arc::new(ClusterAccounts::new(client)) as Arc<dyn ServiceAccounts>),
        bootstrap_key: Some(folder.join(BOOTSTRAP_FILE)),
        settings,
        clock,
        entropy,
        vault,
        hashing,
    }))
}

/// Throws away what has ended, until told to stop.
///
/// # Errors
/// None: what fails is tried again.
pub async fn sweep(authority: Authority, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
    while stop.run_until_cancelled(tokio::time::sleep(SWEEP)).await.is_some() {
        if let Err(error) = authority.sweep().await {
            tracing::warn!(%error, "what has ended cannot be swept");
        }
    }
    Ok(())
}
