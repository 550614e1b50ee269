//! The key set, and the discovery document (RFC 8414; OpenID Connect Discovery 1.0).

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::Final;
use crate::authority::Authority;
use crate::grant::GRANT_TYPES;
use crate::jose::Algorithm;
use crate::scope::Scope;

/// Keys change by rotation, and an old one stays for as long as its tokens.
const CACHE: &str = "public, max-age=300";

pub(super) async fn jwks(State(authority): State<Authority>) -> Response {
    public(authority.keys.ring().jwks(authority.now()))
}

pub(super) async fn document(State(authority): State<Authority>) -> Response {
    let issuer = authority.settings.own_issuer();
    let algorithms = Algorithm::ALL.map(Algorithm::as_str);
    let scopes: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    public(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/connect/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "grant_types_supported": GRANT_TYPES,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": scopes,
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": algorithms,
    }))
}

fn public(value: serde_json::Value) -> Response {
    let mut response = ([(header::CACHE_CONTROL, CACHE)], Json(value)).into_response();
    response.extensions_mut().insert(Final);
    response
}
