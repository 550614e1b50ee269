//! Tokens for whoever shows who they are (RFC 6749, section 4 and 5).

mod client;
mod error;
mod issue;
mod password;
mod refresh;

use std::collections::BTreeMap;

use serde::Serialize;
use stella_domain::Timestamp;

use crate::accounts::AccountError;
use crate::audit::{Event, Outcome, What};
use crate::authenticate::ProofError;
use crate::authority::Authority;
use crate::dpop::Proof;
use crate::remote::Asking;
use crate::scope::Scopes;
use crate::tenants::Tenants;

pub use error::{Code, GrantError};
pub use issue::Grantee;

/// `grant_type` of assertions (RFC 7523).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Every grant type that is served.
pub const GRANT_TYPES: [&str; 4] = ["client_credentials", "password", "refresh_token", JWT_BEARER];

/// What a client sent to the token endpoint.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    /// The form, each name once.
    pub form: BTreeMap<String, String>,
    /// The client of HTTP Basic.
    pub basic: Option<(String, String)>,
}

/// An answer of the token endpoint (RFC 6749, section 5.1).
#[derive(Debug, Clone, Serialize)]
pub struct TokenAnswer {
    /// The token.
    pub access_token: String,
    /// `Bearer`, or `DPoP` for one that is bound.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    /// What it allows.
    pub scope: String,
    /// For the next one, after a login with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// Who gets a token, and for what.
#[derive(Debug, Clone)]
struct Granted {
    grantee: Grantee,
    refresh: Option<String>,
}

impl Authority {
    /// Answers a request for a token. Whatever the answer is, it stands in the audit log before it is given.
    ///
    /// # Errors
    /// As RFC 6749, section 5.2, names them.
    pub async fn token_endpoint(
        &self,
        asking: Asking<'_>,
        request: &TokenRequest,
        now: Timestamp,
    ) -> Result<TokenAnswer, GrantError> {
        let answer = self.grant(asking, request, now).await;
        let mut event = Event::new(What::Token, Outcome::Success);
        event.client = request.claimed_client().map(str::to_owned);
        event.subject = request.form.get("username").cloned();
        let kind = request.form.get("grant_type").map(String::as_str).unwrap_or_default();
        match &answer {
            Ok((granted, _)) => {
                event.subject = Some(granted.grantee.subject.clone());
                event.client = Some(granted.grantee.client.clone());
                event.scopes = granted.grantee.scopes.clone();
                event.detail = Some(format!("{kind} {}", granted.grantee.jti));
            }
            Err(error) => {
                event.outcome = Outcome::Refused;
                event.scopes = Scopes::known(request.form.get("scope").map(String::as_str).unwrap_or_default());
                event.detail = Some(format!("{kind}: {error}"));
            }
        }
        if let Err(error) = self.log(asking, event).await {
            return Err(GrantError::unavailable(error.to_string()));
        }
        answer.map(|(_, answer)| answer)
    }

    async fn grant(
        &self,
        asking: Asking<'_>,
        request: &TokenRequest,
        now: Timestamp,
    ) -> Result<(Granted, TokenAnswer), GrantError> {
        let kind = request.field("grant_type")?;
        if !GRANT_TYPES.contains(&kind) {
            return Err(GrantError::new(Code::UnsupportedGrantType, "this grant type is not served"));
        }
        // Before any secret is looked at: a bad proof says nothing about secrets, and secrets cost a lot to check.
        let proof = self.proof_of(asking, now)?;
        let mut granted = match kind {
            "client_credentials" => self.client_credentials(request, now).await?,
            "password" => self.password(request, now).await?,
            "refresh_token" => self.refresh(asking, request, now).await?,
            _ => self.service_account(request, now).await?,
        };
        if let Some(proof) = proof {
            self.first_sight(&proof, now).await.map_err(|error| match error {
                ProofError::Wrong(error) => GrantError::new(Code::InvalidDpopProof, error.to_string()),
                ProofError::Unavailable(error) => GrantError::unavailable(error),
            })?;
            granted.grantee.jkt = Some(proof.jkt);
        }
        let token_type = if granted.grantee.jkt.is_some() { "DPoP" } else { "Bearer" };
        let answer = TokenAnswer {
            access_token: self.issue(&granted.grantee, now)?,
            token_type,
            expires_in: granted.grantee.seconds,
            scope: granted.grantee.scopes.to_string(),
            refresh_token: granted.refresh.clone(),
        };
        Ok((granted, answer))
    }

