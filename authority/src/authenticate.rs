//! Who sent a request.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde::Deserialize as _;
use serde_json::Value;
use stella_domain::Timestamp;

use crate::audit::{Event, Outcome, What};
use crate::authority::Authority;
use crate::caller::{Caller, How, Refusal};
use crate::claims::{self, ClaimError, Claims, Required};
use crate::dpop::{self, DpopError, Expected, Proof};
use crate::external::Trusted;
use crate::jose::{self, JoseError, MAX_TOKEN};
use crate::remote::{Asking, within};
use crate::scope::{Need, Scopes};
use crate::vault::Category;

impl Authority {
    /// Who sent the request, whose proof must be fresh at `now`. Refused tokens and calls without one go to the audit
    /// log; a call that skipped authentication is answered only once that stands there.
    ///
    /// # Errors
    /// Why they are not let in.
    pub async fn authenticate(&self, asking: Asking<'_>, now: Timestamp) -> Result<Caller, Refusal> {
        let result = self.identify(asking, now).await;
        let event = match &result {
            Ok(caller) if caller.how != How::Token => {
                let detail = format!("{} {}", asking.method, asking.path);
                Event::new(What::Unauthenticated, Outcome::Success).subject(&caller.subject).detail(detail)
            }
            Err(refusal @ (Refusal::Token(_) | Refusal::Proof(_))) => refused(asking, refusal),
            Ok(_) | Err(_) => return result,
        };
        match self.log(asking, event).await {
            Ok(()) => result,
            Err(error) if result.is_ok() => Err(Refusal::Unavailable(error.to_string())),
            Err(_) => result,
        }
    }

    /// As [`Authority::authenticate`], and checks that the caller may do what the route needs.
    ///
    /// # Errors
    /// Why they are not let in.
    pub async fn authorize(&self, asking: Asking<'_>, need: Option<Need>, now: Timestamp) -> Result<Caller, Refusal> {
        let caller = self.authenticate(asking, now).await?;
        if let Err(refusal) = caller.may(need) {
            let event = Event { client: caller.client.clone(), ..refused(asking, &refusal).subject(&caller.subject) };
            // The refusal stands whether or not it can be told.
            let _ = self.log(asking, event).await;
            return Err(refusal);
        }
        Ok(caller)
    }

    /// Whether the request is the authority's to judge: it has no credential, a DPoP token, or a token of an issuer that is
    /// known here. Tokens of other kinds, such as those of service accounts, may be judged by somebody else.
    #[must_use]
    pub fn judges(&self, asking: Asking<'_>) -> bool {
        let Ok(Some((scheme, token))) = credential(asking.headers) else { return true };
        let known = self.read(token).is_ok_and(|shown| {
            let issuer = shown.issuer();
            issuer == self.settings.own_issuer() || self.external.as_ref().is_some_and(|external| external.is(issuer))
        });
        scheme == Scheme::Dpop || known
    }

    async fn identify(&self, asking: Asking<'_>, now: Timestamp) -> Result<Caller, Refusal> {
        if !self.settings.enabled {
            return Ok(Caller::without_token("anonymous", How::Anonymous));
        }
        let Some((scheme, token)) = credential(asking.headers)? else {
            return self.without_token(asking);
        };
        let (caller, bound) = self.token(token, now).await?;
        match (bound, scheme) {
            (None, Scheme::Bearer) => {}
            (None, Scheme::Dpop) => {
                return Err(Refusal::Token("it is not bound to a key, and was sent as DPoP".to_owned()));
            }
            (Some(_), Scheme::Bearer) => {
                return Err(Refusal::Token("it is bound to a key, and needs a DPoP proof".to_owned()));
            }
            (Some(jkt), Scheme::Dpop) => {
                let proof = self.proof(asking, Some(token), now).map_err(|error| Refusal::Proof(error.to_string()))?;
                if proof.jkt != jkt {
                    return Err(Refusal::Proof("it is of another key than the token's".to_owned()));
                }
                self.first_sight(&proof, now).await.map_err(proof_refused)?;
            }
        }
        Ok(caller)
    }

