//! `Idempotency-Key`: what is asked twice is done once.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use stella_authority::Caller;
use stella_domain::{Digest, Hasher};
use stella_store::Idempotent;

use super::caller::tenant;
use super::error::ApiError;
use crate::app::App;

const KEY: &str = "idempotency-key";
/// Bytes a body may have that comes with a key: it is held to be compared.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Bytes of an answer that is kept.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;
/// Seconds for which an answer is kept.
const KEPT: i64 = 24 * 3600;
/// Seconds after which whoever began to answer counts as dead.
const PATIENCE: i64 = 120;
/// Headers that are kept with an answer; the others belong to the request.
const HEADERS: [HeaderName; 4] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION, header::CACHE_CONTROL];

#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    /// Base64.
    body: String,
}

/// Answers a POST with a key as it was answered the first time.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let Some(key) = parts.headers.get(KEY).filter(|_| parts.method == Method::POST) else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key = key.ok_or_else(|| ApiError::invalid("Idempotency-Key has 1 to 255 printable characters"))?;
    let id = id(&parts, key)?;
    let body = to_bytes(body, MAX_BODY).await.map_err(|error| {
        ApiError::too_large(format!("with an Idempotency-Key a body may have {MAX_BODY} bytes: {error}"))
    })?;
    let asked = asked(&parts, &body);
    let now = app.clock.now();
    match app.store.begin_idempotent(&id, &asked, now, now.plus_seconds(PATIENCE)).await? {
        Idempotent::First => {
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            keep(&app, &id, &asked, response).await
        }
        Idempotent::Answered(kept) => again(&kept),
        Idempotent::Running => {
            Err(ApiError::conflict("the first request with this Idempotency-Key is being answered").retry_after(1))
        }
        Idempotent::Other => Err(ApiError::conflict("this Idempotency-Key came with another request before")),
    }
}

/// A key is its caller's, for one tenant and one route.
fn id(parts: &Parts, key: &str) -> Result<String, ApiError> {
    let subject = parts.extensions.get::<Caller>().map(|caller| caller.subject.clone()).unwrap_or_default();
    let named = tenant(parts)?;
    let mut hasher = Hasher::new();
    hasher.field(subject);
    hasher.field(named.as_ref().map(stella_domain::Tenant::as_str).unwrap_or_default());
    hasher.field(parts.uri.path());
    hasher.field(key);
    Ok(hasher.finish().hex())
}

fn asked(parts: &Parts, body: &[u8]) -> String {
    let mut hasher = Hasher::new();
    hasher.field(parts.uri.query().unwrap_or_default());
    hasher.field(Digest::of(body).as_bytes());
    hasher.finish().hex()
}

/// Keeps what is worth keeping: not what went wrong here, nor what may go better next time, nor a stream.
async fn keep(app: &App, id: &str, asked: &str, response: Response) -> Result<Response, ApiError> {
    let expires = app.clock.now().plus_seconds(KEPT);
    let status = response.status();
    let passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::CONFLICT].contains(&status);
    let size = response.body().size_hint().exact();
    if status.is_server_error() || passing || size.is_none_or(|size| size > MAX_ANSWER) {
        app.store.end_idempotent(id, asked, None, expires).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(ApiError::internal)?;
    let headers = HEADERS.iter().filter_map(|name| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let kept = Kept { status: status.as_u16(), headers: headers.collect(), body: STANDARD.encode(&body) };
    let bytes = serde_json::to_vec(&kept).map_err(ApiError::internal)?;
    app.store.end_idempotent(id, asked, Some(&bytes), expires).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn again(kept: &[u8]) -> Result<Response, ApiError> {
    let kept: Kept = serde_json::from_slice(kept).map_err(ApiError::internal)?;
    let mut response = Response::new(Body::from(STANDARD.decode(&kept.body).map_err(ApiError::internal)?));
    *response.status_mut() = StatusCode::from_u16(kept.status).map_err(ApiError::internal)?;
    for (name, value) in &kept.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}
