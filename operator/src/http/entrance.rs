//! The entrance of every route: nobody comes to a handler who may not.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use stella_authority::Caller;
use stella_authority::caller::How;
use stella_authority::http::asking;
use stella_authority::scope::{Need, need};

use super::error::ApiError;
use super::limits;
use crate::app::App;
use crate::auth::Denied;

/// Lets a request in whose caller may do what the route needs, and puts the caller where handlers find it.
pub(super) async fn let_in(State(app): State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let mut spent = None;
    if need(parts.method.as_str(), parts.uri.path()) != Some(Need::Nothing) {
        let caller = caller(&parts, &app).await?;
        if caller.how == How::Anonymous {
            app.metrics.anonymous.inc();
            tracing::warn!(path = parts.uri.path(), "answered without authentication, as configured");
        }
        match limits::spend(&app, &parts, &caller).await {
            Ok(counted) => {
                if let Some(left) = counted.left() {
                    parts.extensions.insert(left);
                }
                spent = Some(counted);
            }
            Err(refusal) => return Ok(refusal),
        }
        parts.extensions.insert(caller);
    }
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(spent) = spent {
        spent.settle(&app, &mut response).await;
    }
    Ok(response)
}

/// Who sent the request, if it may do what its route needs.
async fn caller(parts: &Parts, app: &App) -> Result<Caller, ApiError> {
    let asking = asking(parts);
    let need = need(asking.method, asking.path);
    let nobody = app.auth.allows_anonymous() && !parts.headers.contains_key(AUTHORIZATION);
    let authority = app.auth.authority().filter(|authority| !nobody && authority.judges(asking));
    if let Some(authority) = authority {
        return Ok(authority.authorize(asking, need, app.clock.now()).await?);
    }
    let identity = app.auth.identify(bearer(parts)?).await.map_err(|denied| match denied {
        Denied::Missing | Denied::Invalid(_) => ApiError::unauthorized(denied.to_string()),
        Denied::NotAllowed(_) => ApiError::forbidden(denied.to_string()),
        Denied::Unavailable(_) => ApiError::unavailable(denied.to_string()),
    })?;
    let mut caller = Caller::without_token(identity.subject, if nobody { How::Anonymous } else { How::Token });
    (caller.scopes, caller.tenants) = (identity.scopes, identity.tenants);
    caller.may(need)?;
    Ok(caller)
}

fn bearer(parts: &Parts) -> Result<Option<&str>, ApiError> {
    let Some(value) = parts.headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::unauthorized("the Authorization header is not text"))?;
    let token =
        text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    token.map(Some).ok_or_else(|| ApiError::unauthorized("the Authorization header is no bearer token"))
}
