//! The authority over HTTP. A handler decodes, makes one call, and encodes.

mod admin;
mod answer;
mod discovery;
mod form;
mod internal;
mod offline;
mod token;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::routing::{get, patch, post};

use crate::authority::Authority;
use crate::caller::{Caller, Refusal};
use crate::remote::Asking;
use crate::scope::need;

pub use answer::{Final, Problem};

/// Bytes a body may have here.
const LIMIT: usize = 64 * 1024;

/// Every route of the authority. Answers carry [`Final`]: what is around them should leave them as they are.
pub fn routes<S: Clone + Send + Sync + 'static>(authority: Authority) -> Router<S> {
    Router::new()
        .route("/connect/token", post(token::token))
        .route("/token/offline", post(offline::make))
        .route("/jwks", get(discovery::jwks))
        .route("/.well-known/openid-configuration", get(discovery::document))
        .route("/internal/revocations/export", get(internal::export))
        .route("/internal/signing/rotate", post(internal::rotate))
        .route("/api/v1/admin/users", get(admin::users).post(admin::add_user))
        .route("/api/v1/admin/users/{name}", patch(admin::change_user))
        .route("/api/v1/admin/clients", get(admin::clients).post(admin::add_client))
        .route("/api/v1/admin/clients/{id}", patch(admin::change_client))
        .route("/api/v1/admin/clients/{id}/secret", post(admin::rotate_client))
        .route("/api/v1/admin/tenants", get(admin::tenants))
        .with_state(authority)
}

/// The parts of a request that decide who is asking.
#[must_use]
pub fn asking(parts: &Parts) -> Asking<'_> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    Asking { headers: &parts.headers, method: parts.method.as_str(), path: parts.uri.path(), peer }
}

/// The caller of one of our own routes.
async fn caller(authority: &Authority, parts: &Parts) -> Result<Caller, Refusal> {
    let need = need(parts.method.as_str(), parts.uri.path());
    authority.authorize(asking(parts), need, authority.now()).await
}
