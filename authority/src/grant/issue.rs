//! Making the token.

use stella_domain::Timestamp;

use super::error::GrantError;
use crate::authority::Authority;
use crate::claims::{Claims, Confirmation, LIFETIME, TYPE};
use crate::jose;
use crate::scope::Scopes;
use crate::tenants::Tenants;

/// Whom a token stands for, and what it allows.
#[derive(Debug, Clone)]
pub struct Grantee {
    /// `sub`.
    pub subject: String,
    /// `client_id`.
    pub client: String,
    /// `scope`.
    pub scopes: Scopes,
    /// `tenants`.
    pub tenants: Tenants,
    /// `jti`.
    pub jti: String,
    /// The login it came from.
    pub family: Option<String>,
    /// The key it is bound to.
    pub jkt: Option<String>,
    /// Scans a day.
    pub max_scans_per_day: Option<u32>,
    /// Seconds it is good for.
    pub seconds: i64,
}

impl Grantee {
    /// Of a token for an hour, bound to nothing.
    #[must_use]
    pub fn new(subject: &str, client: &str, scopes: Scopes, tenants: Tenants, jti: String) -> Self {
        Self {
            subject: subject.to_owned(),
            client: client.to_owned(),
            scopes,
            tenants,
            jti,
            family: None,
            jkt: None,
            max_scans_per_day: None,
            seconds: LIFETIME,
        }
    }
}

impl Authority {
    /// Signs the token of `grantee` with the active key.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn issue(&self, grantee: &Grantee, now: Timestamp) -> Result<String, GrantError> {
        let iat = now.as_millis().div_euclid(1000);
        let claims = Claims {
            iss: self.settings.own_issuer(),
            sub: grantee.subject.clone(),
            aud: self.settings.audience.clone(),
            exp: iat + grantee.seconds,
            nbf: iat,
            iat,
            jti: grantee.jti.clone(),
            client_id: grantee.client.clone(),
            scope: grantee.scopes.to_string(),
            tenants: grantee.tenants.clone(),
            sid: grantee.family.clone(),
            cnf: grantee.jkt.clone().map(|jkt| Confirmation { jkt }),
            max_scans_per_day: grantee.max_scans_per_day,
        };
        let payload = serde_json::to_vec(&claims).map_err(GrantError::unavailable)?;
        jose::sign(self.keys.ring().active(), TYPE, &payload).map_err(GrantError::unavailable)
    }
}
