//! Refresh tokens: each is good once, and a second use ends all that came from the login (RFC 9700, section 4.14.2).

use stella_domain::{Digest, Timestamp};

use super::error::{Code, GrantError};
use super::{Granted, TokenRequest};
use crate::audit::{Event, Outcome, What};
use crate::authority::Authority;
use crate::claims::{LEEWAY, LIFETIME};
use crate::remote::Asking;
use crate::vault::{Category, Refresh, Revocation, Spent};

impl Authority {
    pub(super) async fn refresh(
        &self,
        asking: Asking<'_>,
        request: &TokenRequest,
        now: Timestamp,
    ) -> Result<Granted, GrantError> {
        let client = self.client(request, now).await?;
        // Before the token is spent: a mistake here must not end the login when it is mended.
        request.scopes(&client.scopes)?;
        let wrong = || GrantError::new(Code::InvalidGrant, "the refresh token is not good");
        let refresh = match self.vault.spend_refresh(Digest::of(request.field("refresh_token")?), now).await? {
            Spent::Fresh(refresh) => refresh,
            Spent::Unknown => return Err(wrong()),
            Spent::Again(refresh) => {
                self.end_family(asking, refresh, now).await?;
                return Err(wrong());
            }
        };
        let revoked = self.revoked(now).await?;
        let ended = revoked.contains_key(&(Category::Family, refresh.family.clone()));
        let until =
            |category, id: &str| revoked.get(&(category, id.to_owned())).is_some_and(|at| *at >= refresh.login_at);
        let user = self.vault.user(&refresh.user).await?.filter(|user| !user.disabled);
        let (Some(user), false) = (user, ended || until(Category::User, &refresh.user)) else { return Err(wrong()) };
        if refresh.client != client.id || until(Category::Client, &refresh.client) {
            return Err(wrong());
        }
        // What was granted at login, out of what user and client may still do.
        let allowed = refresh.scopes.common(&user.role.scopes()).common(&client.scopes);
        let scopes = request.scopes(&allowed)?;
        let tenants = user.tenants.common(&client.tenants).ok_or_else(wrong)?;
        let mut grantee = self.grantee(&user.name, &client.id, scopes, tenants)?;
        grantee.family = Some(refresh.family.clone());
        grantee.max_scans_per_day = client.max_scans_per_day;
        Ok(Granted { refresh: Some(self.keep_refresh(&refresh).await?), grantee })
    }

    async fn end_family(&self, asking: Asking<'_>, refresh: Refresh, now: Timestamp) -> Result<(), GrantError> {
        let revocation = Revocation {
            category: Category::Family,
            id: refresh.family.clone(),
            revoked_at: now,
            // The last token from it may live on for an hour.
            expires_at: refresh.expires_at.plus_seconds(LIFETIME + LEEWAY),
            reason: "a refresh token was used twice".to_owned(),
        };
        self.revoke(&revocation).await?;
        let mut event = Event::new(What::RefreshReused, Outcome::Refused).subject(refresh.user);
        event.client = Some(refresh.client);
        event.detail = Some(format!("family {}", refresh.family));
        self.log(asking, event).await.map_err(GrantError::unavailable)
    }
}
