//! What the authority keeps: clients, users, refresh tokens, revocations, failures, proofs that were seen.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod memory;
mod record;

use futures::future::BoxFuture;
use stella_domain::{Digest, Timestamp};

pub use memory::MemoryVault;
pub use record::{Category, Client, Refresh, Revocation, Role, Spent, User};

use crate::lockout::Failures;

/// Something cannot be kept or found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the vault does not answer: {0}")]
pub struct VaultError(pub String);

/// The answer of a vault.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, VaultError>>;

/// A place for what the authority keeps, shared by all replicas. Each call is one transaction.
pub trait Vault: Send + Sync {
    /// The client `id`.
    fn client<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Client>>;
    /// Every client, by id.
    fn clients(&self) -> Answer<'_, Vec<Client>>;
    /// Keeps `client`, in place of one with its id; with `new`, only when there is none. `false` when there is one.
    fn keep_client<'a>(&'a self, client: &'a Client, new: bool) -> Answer<'a, bool>;

    /// The user `name`.
    fn user<'a>(&'a self, name: &'a str) -> Answer<'a, Option<User>>;
    /// Every user, by name.
    fn users(&self) -> Answer<'_, Vec<User>>;
    /// Keeps `user`, as [`Vault::keep_client`] does.
    fn keep_user<'a>(&'a self, user: &'a User, new: bool) -> Answer<'a, bool>;

    /// Keeps a refresh token under the digest of its text.
    fn keep_refresh<'a>(&'a self, digest: Digest, refresh: &'a Refresh) -> Answer<'a, ()>;
    /// Spends the refresh token with this digest: only one caller ever sees it fresh.
    fn spend_refresh(&self, digest: Digest, now: Timestamp) -> Answer<'_, Spent>;

    /// Marks `digest` as seen until `until`. `false` when it was seen before.
    fn first_sight(&self, digest: Digest, now: Timestamp, until: Timestamp) -> Answer<'_, bool>;

    /// The failures of `name`.
    fn failures<'a>(&'a self, name: &'a str) -> Answer<'a, Failures>;
    /// Counts one more failure of `name`.
    fn count_failure<'a>(&'a self, name: &'a str, now: Timestamp) -> Answer<'a, Failures>;
    /// Forgets the failures of `name`.
    fn forget_failures<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Keeps `revocation`; of two for the same thing, the later one.
    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> Answer<'a, ()>;
    /// Revocations that still matter at `now`, by category and id.
    fn revocations(&self, now: Timestamp) -> Answer<'_, Vec<Revocation>>;

    /// Throws away what no longer matters at `now`.
    fn sweep(&self, now: Timestamp) -> Answer<'_, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_a_vault() {
        contract::check(&MemoryVault::default()).await;
    }
}
