//! A vault in memory: for tests, and for a server that keeps nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use stella_domain::{Digest, Timestamp};

use super::{Answer, Category, Client, Refresh, Revocation, Spent, User, Vault};
use crate::lockout::{Failures, REMEMBERED};

/// The most names whose failures are counted.
const MAX_FAILURES: usize = 100_000;

/// Everything in one process, and gone with it.
#[derive(Debug, Default)]
pub struct MemoryVault(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    clients: BTreeMap<String, Client>,
    users: BTreeMap<String, User>,
    refresh: BTreeMap<Digest, (Refresh, bool)>,
    seen: BTreeMap<Digest, Timestamp>,
    failures: BTreeMap<String, Failures>,
    revocations: BTreeMap<(Category, String), Revocation>,
}

impl MemoryVault {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<'a, T: Send + 'a>(&self, of: impl FnOnce(&mut Kept) -> T) -> Answer<'a, T> {
        std::future::ready(Ok(of(&mut self.kept()))).boxed()
    }
}

impl Vault for MemoryVault {
    fn client<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Client>> {
        self.answer(|kept| kept.clients.get(id).cloned())
    }

    fn clients(&self) -> Answer<'_, Vec<Client>> {
        self.answer(|kept| kept.clients.values().cloned().collect())
    }

    fn keep_client<'a>(&'a self, client: &'a Client, new: bool) -> Answer<'a, bool> {
        self.answer(|kept| {
            let free = !new || !kept.clients.contains_key(&client.id);
            if free {
                kept.clients.insert(client.id.clone(), client.clone());
            }
            free
        })
    }

    fn user<'a>(&'a self, name: &'a str) -> Answer<'a, Option<User>> {
        self.answer(|kept| kept.users.get(name).cloned())
    }

    fn users(&self) -> Answer<'_, Vec<User>> {
        self.answer(|kept| kept.users.values().cloned().collect())
    }

    fn keep_user<'a>(&'a self, user: &'a User, new: bool) -> Answer<'a, bool> {
        self.answer(|kept| {
            let free = !new || !kept.users.contains_key(&user.name);
            if free {
                kept.users.insert(user.name.clone(), user.clone());
            }
            free
        })
    }

    fn keep_refresh<'a>(&'a self, digest: Digest, refresh: &'a Refresh) -> Answer<'a, ()> {
        self.answer(|kept| {
            kept.refresh.insert(digest, (refresh.clone(), false));
        })
    }

    fn spend_refresh(&self, digest: Digest, now: Timestamp) -> Answer<'_, Spent> {
        self.answer(|kept| match kept.refresh.get_mut(&digest) {
            Some((refresh, _)) if refresh.expires_at <= now => Spent::Unknown,
            Some((refresh, true)) => Spent::Again(refresh.clone()),
            Some((refresh, spent)) => {
                *spent = true;
                Spent::Fresh(refresh.clone())
            }
            None => Spent::Unknown,
        })
    }

    fn first_sight(&self, digest: Digest, now: Timestamp, until: Timestamp) -> Answer<'_, bool> {
        self.answer(|kept| {
            let seen = kept.seen.get(&digest).is_some_and(|until| *until > now);
            if !seen {
                kept.seen.insert(digest, until);
            }
            !seen
        })
    }

    fn failures<'a>(&'a self, name: &'a str) -> Answer<'a, Failures> {
        self.answer(|kept| kept.failures.get(name).copied().unwrap_or_default())
    }

    fn count_failure<'a>(&'a self, name: &'a str, now: Timestamp) -> Answer<'a, Failures> {
        self.answer(|kept| {
            let failures = kept.failures.get(name).copied().unwrap_or_default().and_one(now);
            if kept.failures.len() < MAX_FAILURES || kept.failures.contains_key(name) {
                kept.failures.insert(name.to_owned(), failures);
            }
            failures
        })
    }

    fn forget_failures<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        self.answer(|kept| {
            kept.failures.remove(name);
        })
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> Answer<'a, ()> {
        self.answer(|kept| {
            let key = (revocation.category, revocation.id.clone());
            let old = kept.revocations.get(&key);
            if old.is_none_or(|old| old.revoked_at <= revocation.revoked_at) {
                kept.revocations.insert(key, revocation.clone());
            }
        })
    }

    fn revocations(&self, now: Timestamp) -> Answer<'_, Vec<Revocation>> {
        self.answer(|kept| kept.revocations.values().filter(|one| one.expires_at > now).cloned().collect())
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        self.answer(|kept| {
            kept.refresh.retain(|_, (refresh, _)| refresh.expires_at > now);
            kept.seen.retain(|_, until| *until > now);
            kept.failures.retain(|_, failures| now.seconds_since(failures.last) < REMEMBERED);
            kept.revocations.retain(|_, revocation| revocation.expires_at > now);
        })
    }
}
