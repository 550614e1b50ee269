//! The trace of a request (W3C Trace Context), and problem documents on the way out.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use stella_domain::Hasher;
use stella_service::traces::Answered;

use super::error::ApiError;
use crate::app::App;

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Paths that are asked every few seconds by those who watch the process; nobody looks for their traces.
const PROBES: [&str; 4] = ["/healthz", "/metrics", "/readyz", "/version"];

/// Gives every answer a `traceparent`, and every refusal the shape of a problem document. Whoever collects traces is told.
pub(super) async fn problems(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let given = request.headers().get("traceparent").cloned();
    let given = given.as_ref().and_then(|value| value.to_str().ok());
    let trace = traceparent(given, &app.settings.worker);
    let told = (app.traces.are_on() && !PROBES.contains(&path.as_str()))
        .then(|| (request.method().clone(), request.extensions().get::<MatchedPath>().cloned(), Instant::now()));
    if let Ok(value) = HeaderValue::from_str(&trace) {
        request.headers_mut().insert("traceparent", value);
    }
    let span = tracing::info_span!("request", method = %request.method(), path, trace);
    let answering = tracing::Instrument::instrument(next.run(request), span);
    let response = if told.is_some() { app.traces.within(&trace, answering).await } else { answering.await };
    let finished = response.extensions().get::<stella_authority::http::Final>().is_some();
    let mut response = if finished {
        response
    } else if response.status().is_client_error() || response.status().is_server_error() {
        as_problem(response, &path, &trace, &app.settings.data).await
    } else {
        response
    };
    if let Ok(value) = HeaderValue::from_str(&trace) {
        response.headers_mut().insert("traceparent", value);
    }
    if let Some((method, route, begun)) = told {
        app.traces.answered(&Answered {
            trace: &trace,
            caller: given,
            method: method.as_str(),
            path: &path,
            route: route.as_ref().map(MatchedPath::as_str),
            status: response.status().as_u16(),
            took: begun.elapsed(),
        });
    }
    response
}

async fn as_problem(response: Response, path: &str, trace: &str, data: &Path) -> Response {
    let (mut parts, body) = response.into_parts();
    let json =
        parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    // Readiness answers 503 with a document of its own.
    if json && parts.status == StatusCode::SERVICE_UNAVAILABLE {
        return Response::from_parts(parts, body);
    }
    let error = match parts.extensions.remove::<ApiError>() {
        Some(error) => error.at(data),
        None => {
            let text = to_bytes(body, 4096).await.map(|text| String::from_utf8_lossy(&text).into_owned());
            ApiError::of_bare(parts.status, text.unwrap_or_default())
        }
    };
    let document = serde_json::to_vec(&error.problem(path, trace)).unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Response::from_parts(parts, Body::from(document)).into_response()
}

/// The caller's trace goes on under a span of ours; without one a new trace begins. `process` has no other namesake, now or later:
/// in a container every process has the same number.
fn traceparent(given: Option<&str>, process: &str) -> String {
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let mut hasher = Hasher::new();
    hasher.field(process);
    hasher.field(number.to_be_bytes());
    let fresh = hasher.finish().hex();
    match given.and_then(stella_service::traceparent::parts) {
        Some([trace, _, flags]) => format!("00-{trace}-{}-{flags}", &fresh[32..48]),
        None => format!("00-{}-{}-01", &fresh[..32], &fresh[32..48]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_trace_goes_on_and_a_broken_one_does_not() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(traceparent(Some(given), "a").starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        for broken in ["", "00-xyz", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            let fresh = traceparent(Some(broken), "a");
            assert!(fresh.len() == 55 && !fresh.contains("0000000000000000"), "{fresh}");
        }
    }
}
