//! Is the client who it says?

use stella_domain::{Digest, Timestamp};

use super::TokenRequest;
use super::error::{Code, GrantError};
use crate::authority::Authority;
use crate::vault::Client;

/// The longest name that is looked up.
pub(super) const MAX_NAME: usize = 200;

impl Authority {
    /// The client of the request, whose secret is right. Unknown, disabled and locked ones take as long as a wrong
    /// secret.
    pub(super) async fn client(&self, request: &TokenRequest, now: Timestamp) -> Result<Client, GrantError> {
        let form = |name: &str| request.form.get(name).map(String::as_str);
        let (id, secret) = match (&request.basic, form("client_secret")) {
            (Some(_), Some(_)) => {
                return Err(GrantError::new(
                    Code::InvalidRequest,
                    "the client is named twice: by Basic and in the form",
                ));
            }
            (Some((id, _)), None) if form("client_id").is_some_and(|other| other != id) => {
                return Err(GrantError::new(Code::InvalidRequest, "'client_id' is another one than that of Basic"));
            }
            (Some((id, secret)), None) => (id.as_str(), secret.as_str()),
            (None, secret) => (form("client_id").unwrap_or_default(), secret.unwrap_or_default()),
        };
        if id.is_empty() || secret.is_empty() {
            return Err(GrantError::new(Code::InvalidClient, "the client has to show who it is"));
        }
        let known = if id.len() <= MAX_NAME { self.vault.client(id).await? } else { None };
        let client = known.filter(|client| !client.disabled);
        let hash = client.as_ref().map(|client| client.secret_hash.clone());
        let right = self.hashing.check(hash, secret.to_owned()).await.map_err(GrantError::unavailable)?;
        self.count(&failures_of("client", id), right, now, GrantError::wrong_client()).await?;
        client.ok_or_else(GrantError::wrong_client)
    }

    /// Counts a failure, or forgets those before. While a name is locked, the right secret is refused like a wrong one;
    /// failures are looked at after the work, so that many tries at once do not slip through together.
    pub(super) async fn count(
        &self,
        name: &str,
        right: bool,
        now: Timestamp,
        wrong: GrantError,
    ) -> Result<(), GrantError> {
        let failures = self.vault.failures(name).await?;
        if let Some(seconds) = failures.locked(now) {
            return Err(wrong.locked(seconds));
        }
        if !right {
            let failures = self.vault.count_failure(name, now).await?;
            return Err(match failures.locked(now) {
                Some(seconds) => wrong.locked(seconds),
                None => wrong,
            });
        }
        if failures.count > 0 {
            self.vault.forget_failures(name).await?;
        }
        Ok(())
    }
}

/// The name under which failures are counted; names of strangers may be long.
pub(super) fn failures_of(kind: &str, name: &str) -> String {
    format!("{kind}:{}", Digest::of(name).hex())
}
