//! Who is asking, and for which tenant.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use stella_domain::Tenant;

use super::error::ApiError;
use crate::app::App;
use crate::auth::Denied;

/// A caller who was let in, with the tenant of the request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name for logs and histories.
    pub subject: String,
    /// The tenant the request is for.
    pub tenant: Tenant,
    /// Whether the request names its tenant.
    pub tenant_named: bool,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer(parts)?;
        let identity = app.auth.identify(token).await.map_err(|denied| match denied {
            Denied::Missing | Denied::Invalid(_) => ApiError::unauthorized(denied.to_string()),
            Denied::NotAllowed(_) => ApiError::forbidden(denied.to_string()),
            Denied::Unavailable(_) => ApiError::unavailable(denied.to_string()),
        })?;
        if identity.subject == "anonymous" {
            app.metrics.anonymous.inc();
            tracing::warn!(path = parts.uri.path(), "answered without authentication, as configured");
        }
        let named = tenant(parts)?;
        Ok(Self { subject: identity.subject, tenant_named: named.is_some(), tenant: named.unwrap_or_default() })
    }
}

impl Caller {
    /// The tenant, where the contract wants it named.
    ///
    /// # Errors
    /// 400 when the request does not name it.
    pub fn named_tenant(&self) -> Result<&Tenant, ApiError> {
        if self.tenant_named {
            Ok(&self.tenant)
        } else {
            Err(ApiError::invalid("the header X-Stella-Tenant is needed here"))
        }
    }

    /// Whether the caller may change what policies say: rules, waivers, VEX documents.
    ///
    /// # Errors
    /// 403 when not.
    pub fn may_write_policy(&self, app: &App) -> Result<(), ApiError> {
        if writes_policy(&self.subject, &app.settings.policy_writers) {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "service account {} may not change policies; see --policy-writer",
            self.subject
        )))
    }
}

/// Whether someone of this name may change what policies say. The static token and, where they are let in, callers without one
/// may; a service account has to be named, so that a stolen token of an agent opens no cluster.
fn writes_policy(subject: &str, writers: &BTreeSet<String>) -> bool {
    let Some((namespace, _)) = subject.split_once('/') else { return true };
    writers.contains(subject) || writers.contains(&format!("{namespace}/*"))
}

fn bearer(parts: &Parts) -> Result<Option<&str>, ApiError> {
    let Some(value) = parts.headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::unauthorized("the Authorization header is not text"))?;
    let token =
        text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    token.map(Some).ok_or_else(|| ApiError::unauthorized("the Authorization header is no bearer token"))
}

/// `X-Stella-Tenant`, or its old name; both have to agree.
fn tenant(parts: &Parts) -> Result<Option<Tenant>, ApiError> {
    let header = |name: &str| -> Result<Option<Tenant>, ApiError> {
        let Some(value) = parts.headers.get(name) else { return Ok(None) };
        let text = value.to_str().map_err(|_| ApiError::invalid(format!("{name} is not text")))?;
        text.parse().map(Some).map_err(|e: stella_domain::TenantError| ApiError::invalid(format!("{name}: {e}")))
    };
    match (header("X-Stella-Tenant")?, header("X-StellaOps-Tenant")?) {
        (Some(new), Some(old)) if new != old => {
            Err(ApiError::invalid("X-Stella-Tenant and X-StellaOps-Tenant name different tenants"))
        }
        (new, old) => Ok(new.or(old)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_has_to_be_named_to_write_policies() {
        let writers = BTreeSet::from(["ci/release".to_owned(), "gitops/*".to_owned()]);
        for (subject, may) in [
            ("static-token", true),
            ("anonymous", true),
            ("ci/release", true),
            ("gitops/anything", true),
            ("ci/other", false),
            ("stella-system/stella-agent", false),
        ] {
            assert_eq!(writes_policy(subject, &writers), may, "{subject}");
        }
    }
}
