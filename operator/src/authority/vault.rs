//! The vault on the store.

use futures::FutureExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stella_authority::lockout::{Failures, REMEMBERED};
use stella_authority::vault::{Answer, Client, Refresh, Revocation, Spent, User, Vault, VaultError};
use stella_domain::{Digest, Timestamp};
use stella_store::{Store, StoreError};

const CLIENT: &str = "client";
const USER: &str = "user";
const REFRESH: &str = "refresh";
const SEEN: &str = "seen";
const FAILURES: &str = "failures";
const REVOCATION: &str = "revocation";

/// Records of the authority in the database.
#[derive(Debug, Clone)]
pub struct StoreVault(Store);

#[derive(Serialize, Deserialize)]
struct KeptRefresh {
    refresh: Refresh,
    spent: bool,
}

impl StoreVault {
    /// Over `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    async fn get<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<T>, VaultError> {
        self.0.authority_record(kind, id).await.map_err(refused)?.map(|body| read(&body)).transpose()
    }

    async fn list<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, VaultError> {
        self.0.authority_records(kind).await.map_err(refused)?.iter().map(|body| read(body)).collect()
    }

    async fn keep(&self, kind: &str, id: &str, value: &impl Serialize, new: bool) -> Result<bool, VaultError> {
        let body = text(value)?;
        if new {
            let never = Timestamp::default();
            return self.0.add_authority_record(kind, id, &body, never, None).await.map_err(refused);
        }
        self.0.keep_authority_record(kind, id, &body, None).await.map_err(refused)?;
        Ok(true)
    }

    async fn spend(&self, id: &str, now: Timestamp) -> Result<Spent, VaultError> {
        loop {
            let Some(old) = self.0.authority_record(REFRESH, id).await.map_err(refused)? else {
                return Ok(Spent::Unknown);
            };
            let KeptRefresh { refresh, spent } = read(&old)?;
            if refresh.expires_at <= now {
                return Ok(Spent::Unknown);
            }
            if spent {
                return Ok(Spent::Again(refresh));
            }
            let (ends, new) = (Some(refresh.expires_at), text(&KeptRefresh { refresh: refresh.clone(), spent: true })?);
            if self.0.swap_authority_record(REFRESH, id, &old, &new, ends).await.map_err(refused)? {
                return Ok(Spent::Fresh(refresh));
            }
        }
    }

    async fn count(&self, name: &str, now: Timestamp) -> Result<Failures, VaultError> {
        let ends = Some(now.plus_seconds(REMEMBERED));
        loop {
            let old = self.0.authority_record(FAILURES, name).await.map_err(refused)?;
            let failures = old.as_deref().map(read::<Failures>).transpose()?.unwrap_or_default().and_one(now);
            let new = text(&failures)?;
            let done = match &old {
                Some(old) => self.0.swap_authority_record(FAILURES, name, old, &new, ends).await,
                None => self.0.add_authority_record(FAILURES, name, &new, now, ends).await,
            };
            // Who lost against another one counts after it.
            if done.map_err(refused)? {
                return Ok(failures);
            }
        }
    }

    async fn keep_revocation(&self, revocation: &Revocation) -> Result<(), VaultError> {
        let id = format!("{}:{}", revocation.category.as_str(), revocation.id);
        let (new, ends) = (text(revocation)?, Some(revocation.expires_at));
        loop {
            let old = self.0.authority_record(REVOCATION, &id).await.map_err(refused)?;
            let done = match &old {
                Some(old) if read::<Revocation>(old)?.revoked_at > revocation.revoked_at => return Ok(()),
                Some(old) => self.0.swap_authority_record(REVOCATION, &id, old, &new, ends).await,
                None => self.0.add_authority_record(REVOCATION, &id, &new, revocation.revoked_at, ends).await,
            };
            if done.map_err(refused)? {
                return Ok(());
            }
        }
    }
}

fn refused(error: StoreError) -> VaultError {
    VaultError(error.to_string())
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T, VaultError> {
    serde_json::from_str(body).map_err(|error| VaultError(format!("a record cannot be read: {error}")))
}

fn text(value: &impl Serialize) -> Result<String, VaultError> {
    serde_json::to_string(value).map_err(|error| VaultError(error.to_string()))
}

impl Vault for StoreVault {
    fn client<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Client>> {
        self.get(CLIENT, id).boxed()
    }

    fn clients(&self) -> Answer<'_, Vec<Client>> {
        self.list(CLIENT).boxed()
    }

    fn keep_client<'a>(&'a self, client: &'a Client, new: bool) -> Answer<'a, bool> {
        self.keep(CLIENT, &client.id, client, new).boxed()
    }

    fn user<'a>(&'a self, name: &'a str) -> Answer<'a, Option<User>> {
        self.get(USER, name).boxed()
    }

    fn users(&self) -> Answer<'_, Vec<User>> {
        self.list(USER).boxed()
    }

    fn keep_user<'a>(&'a self, user: &'a User, new: bool) -> Answer<'a, bool> {
        self.keep(USER, &user.name, user, new).boxed()
    }

    fn keep_refresh<'a>(&'a self, digest: Digest, refresh: &'a Refresh) -> Answer<'a, ()> {
        async move {
            let body = text(&KeptRefresh { refresh: refresh.clone(), spent: false })?;
            let ends = Some(refresh.expires_at);
            self.0.keep_authority_record(REFRESH, &digest.hex(), &body, ends).await.map_err(refused)
        }
        .boxed()
    }

    fn spend_refresh(&self, digest: Digest, now: Timestamp) -> Answer<'_, Spent> {
        async move { self.spend(&digest.hex(), now).await }.boxed()
    }

    fn first_sight(&self, digest: Digest, now: Timestamp, until: Timestamp) -> Answer<'_, bool> {
        async move { self.0.add_authority_record(SEEN, &digest.hex(), "", now, Some(until)).await.map_err(refused) }
            .boxed()
    }

    fn failures<'a>(&'a self, name: &'a str) -> Answer<'a, Failures> {
        async move { Ok(self.get(FAILURES, name).await?.unwrap_or_default()) }.boxed()
    }

    fn count_failure<'a>(&'a self, name: &'a str, now: Timestamp) -> Answer<'a, Failures> {
        self.count(name, now).boxed()
    }

    fn forget_failures<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        async move { self.0.remove_authority_record(FAILURES, name).await.map_err(refused) }.boxed()
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> Answer<'a, ()> {
        self.keep_revocation(revocation).boxed()
    }

    fn revocations(&self, now: Timestamp) -> Answer<'_, Vec<Revocation>> {
        async move {
            let mut found: Vec<Revocation> = self.list(REVOCATION).await?;
            found.retain(|one| one.expires_at > now);
            found.sort_by(|a, b| (a.category, &a.id).cmp(&(b.category, &b.id)));
            Ok(found)
        }
        .boxed()
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        async move { self.0.sweep_authority_records(now).await.map(drop).map_err(refused) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_store_is_a_vault() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        stella_authority::vault::contract::check(&StoreVault::new(store)).await;
    }
}
