//! What probes ask: is the process alive, is it ready, and if not, which part is missing.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::Registry;
use serde::Serialize;

use crate::openmetrics;
use crate::version::Version;

/// The readiness of a process: named parts, each ready or not for a reason. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<RwLock<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    missing: BTreeMap<String, Option<String>>,
    draining: bool,
}

/// One part's side of [`Health`].
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: String,
}

/// The body of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Whether every part is ready.
    pub ready: bool,
    /// Why not, by part.
    pub not_ready: BTreeMap<String, String>,
}

impl Health {
    /// Without parts, and so ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part, which is not ready, because it is `starting`.
    #[must_use]
    pub fn part(&self, name: impl Into<String>) -> Part {
        let part = Part { health: self.clone(), name: name.into() };
        part.not_ready("starting");
        part
    }

    /// From now on nothing is ready: the process is going. Call it as soon as the shutdown signal comes.
    pub fn drain(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).draining = true;
    }

    /// How things stand.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut not_ready: BTreeMap<_, _> =
            parts.missing.iter().filter_map(|(name, reason)| Some((name.clone(), reason.clone()?))).collect();
        if parts.draining {
            not_ready.insert("process".to_owned(), "shutting down".to_owned());
        }
        Readiness { ready: not_ready.is_empty(), not_ready }
    }
}

impl Part {
    /// This part is ready.
    pub fn ready(&self) {
        self.set(None);
    }

    /// This part is not ready; `reason` is for a person.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<String>) {
        let mut parts = self.health.0.write().unwrap_or_else(PoisonError::into_inner);
        parts.missing.insert(self.name.clone(), reason);
    }
}

/// `/healthz` (the JSON string `"ok"`), `/readyz` (200 or 503 with [`Readiness`]), `/metrics` (Prometheus text, or
/// OpenMetrics when `Accept` names it) and `/version`; see the HTTP conventions, "Shutdown".
///
/// Liveness is no more than the process answering: a task that dies ends the process (see [`crate::supervise`]).
pub fn router<S: Clone + Send + Sync + 'static>(health: Health, registry: Registry) -> Router<S> {
    Router::new()
        .route("/healthz", get(|| async { Json("ok") }))
        .route("/version", get(|| async { Json(Version::current()) }))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(metrics).with_state(registry))
}

async fn readyz(State(health): State<Health>) -> Response {
    let readiness = health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics(State(registry): State<Registry>, headers: HeaderMap) -> Response {
    let asked = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match openmetrics::prometheus(&registry) {
        Ok(text) if asked.contains("application/openmetrics-text") => {
            ([(CONTENT_TYPE, openmetrics::OPENMETRICS)], openmetrics::from_prometheus(&text)).into_response()
        }
        Ok(text) => ([(CONTENT_TYPE, openmetrics::PROMETHEUS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(error.to_string())).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    async fn ask(health: &Health, path: &str) -> (StatusCode, String) {
        let app: Router = router(health.clone(), Registry::new());
        let answer = app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_the_part_that_is_missing() {
        let health = Health::new();
        let part = health.part("certificate");
        health.part("verdicts").ready();
        let (status, body) = ask(&health, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, r#"{"ready":false,"notReady":{"certificate":"starting"}}"#);
        part.ready();
        assert_eq!(ask(&health, "/readyz").await.0, StatusCode::OK);
        health.drain();
        assert!(ask(&health, "/readyz").await.1.contains("shutting down"));
    }

    #[tokio::test]
    async fn the_process_is_alive_while_it_drains() {
        let health = Health::new();
        health.drain();
        assert_eq!(ask(&health, "/healthz").await, (StatusCode::OK, "\"ok\"".to_owned()));
        assert!(ask(&health, "/version").await.1.contains("gitSha"));
    }
}
