//! Users with a password (RFC 6749, section 4.3).

use stella_domain::{Digest, Timestamp};

use super::client::{MAX_NAME, failures_of};
use super::error::{Code, GrantError};
use super::{Granted, TokenRequest};
use crate::authority::Authority;
use crate::vault::{Refresh, User};

/// Seconds after which a user has to log in again, however often tokens were refreshed.
pub(super) const LOGIN: i64 = 30 * 24 * 3600;

impl Authority {
    pub(super) async fn password(&self, request: &TokenRequest, now: Timestamp) -> Result<Granted, GrantError> {
        let client = self.client(request, now).await?;
        let (name, password) = (request.field("username")?, request.field("password")?);
        let user = self.user(name, password, now).await?;
        let scopes = request.scopes(&user.role.scopes().common(&client.scopes))?;
        let tenants = user.tenants.common(&client.tenants);
        let tenants = tenants.ok_or_else(|| GrantError::new(Code::InvalidGrant, "user and client share no tenant"))?;
        let family = self.entropy.name().map_err(GrantError::unavailable)?;
        let mut grantee = self.grantee(&user.name, &client.id, scopes, tenants)?;
        grantee.family = Some(family.clone());
        grantee.max_scans_per_day = client.max_scans_per_day;
        let refresh = Refresh {
            family,
            client: client.id,
            user: user.name,
            scopes: grantee.scopes.clone(),
            login_at: now,
            expires_at: now.plus_seconds(LOGIN),
        };
        Ok(Granted { refresh: Some(self.keep_refresh(&refresh).await?), grantee })
    }

    async fn user(&self, name: &str, password: &str, now: Timestamp) -> Result<User, GrantError> {
        let known = if name.len() <= MAX_NAME { self.vault.user(name).await? } else { None };
        let user = known.filter(|user| !user.disabled);
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let right = self.hashing.check(hash, password.to_owned()).await.map_err(GrantError::unavailable)?;
        self.count(&failures_of("user", name), right, now, GrantError::wrong_user()).await?;
        user.ok_or_else(GrantError::wrong_user)
    }

    /// Keeps a refresh token, and returns its text, which nobody keeps.
    pub(super) async fn keep_refresh(&self, refresh: &Refresh) -> Result<String, GrantError> {
        let text = self.entropy.secret().map_err(GrantError::unavailable)?;
        self.vault.keep_refresh(Digest::of(&text), refresh).await?;
        Ok(text)
    }
}
