//! The HTTP API. A handler decodes, makes one call, and encodes; everything around it stands in [`serve`].

mod admission;
mod caller;
mod console;
mod error;
mod exports;
mod layers;
mod nodes;
mod openapi;
mod policies;
mod reports;
mod runtime;
mod scan;
mod scans;
mod sse;
mod trace;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use prometheus::Registry;
use stella_service::health::{self, Health};

use crate::app::App;

pub use error::ApiError;
pub use openapi::{document, document_yaml};

/// Bytes a JSON body may have where nothing else is said.
const JSON_LIMIT: usize = 1024 * 1024;
/// Bytes that a request with the caller's own findings may have.
const REPORT_LIMIT: usize = 16 * 1024 * 1024;
/// Bytes an inventory may have.
const INVENTORY_LIMIT: usize = 256 * 1024 * 1024;

/// Every route.
pub fn router(app: App, health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/scan", post(scan::scan).layer(DefaultBodyLimit::disable()))
        .route("/layers/missing", post(layers::missing))
        .route("/api/v1/inventories", post(layers::inventory).layer(DefaultBodyLimit::max(INVENTORY_LIMIT)))
        .route("/api/v1/scans", post(scans::submit))
        .route("/api/v1/scans/{id}", get(scans::state).delete(scans::cancel))
        .route("/api/v1/scans/{id}/events", get(scans::events))
        .route("/api/v1/scans/{id}/findings", get(scans::findings))
        .route("/api/v1/scans/{id}/sbom", get(scans::sbom))
        .route("/api/v1/reports", post(reports::create).layer(DefaultBodyLimit::max(REPORT_LIMIT)))
        .route("/api/v1/reports/keys", get(reports::keys))
        .route("/api/v1/reports/{id}", get(reports::get))
        .route("/api/v1/reports/{id}/referrers", post(reports::attach))
        .route("/api/v1/runtime/events", post(runtime::events))
        .route("/api/v1/scanner/policy/runtime", post(runtime::policy))
        .route("/api/v1/nodes/{node}/work", get(nodes::work))
        .route("/api/v1/admission/verdicts", get(admission::verdicts))
        .route("/api/v1/feeds", get(policies::feeds))
        .route("/policy/export", get(policies::export))
        .route("/policy/history", get(policies::history))
        .route("/console/vuln/findings", get(console::findings))
        .route("/console/vuln/findings/{id}", get(console::finding))
        .route("/export-center/runs/{id}", get(exports::run))
        .route("/export-center/runs/{id}/artifacts/{name}", get(exports::artifact))
        .route("/openapi/v1.json", get(openapi::json))
        .route("/openapi/v1.yaml", get(openapi::yaml))
        .layer(DefaultBodyLimit::max(JSON_LIMIT))
        .layer(tower_http::decompression::RequestDecompressionLayer::new())
        .merge(health::router(health, registry))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(error::panicked))
        .layer(axum::middleware::from_fn(trace::problems))
        .with_state(app)
}
