//! The HTTP API. A handler decodes, makes one call, and encodes; everything around it stands in [`serve`].

mod admission;
mod caller;
mod console;
mod decisions;
mod entrance;
mod error;
mod exports;
mod idempotency;
mod json_body;
mod layers;
mod limits;
mod node_status;
mod nodes;
mod notable;
mod openapi;
mod paging;
mod policies;
mod policy_change;
mod policy_review;
mod policy_text;
mod reports;
mod runtime;
mod scan;
mod scan_body;
mod scan_terms;
mod scans;
mod stream;
mod trace;
mod untold;
mod vex;
mod waivers;

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

/// Bytes a policy in JSON may have; escaped it is longer than by itself.
const POLICY_LIMIT: usize = 4 * 1024 * 1024;
/// Bytes of a question for a preview: findings and a policy.
const PREVIEW_LIMIT: usize = 16 * 1024 * 1024;

/// Every route.
pub fn router(app: App, health: Health, registry: Registry) -> Router {
    let authority = app.auth.authority().cloned().map(stella_authority::routes).unwrap_or_default();
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
        .route("/api/v1/reports/of-scan/{scanId}", get(reports::of_a_scan))
        .route("/api/v1/reports/{id}", get(reports::get))
        .route("/api/v1/reports/{id}/referrers", post(reports::attach))
        .route("/api/v1/runtime/events", get(notable::notable).post(runtime::events))
        .route("/api/v1/scanner/policy/runtime", post(runtime::policy))
        .route("/api/v1/nodes", get(node_status::list))
        .route("/api/v1/nodes/{node}/status", post(node_status::put))
        .route("/api/v1/nodes/{node}/work", get(nodes::work))
        .route(
            "/api/v1/admission/decisions",
            get(decisions::decisions)
                .post(decisions::keep_decisions)
                .layer(DefaultBodyLimit::max(stella_api::admission::MAX_DECISIONS_BYTES)),
        )
        .route("/api/v1/admission/verdicts", get(admission::verdicts))
        .route("/api/v1/feeds", get(policies::feeds))
        .route("/policy/export", get(policies::export))
        .route("/policy/history", get(policies::history))
        .route("/policy/import", post(policy_change::import))
        .route("/policy/validate", post(policy_change::validate))
        .route("/policy/rollback", post(policy_change::rollback))
        .route("/api/v1/policy/schema", get(policy_review::schema))
        .route(
            "/api/v1/policy/diagnostics",
            post(policy_review::diagnostics).layer(DefaultBodyLimit::max(POLICY_LIMIT)),
        )
        .route("/api/v1/policy/preview", post(policy_review::preview).layer(DefaultBodyLimit::max(PREVIEW_LIMIT)))
        .route("/api/v1/policy/impact", post(policy_review::impact))
        .route("/api/v1/policy/verdicts", post(policy_review::verdicts))
        .route("/api/v1/waivers", get(waivers::list).post(waivers::create))
        .route("/api/v1/waivers/{id}", axum::routing::delete(waivers::withdraw))
        .route(
            "/console/vex/statements",
            post(vex::put).layer(DefaultBodyLimit::max(stella_advisory::vex::MAX_DOCUMENT)),
        )
        .route("/console/vex/documents/{id}", axum::routing::delete(vex::remove))
        .route("/console/vuln/findings", get(console::findings))
        .route("/console/vuln/findings/{id}", get(console::finding))
        .route("/export-center/runs/{id}", get(exports::run))
        .route("/export-center/runs/{id}/artifacts/{name}", get(exports::artifact))
        .route("/openapi/v1.json", get(openapi::json))
        .route("/openapi/v1.yaml", get(openapi::yaml))
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), idempotency::once))
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), entrance::let_in))
        .layer(DefaultBodyLimit::max(JSON_LIMIT))
        .layer(tower_http::decompression::RequestDecompressionLayer::new())
        .merge(health::router(health, registry))
        .merge(authority)
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(error::panicked))
        .layer(axum::middleware::from_fn_with_state(app.clone(), trace::problems))
        .with_state(app)
}