    fn without_token(&self, asking: Asking<'_>) -> Result<Caller, Refusal> {
        let remote = asking.remote(&self.settings);
        if let Some(remote) = remote.filter(|remote| within(&self.settings.bypass_networks, *remote)) {
            tracing::warn!(path = asking.path, %remote, "answered without authentication: bypassNetworks");
            return Ok(Caller::without_token(format!("network:{remote}"), How::Bypass));
        }
        if self.settings.allow_anonymous_fallback {
            tracing::warn!(path = asking.path, "answered without authentication: allowAnonymousFallback");
            return Ok(Caller::without_token("anonymous", How::Anonymous));
        }
        Err(Refusal::Missing)
    }

    /// The proof of a request, which may have been seen before.
    pub(crate) fn proof(&self, asking: Asking<'_>, token: Option<&str>, now: Timestamp) -> Result<Proof, DpopError> {
        let mut proofs = asking.headers.get_all("dpop").into_iter();
        let (Some(proof), None) = (proofs.next(), proofs.next()) else { return Err(DpopError::Count) };
        let proof = proof.to_str().map_err(|_| JoseError::Shape).map_err(DpopError::from)?;
        let url = asking.url(&self.settings).ok_or(DpopError::Claim("htu"))?;
        dpop::check(proof, Expected { method: asking.method, url: &url, token, now })
    }

    /// Marks `proof` as seen. Only once its sender is known: what strangers make up is not kept.
    pub(crate) async fn first_sight(&self, proof: &Proof, now: Timestamp) -> Result<(), ProofError> {
        let first = self.vault.first_sight(proof.replay, now, proof.until).await;
        if first.map_err(|error| ProofError::Unavailable(error.to_string()))? {
            Ok(())
        } else {
            Err(DpopError::Replayed.into())
        }
    }

    /// Who `token` stands for, and the key it is bound to.
    async fn token(&self, token: &str, now: Timestamp) -> Result<(Caller, Option<String>), Refusal> {
        let refused = |error: ClaimError| Refusal::Token(error.to_string());
        let shown = self.read(token).map_err(|error| refused(error.into()))?;
        if shown.issuer() == self.settings.own_issuer() {
            let claims = self.own(&shown, now).map_err(refused)?;
            self.not_revoked(&claims, now).await?;
            let bound = claims.cnf.as_ref().map(|cnf| cnf.jkt.clone());
            return Ok((of_claims(claims), bound));
        }
        let external = self.external.as_ref().filter(|external| external.is(shown.issuer()));
        let external = external.ok_or_else(|| refused(ClaimError::Other("iss")))?;
        match external.verify(token, &shown.parts, &self.settings.audience, now).await {
            Ok(Trusted { caller, jkt }) => Ok((caller, jkt)),
            Err(crate::external::ExternalError::Token(error)) => Err(refused(error)),
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
        }
    }

