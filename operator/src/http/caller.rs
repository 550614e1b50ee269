//! Who is asking, and for which tenant.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use stella_authority::tenants::Tenants;
use stella_domain::Tenant;

use super::error::ApiError;

/// A caller who was let in, with the tenant of the request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name for logs and histories.
    pub subject: String,
    /// The tenant the request is for.
    pub tenant: Tenant,
    /// Whether the request names its tenant.
    pub tenant_named: bool,
    /// For whom the caller may speak.
    pub tenants: Tenants,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    /// Whom [`super::entrance`] let in; nobody where it did not stand in the way.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<stella_authority::Caller>().cloned();
        let caller = caller.ok_or_else(|| ApiError::unauthorized("nobody was let in"))?;
        let named = tenant(parts)?;
        let tenant_named = named.is_some();
        Ok(Self { tenant: caller.tenant(named)?, subject: caller.subject, tenant_named, tenants: caller.tenants })
    }
}

impl Caller {
    /// Checks that the caller may speak for `tenant`.
    ///
    /// # Errors
    /// 403 when it may not.
    pub fn speaks_for(&self, tenant: &Tenant) -> Result<(), ApiError> {
        let may = self.tenants.contain(tenant);
        may.then_some(()).ok_or_else(|| ApiError::forbidden("the token does not speak for the tenant of this"))
    }

    /// Checks that the caller may speak for every tenant, as parts of the product do.
    ///
    /// # Errors
    /// 403 when it may not.
    pub fn speaks_for_all(&self) -> Result<(), ApiError> {
        let may = self.tenants == Tenants::All;
        may.then_some(()).ok_or_else(|| ApiError::forbidden("a token that speaks for every tenant is needed here"))
    }

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
}

/// `X-Stella-Tenant`, or its old name; both have to agree.
pub(super) fn tenant(parts: &Parts) -> Result<Option<Tenant>, ApiError> {
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
