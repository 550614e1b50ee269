//! `POST /connect/token`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{answer, asking, form};
use crate::authority::Authority;
use crate::caller::quotable;
use crate::grant::{Code, GrantError};

pub(super) async fn token(State(authority): State<Authority>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answered = match form::token_request(&parts.headers, body).await {
        Ok(request) => authority.token_endpoint(asking(&parts), &request, authority.now()).await,
        Err(error) => {
            authority.unreadable(asking(&parts), &error).await;
            Err(error)
        }
    };
    match answered {
        Ok(token) => answer::secret(StatusCode::OK, &token),
        Err(error) => refusal(&error),
    }
}

/// RFC 6749, section 5.2.
fn refusal(error: &GrantError) -> Response {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = json!({"error": error.code.as_str(), "error_description": quotable(&error.description)});
    let mut response = answer::no_store((status, Json(body)).into_response());
    if error.code == Code::InvalidClient {
        let basic = HeaderValue::from_static("Basic realm=\"stella\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