    /// What `token` says; of one that was never seen, before anybody believes it.
    fn read<'a>(&self, token: &'a str) -> Result<Shown<'a>, JoseError> {
        Ok(match self.proven().get(token) {
            Some(parts) => Shown { token, parts, proven: true },
            None => Shown { token, parts: Arc::new(jose::split(token)?), proven: false },
        })
    }

    fn own(&self, shown: &Shown<'_>, now: Timestamp) -> Result<Claims, ClaimError> {
        let parts = &shown.parts;
        if parts.typ.as_deref() != Some(claims::TYPE) {
            let got = parts.typ.clone().unwrap_or_default().chars().take(40).collect();
            return Err(JoseError::Type { got, wanted: claims::TYPE }.into());
        }
        self.signed(shown, now)?;
        let issuer = self.settings.own_issuer();
        claims::check(&parts.payload, Required { issuer: &issuer, audience: &self.settings.audience, now })?;
        Claims::deserialize(&parts.payload).map_err(|_| JoseError::Json("payload").into())
    }

    /// Checks that a key that still verifies signed the token. A key's name is its thumbprint, so what held once holds as long as
    /// the name is known.
    fn signed(&self, shown: &Shown<'_>, now: Timestamp) -> Result<(), JoseError> {
        let kid = shown.parts.kid.as_deref().unwrap_or_default();
        let ring = self.keys.ring_with(kid, now);
        if shown.proven && ring.find(kid, now).is_some() {
            return Ok(());
        }
        ring.verify(shown.token, now)?;
        self.proven().put(shown.token, &shown.parts);
        Ok(())
    }

    async fn not_revoked(&self, claims: &Claims, now: Timestamp) -> Result<(), Refusal> {
        let revoked = self.revoked(now).await.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let at = |category, id: &str| revoked.get(&(category, id.to_owned()));
        // Tokens name whole seconds: one issued within the second of the revocation is revoked.
        let until = |at: Option<&Timestamp>| at.is_some_and(|at| claims.iat * 1000 <= at.as_millis());
        // A login is a user's: a client of the same name is another one.
        let login = claims.sid.as_deref();
        let family = login.and_then(|sid| at(Category::Family, sid));
        if at(Category::Token, &claims.jti).is_some()
            || family.is_some()
            || until(at(Category::Client, &claims.client_id))
            || (login.is_some() && until(at(Category::User, &claims.sub)))
        {
            return Err(Refusal::Token("it was revoked".to_owned()));
        }
        Ok(())
    }
}

/// Why a proof is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProofError {
    /// It does not hold.
    #[error(transparent)]
    Wrong(#[from] DpopError),
    /// Whether it was seen before cannot be told.
    #[error("{0}")]
    Unavailable(String),
}

fn proof_refused(error: ProofError) -> Refusal {
    match error {
        ProofError::Wrong(error) => Refusal::Proof(error.to_string()),
        ProofError::Unavailable(error) => Refusal::Unavailable(error),
    }
}

fn refused(asking: Asking<'_>, refusal: &Refusal) -> Event {
    let detail = format!("{} {}: {refusal}", asking.method, asking.path);
    Event::new(What::Refused, Outcome::Refused).detail(detail)
}

/// A token of a request.
struct Shown<'a> {
    token: &'a str,
    parts: Arc<jose::Parts>,
    /// Whether its signature held before.
    proven: bool,
}

impl Shown<'_> {
    /// Whom it names as its issuer; empty where it names nobody.
    fn issuer(&self) -> &str {
        self.parts.payload.get("iss").and_then(Value::as_str).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// The one credential of a request (RFC 6750, section 2.1; RFC 9449, section 7.1).
fn credential(headers: &HeaderMap) -> Result<Option<(Scheme, &str)>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = |why: &str| Refusal::Token(why.to_owned());
    if values.next().is_some() {
        return Err(refused("there is more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| refused("the Authorization header is not text"))?;
    let (scheme, token) = text.split_once(' ').ok_or_else(|| refused("the Authorization header has no token"))?;
    let scheme = match scheme {
        bearer if bearer.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        dpop if dpop.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        _ => return Err(refused("the Authorization header is neither Bearer nor DPoP")),
    };
    let token = token.trim();
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(refused("the Authorization header has no token, or one that is too long"));
    }
    Ok(Some((scheme, token)))
}

fn of_claims(claims: Claims) -> Caller {
    Caller {
        subject: claims.sub,
        client: Some(claims.client_id),
        tenants: claims.tenants,
        scopes: Scopes::known(&claims.scope),
        max_scans_per_day: claims.max_scans_per_day,
        expires: Some(Timestamp::from_millis(claims.exp.saturating_mul(1000))),
        token: Some(claims.jti),
        how: How::Token,
    }
}
