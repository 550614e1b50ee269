//! Someone who was let in, and why someone was not.

use stella_domain::{Tenant, Timestamp};

use crate::dpop;
use crate::scope::{Need, Scope, Scopes};
use crate::tenants::Tenants;

/// How somebody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By a token.
    Token,
    /// By the network the request came from.
    Bypass,
    /// Without anything, because that is switched on.
    Anonymous,
}

/// Someone who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name for logs and histories.
    pub subject: String,
    /// The client the token was given to.
    pub client: Option<String>,
    /// For whom it may speak.
    pub tenants: Tenants,
    /// What it may do.
    pub scopes: Scopes,
    /// Scans a day.
    pub max_scans_per_day: Option<u32>,
    /// When the token ends.
    pub expires: Option<Timestamp>,
    /// The token's name, for quotas.
    pub token: Option<String>,
    /// How it was let in.
    pub how: How,
}

/// Why someone is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No credential was sent.
    #[error("a bearer token is needed")]
    Missing,
    /// The token is not valid.
    #[error("the token is not valid: {0}")]
    Token(String),
    /// The proof is not valid.
    #[error("the DPoP proof is not valid: {0}")]
    Proof(String),
    /// The token does not have the scope.
    #[error("the scope {0} is needed")]
    Scope(Scope),
    /// The token does not carry the tenant.
    #[error("the token does not speak for the tenant {0}")]
    Tenant(String),
    /// The key of bootstrap routes is missing or wrong.
    #[error("the header x-stellaops-bootstrap-key is needed")]
    BootstrapKey,
    /// Nobody can tell.
    #[error("tokens cannot be checked now: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Missing | Self::Token(_) | Self::Proof(_) | Self::BootstrapKey => 401,
            Self::Scope(_) | Self::Tenant(_) => 403,
            Self::Unavailable(_) => 503,
        }
    }

    /// Last part of the problem's type.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.status() {
            401 => "unauthorized",
            403 => "forbidden",
            _ => "unavailable",
        }
    }

    /// Values of `WWW-Authenticate` (RFC 6750, section 3; RFC 9449, section 7.1).
    #[must_use]
    pub fn challenges(&self) -> Vec<String> {
        let told = quotable(&self.to_string());
        let algorithms = dpop::ALGORITHMS;
        match self {
            Self::Missing | Self::Token(_) => vec![
                format!("Bearer realm=\"stella\", error=\"invalid_token\", error_description=\"{told}\""),
                format!("DPoP realm=\"stella\", error=\"invalid_token\", algs=\"{algorithms}\""),
            ],
            Self::Proof(_) => vec![format!(
                "DPoP realm=\"stella\", error=\"invalid_dpop_proof\", error_description=\"{told}\", algs=\"{algorithms}\""
            )],
            Self::Scope(scope) => {
                vec![format!("Bearer realm=\"stella\", error=\"insufficient_scope\", scope=\"{scope}\"")]
            }
            Self::BootstrapKey => vec!["StellaBootstrap realm=\"stella\", error=\"invalid_key\"".to_owned()],
            Self::Tenant(_) | Self::Unavailable(_) => Vec::new(),
        }
    }
}

/// The characters that an `error_description` may have (RFC 6749, section 5.2).
pub(crate) fn quotable(text: &str) -> String {
    let printable = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    text.chars().map(|c| if printable(c) { c } else { '\'' }).take(300).collect()
}

impl Caller {
    /// Somebody who needs no token.
    #[must_use]
    pub fn without_token(subject: impl Into<String>, how: How) -> Self {
        Self {
            subject: subject.into(),
            client: None,
            tenants: Tenants::All,
            scopes: Scopes::everything(),
            max_scans_per_day: None,
            expires: None,
            token: None,
            how,
        }
    }

    /// Checks that the caller may do what a route needs. Routes that the table does not know need the whole API.
    ///
    /// # Errors
    /// 403 that names the scope.
    pub fn may(&self, need: Option<Need>) -> Result<(), Refusal> {
        let scope = match need {
            Some(Need::Nothing) => return Ok(()),
            Some(Need::Scope(scope)) => scope,
            Some(Need::BootstrapKey) => return Err(Refusal::BootstrapKey),
            None => Scope::Api,
        };
        if self.scopes.allow(scope) { Ok(()) } else { Err(Refusal::Scope(scope)) }
    }

    /// The tenant of a request: the one it names, else the token's own.
    ///
    /// # Errors
    /// 403 when the token does not carry it.
    pub fn tenant(&self, named: Option<Tenant>) -> Result<Tenant, Refusal> {
        match named.or_else(|| self.tenants.own()) {
            Some(tenant) if self.tenants.contain(&tenant) => Ok(tenant),
            Some(tenant) => Err(Refusal::Tenant(tenant.to_string())),
            None => Err(Refusal::Tenant("of the request".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_scope_is_named_and_a_foreign_tenant_refused() {
        let mut caller = Caller::without_token("a", How::Token);
        caller.scopes = Scopes::from_iter([Scope::PolicyRead]);
        caller.tenants = Tenants::Named(vec!["acme".parse().unwrap()]);
        assert_eq!(caller.may(Some(Need::Scope(Scope::PolicyRead))), Ok(()));
        let refusal = caller.may(Some(Need::Scope(Scope::PolicyWrite))).unwrap_err();
        assert_eq!((refusal.status(), refusal.to_string().as_str()), (403, "the scope policy.write is needed"));
        assert!(refusal.challenges()[0].contains("insufficient_scope\", scope=\"policy.write\""));
        assert_eq!(caller.may(None).unwrap_err(), Refusal::Scope(Scope::Api));
        assert_eq!(caller.tenant(None).unwrap().as_str(), "acme");
        assert_eq!(caller.tenant("other".parse().ok()).unwrap_err().status(), 403);
        caller.tenants = Tenants::Named(Vec::new());
        assert!(caller.tenant(None).is_err() && caller.tenant("acme".parse().ok()).is_err());
    }

    #[test]
    fn challenges_carry_no_quotes_of_strangers() {
        let refusal = Refusal::Token("a\"b\\c\r\nd".to_owned());
        assert!(refusal.challenges()[0].ends_with("error_description=\"the token is not valid: a'b'c''d\""));
    }
}
