//! The parts of an authority, and what all of them share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use stella_domain::{Digest, Timestamp};
use stella_service::clock::Clock;

use crate::accounts::ServiceAccounts;
use crate::audit::{AuditError, AuditLog, Event};
use crate::entropy::Entropy;
use crate::external::External;
use crate::keys::KeyStore;
use crate::proven::Proven;
use crate::remote::Asking;
use crate::secret::Hashing;
use crate::settings::Settings;
use crate::vault::{Category, Revocation, Vault, VaultError};

/// Seconds for which revocations are believed without asking the vault again.
const BELIEVED: i64 = 2;

/// An authority. Clones share it.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

/// What an [`Authority`] consists of.
pub struct Parts {
    /// Settings.
    pub settings: Settings,
    /// The clock.
    pub clock: Clock,
    /// Randomness for secrets and names.
    pub entropy: Entropy,
    /// Keys that sign tokens.
    pub keys: KeyStore,
    /// Clients, users, and the rest that is kept.
    pub vault: Arc<dyn Vault>,
    /// The audit log.
    pub audit: AuditLog,
    /// How secrets are hashed.
    pub hashing: Hashing,
    /// The cluster's service accounts, where there is a cluster.
    pub accounts: Option<Arc<dyn ServiceAccounts>>,
    /// The other issuer, where one is named.
    pub external: Option<External>,
    /// File with the key of `/internal/*`; read each time, for a mounted Secret changes under us.
    pub bootstrap_key: Option<PathBuf>,
}

struct Inner {
    parts: Parts,
    revoked: Mutex<Option<(Timestamp, Arc<Revoked>)>>,
    proven: Proven,
}

/// When things were revoked.
pub(crate) type Revoked = BTreeMap<(Category, String), Timestamp>;

impl Authority {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, revoked: Mutex::default(), proven: Proven::default() }))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn proven(&self) -> &Proven {
        &self.0.proven
    }

    /// What is revoked, at most two seconds old.
    pub(crate) async fn revoked(&self, now: Timestamp) -> Result<Arc<Revoked>, VaultError> {
        let held = self.0.revoked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, revoked)) = held
            && (0..BELIEVED).contains(&now.seconds_since(at))
        {
            return Ok(revoked);
        }
        let found = self.vault.revocations(now).await?;
        let revoked: Revoked = found.into_iter().map(|one| ((one.category, one.id), one.revoked_at)).collect();
        let revoked = Arc::new(revoked);
        *self.0.revoked.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&revoked)));
        Ok(revoked)
    }

    /// Revokes, at once in this process and within two seconds in others.
    ///
    /// # Errors
    /// When the vault does not take it.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<(), VaultError> {
        self.vault.revoke(revocation).await?;
        *self.0.revoked.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Writes `event` of the request `asking` to the audit log.
    pub(crate) async fn log(&self, asking: Asking<'_>, event: Event) -> Result<(), AuditError> {
        let remote = asking.remote(&self.settings).map(|address| address.to_string());
        self.audit.write(Event { remote, trace: asking.trace(), ..event }).await.map(drop)
    }

    /// Throws away what no longer matters; to be called every few minutes.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub async fn sweep(&self) -> Result<(), VaultError> {
        self.vault.sweep(self.now()).await
    }
}

impl std::ops::Deref for Authority {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

/// Compares digests, so that the time taken tells nothing about the secret.
pub(crate) fn same_secret(a: &str, b: &str) -> bool {
    !a.is_empty() && Digest::of(a) == Digest::of(b)
}
