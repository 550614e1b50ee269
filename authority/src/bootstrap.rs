//! The first start: keys, one administrator, and the key of `/internal/*`.

use std::io;
use std::path::{Path, PathBuf};

use stella_service::clock::Clock;

use crate::entropy::{Entropy, NoEntropy};
use crate::keys::write_private;
use crate::scope::Scopes;
use crate::secret::{Hashing, SecretError};
use crate::tenants::Tenants;
use crate::vault::{Client, Vault, VaultError};

/// The client of the first administrator.
pub const ADMIN: &str = "stella-admin";
/// The file with its secret.
pub const ADMIN_FILE: &str = "admin-secret";
/// The file with the key of `/internal/*`.
pub const BOOTSTRAP_FILE: &str = "bootstrap-key";

/// Why the first start does not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// A file cannot be written.
    #[error("'{path}': {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The vault does not answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The secret cannot be hashed.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// What the first start made: files that somebody should read, and then remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// The file with the administrator's secret.
    pub admin: Option<PathBuf>,
    /// The file with the key of `/internal/*`.
    pub bootstrap_key: Option<PathBuf>,
}

/// Makes in `folder` what is missing: the administrator when the vault has no client, and the bootstrap key. Where
/// secrets are is logged; what they are is not.
///
/// # Errors
/// When a file or the vault fails.
pub async fn bootstrap(
    folder: &Path,
    vault: &dyn Vault,
    hashing: &Hashing,
    entropy: &Entropy,
    clock: &Clock,
) -> Result<Made, BootstrapError> {
    std::fs::create_dir_all(folder).map_err(|error| BootstrapError::Io { path: folder.to_owned(), error })?;
    let mut made = Made::default();
    if vault.clients().await?.is_empty() {
        made.admin = administrator(&folder.join(ADMIN_FILE), vault, hashing, entropy, clock).await?;
    }
    let path = folder.join(BOOTSTRAP_FILE);
    if !path.exists() {
        match keep(&path, &entropy.secret()?) {
            Ok(()) => {
                tracing::warn!(path = %path.display(), "the key of /internal/* was made; it is in this file");
                made.bootstrap_key = Some(path);
            }
            // Another replica was first.
            Err(BootstrapError::Io { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

async fn administrator(
    path: &Path,
    vault: &dyn Vault,
    hashing: &Hashing,
    entropy: &Entropy,
    clock: &Clock,
) -> Result<Option<PathBuf>, BootstrapError> {
    // The file first: a client whose secret nobody has would lock everybody out. One that is there is taken.
    let (secret, is_new) = match std::fs::read_to_string(path) {
        Ok(secret) => (secret.trim().to_owned(), false),
        Err(_) => {
            let secret = entropy.secret()?;
            keep(path, &secret)?;
            (secret, true)
        }
    };
    let now = clock.now();
    let client = Client {
        id: ADMIN.to_owned(),
        secret_hash: hashing.hash(&secret, entropy)?,
        scopes: Scopes::everything(),
        tenants: Tenants::All,
        max_scans_per_day: None,
        disabled: false,
        created_at: now,
        rotated_at: now,
    };
    if !vault.keep_client(&client, true).await? {
        // Another replica was first, and this secret opens nothing.
        if is_new {
            let _ = std::fs::remove_file(path);
        }
        return Ok(None);
    }
    tracing::warn!(path = %path.display(), client = ADMIN, "the first administrator was made; its secret is in this file");
    Ok(Some(path.to_owned()))
}

fn keep(path: &Path, secret: &str) -> Result<(), BootstrapError> {
    let failed = |error| BootstrapError::Io { path: path.to_owned(), error };
    write_private(path, format!("{secret}\n").as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::vault::MemoryVault;

    #[tokio::test]
    async fn the_first_start_makes_one_administrator_and_the_second_none() {
        let folder = tempfile::tempdir().unwrap();
        let (vault, hashing) = (MemoryVault::default(), Hashing::new(64, 1));
        let start = || async {
            bootstrap(folder.path(), &vault, &hashing, &Entropy::system(), &Clock::system()).await.unwrap()
        };
        let made = start().await;
        let admin = made.admin.unwrap();
        for path in [&admin, &made.bootstrap_key.unwrap()] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let secret = std::fs::read_to_string(&admin).unwrap().trim().to_owned();
        assert_eq!(secret.len(), 43);
        let client = vault.client(ADMIN).await.unwrap().unwrap();
        assert!(hashing.check(Some(client.secret_hash), secret).await.unwrap());
        assert_eq!(start().await, Made::default());
    }
}
