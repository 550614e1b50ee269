//! Tokens of another OpenID provider, by its discovery document and key set.

mod fetch;
mod held;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use stella_domain::{Tenant, Timestamp};

use crate::caller::{Caller, How};
use crate::claims::{self, ClaimError, Required};
use crate::jose::{self, JoseError, Jwks, Parts};
use crate::scope::Scopes;
use crate::settings::ExternalIssuer;
use crate::tenants::Tenants;
use fetch::Fetch;
use held::Held;

pub use fetch::FetchError;

/// Seconds between two questions to the issuer, whatever tokens come: strangers must not drive us there.
const PAUSE: i64 = 5;
/// The types of access tokens; many issuers say `JWT`, or nothing.
const TYPES: [Option<&str>; 3] = [Some("at+jwt"), Some("jwt"), None];

/// Why a token of the issuer is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// It does not hold.
    #[error(transparent)]
    Token(#[from] ClaimError),
    /// The issuer does not answer, and what is known of it is too old.
    #[error("the issuer cannot be asked: {0}")]
    Issuer(#[from] FetchError),
}

/// A caller with a token of the issuer.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// Who it is.
    pub caller: Caller,
    /// The key the token is bound to.
    pub jkt: Option<String>,
}

/// The other issuer. Clones share what is known of it.
#[derive(Clone)]
pub struct External(Arc<Inner>);

struct Inner {
    settings: ExternalIssuer,
    name: String,
    fetch: Fetch,
    held: Mutex<Held>,
    asking: tokio::sync::Mutex<()>,
}

impl External {
    /// The issuer of `settings`. It is asked when its first token comes.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: ExternalIssuer) -> Result<Self, FetchError> {
        // Names of issuers are compared as text; a root path is written both ways.
        let text = settings.url.as_str();
        let name = if settings.url.path() == "/" { text.trim_end_matches('/') } else { text }.to_owned();
        let fetch = Fetch::new(i64::from(settings.cache_seconds))?;
        Ok(Self(Arc::new(Inner {
            settings,
            name,
            fetch,
            held: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })))
    }

    /// Whether `issuer` is its name; some write a slash at the end, and some do not.
    #[must_use]
    pub fn is(&self, issuer: &str) -> bool {
        issuer.trim_end_matches('/') == self.0.name.trim_end_matches('/')
    }

    /// Who `token` stands for.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn verify(
        &self,
        token: &str,
        parts: &Parts,
        audience: &str,
        now: Timestamp,
    ) -> Result<Trusted, ExternalError> {
        if !TYPES.contains(&parts.typ.as_deref()) {
            let got = parts.typ.clone().unwrap_or_default().chars().take(40).collect();
            return Err(ClaimError::from(JoseError::Type { got, wanted: "at+jwt" }).into());
        }
        let kid = parts.kid.as_deref();
        let keys = self.keys(kid, now).await?;
        let name = || kid.unwrap_or_default().chars().take(64).collect();
        let key = keys.find(kid).ok_or_else(|| ClaimError::from(JoseError::UnknownKey(name())))?;
        jose::verify(token, parts.algorithm, key).map_err(ClaimError::from)?;
        let audience = self.0.settings.audience.as_deref().unwrap_or(audience);
        // It was compared without regard to a slash at its end.
        let issuer = parts.payload.get("iss").and_then(Value::as_str).filter(|iss| self.is(iss));
        claims::check(&parts.payload, Required { issuer: issuer.unwrap_or(&self.0.name), audience, now })?;
        Ok(self.trusted(&parts.payload)?)
    }

    fn trusted(&self, payload: &Value) -> Result<Trusted, ClaimError> {
        let text = |claim: &str| payload.get(claim).and_then(Value::as_str).map(str::to_owned);
        let subject = text("sub").filter(|sub| !sub.is_empty()).ok_or(ClaimError::Claim("sub"))?;
        let scopes = match payload.get("scope").or_else(|| payload.get("scp")) {
            Some(Value::String(scopes)) => Scopes::known(scopes),
            Some(Value::Array(scopes)) => {
                scopes.iter().filter_map(Value::as_str).filter_map(|one| one.parse().ok()).collect()
            }
            _ => Scopes::default(),
        };
        let tenants = match payload.get("tenants") {
            Some(tenants) => serde_json::from_value(tenants.clone()).map_err(|_| ClaimError::Claim("tenants"))?,
            None => match payload.get("tenant").and_then(Value::as_str) {
                Some(name) => Tenants::Named(vec![name.parse::<Tenant>().map_err(|_| ClaimError::Claim("tenant"))?]),
                None => Tenants::Named(self.0.settings.tenants.clone()),
            },
        };
        let expires =
            payload.get("exp").and_then(Value::as_f64).map(|exp| Timestamp::from_millis((exp * 1000.0) as i64));
        let quota = payload.get("maxScansPerDay").and_then(Value::as_u64).and_then(|scans| scans.try_into().ok());
        let jkt = payload.get("cnf").map(|cnf| cnf.get("jkt").and_then(Value::as_str).map(str::to_owned));
        let caller = Caller {
            subject,
            client: text("client_id").or_else(|| text("azp")),
            tenants,
            scopes,
            max_scans_per_day: quota,
            expires,
            token: text("jti"),
            how: How::Token,
        };
        match jkt {
            // Bound by something that is not checked here, such as a client certificate.
            Some(None) => Err(ClaimError::Claim("cnf.jkt")),
            Some(Some(jkt)) => Ok(Trusted { caller, jkt: Some(jkt) }),
            None => Ok(Trusted { caller, jkt: None }),
        }
    }

    /// Keys that are fresh, and hold `kid` if the issuer has it.
    async fn keys(&self, kid: Option<&str>, now: Timestamp) -> Result<Arc<Jwks>, FetchError> {
        if let Some(keys) = self.held().good(kid, now) {
            return Ok(keys);
        }
        let tolerance = i64::from(self.0.settings.offline_cache_tolerance);
        // One question at a time. Who has keys that will do waits for nobody, for the issuer may hang.
        let _asking = match self.0.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => {
                let tolerated = self.held().tolerated(now, tolerance).filter(|keys| keys.find(kid).is_some());
                if let Some(keys) = tolerated {
                    return Ok(keys);
                }
                self.0.asking.lock().await
            }
        };
        {
            let held = self.held();
            if let Some(keys) = held.good(kid, now) {
                return Ok(keys);
            }
            if !held.may_ask(now, PAUSE) {
                return held.tolerated(now, tolerance).ok_or(FetchError::Pause);
            }
        }
        let fetched = self.0.fetch.keys(&self.0.name).await;
        let mut held = self.held();
        match fetched {
            Ok((keys, seconds)) => Ok(held.put(keys, now, seconds)),
            Err(error) => {
                held.failed(now);
                match held.tolerated(now, tolerance) {
                    Some(keys) => {
                        tracing::warn!(%error, issuer = self.0.name, "the issuer does not answer; its cached keys are used");
                        Ok(keys)
                    }
                    None => Err(error),
                }
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