    /// The request's proof, when it has one.
    fn proof_of(&self, asking: Asking<'_>, now: Timestamp) -> Result<Option<Proof>, GrantError> {
        if !asking.headers.contains_key("dpop") {
            return Ok(None);
        }
        let proof = self.proof(asking, None, now);
        proof.map(Some).map_err(|error| GrantError::new(Code::InvalidDpopProof, error.to_string()))
    }

    /// Tells the audit log of a request for a token that cannot be read. It is refused either way.
    pub(crate) async fn unreadable(&self, asking: Asking<'_>, error: &GrantError) {
        let _ = self.log(asking, Event::new(What::Token, Outcome::Refused).detail(error.to_string())).await;
    }

    async fn client_credentials(&self, request: &TokenRequest, now: Timestamp) -> Result<Granted, GrantError> {
        let client = self.client(request, now).await?;
        let scopes = request.scopes(&client.scopes)?;
        let grantee = Grantee {
            max_scans_per_day: client.max_scans_per_day,
            ..self.grantee(&client.id, &client.id, scopes, client.tenants)?
        };
        Ok(Granted { grantee, refresh: None })
    }

    /// A service account's token for one of ours (RFC 7523, section 2.1). The account is the client.
    async fn service_account(&self, request: &TokenRequest, now: Timestamp) -> Result<Granted, GrantError> {
        let assertion = request.field("assertion")?;
        if request.claimed_client().is_some() {
            self.client(request, now).await?;
        }
        let accounts = self.accounts.as_ref();
        let accounts = accounts.ok_or_else(|| GrantError::new(Code::InvalidGrant, "there is no cluster to ask"))?;
        let account = accounts.review(assertion).await.map_err(|error| match error {
            AccountError::Invalid(why) => GrantError::new(Code::InvalidGrant, why),
            AccountError::Unavailable(why) => GrantError::unavailable(why),
        })?;
        let rule = self.settings.service_accounts.iter().find(|rule| rule.fits(&account));
        let wrong = || GrantError::new(Code::InvalidGrant, format!("the service account {account} may not log in"));
        let rule = rule.ok_or_else(wrong)?;
        let scopes = request.scopes(&rule.scopes)?;
        let subject = format!("system:serviceaccount:{}", account.replacen('/', ":", 1));
        Ok(Granted { grantee: self.grantee(&subject, &subject, scopes, rule.tenants.clone())?, refresh: None })
    }

    fn grantee(&self, subject: &str, client: &str, scopes: Scopes, tenants: Tenants) -> Result<Grantee, GrantError> {
        if scopes.is_empty() {
            return Err(GrantError::new(Code::InvalidScope, "nothing is allowed"));
        }
        let jti = self.entropy.name().map_err(|error| GrantError::unavailable(error.to_string()))?;
        Ok(Grantee::new(subject, client, scopes, tenants, jti))
    }
}

impl TokenRequest {
    /// A field that has to be there.
    fn field(&self, name: &'static str) -> Result<&str, GrantError> {
        let value = self.form.get(name).map(String::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| GrantError::new(Code::InvalidRequest, format!("the field '{name}' is missing")))
    }

    /// The client that the request says it is.
    fn claimed_client(&self) -> Option<&str> {
        let basic = self.basic.as_ref().map(|(id, _)| id.as_str());
        basic.or_else(|| self.form.get("client_id").map(String::as_str))
    }

    /// The scopes asked for, out of those `allowed`; all of them when none are named.
    fn scopes(&self, allowed: &Scopes) -> Result<Scopes, GrantError> {
        let Some(text) = self.form.get("scope").filter(|text| !text.trim().is_empty()) else {
            return Ok(allowed.clone());
        };
        let asked = Scopes::parse(text).map_err(|error| GrantError::new(Code::InvalidScope, error.to_string()))?;
        match allowed.lacks(&asked) {
            None => Ok(asked),
            Some(scope) => Err(GrantError::new(Code::InvalidScope, format!("the scope {scope} is not allowed"))),
        }
    }
}
