//! `POST /token/offline`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Problem, secret};
use super::{asking, caller, form};
use crate::authority::Authority;
use crate::people::NewOfflineToken;
use crate::scope::{Scope, Scopes};
use crate::tenants::Tenants;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    #[serde(default = "thirty")]
    expires_days: i64,
    #[serde(default)]
    max_scans_per_day: Option<u32>,
    #[serde(default = "api")]
    scopes: Scopes,
    #[serde(default)]
    tenants: Tenants,
}

fn thirty() -> i64 {
    30
}

fn api() -> Scopes {
    Scopes::from_iter([Scope::Api])
}

pub(super) async fn make(State(authority): State<Authority>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    made(&authority, &parts, body).await.unwrap_or_else(|problem| problem.answer(&parts))
}

async fn made(authority: &Authority, parts: &Parts, body: axum::body::Body) -> Result<Response, Problem> {
    let caller = caller(authority, parts).await?;
    let body: Body = form::json(&parts.headers, body).await?;
    let new = NewOfflineToken {
        days: body.expires_days,
        max_scans_per_day: body.max_scans_per_day,
        scopes: body.scopes,
        tenants: body.tenants,
    };
    let (jwt, expires) = authority.offline_token(asking(parts), &caller.subject, new).await?;
    Ok(secret(StatusCode::OK, &json!({"jwt": jwt, "expires": expires})))
}
