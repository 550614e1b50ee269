//! The OpenAPI document, made from the handlers.

mod complete;
mod elsewhere;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use utoipa::OpenApi;

use super::error::ApiError;

/// Everything the API offers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Stella",
        description = "Which vulnerabilities matter, and what may run.",
        license(name = "Apache-2.0")
    ),
    paths(
        super::scan::scan,
        super::layers::missing,
        super::layers::inventory,
        super::scans::submit,
        super::scans::state,
        super::scans::cancel,
        super::scans::events,
        super::scans::findings,
        super::scans::sbom,
        super::reports::create,
        super::reports::get,
        super::reports::of_a_scan,
        super::reports::keys,
        super::reports::attach,
        super::runtime::events,
        super::notable::notable,
        super::runtime::policy,
        super::node_status::list,
        super::node_status::put,
        super::nodes::work,
        super::admission::verdicts,
        super::decisions::keep_decisions,
        super::decisions::decisions,
        super::policies::export,
        super::policies::history,
        super::policies::feeds,
        super::policy_change::import,
        super::policy_change::validate,
        super::policy_change::rollback,
        super::policy_review::schema,
        super::policy_review::diagnostics,
        super::policy_review::preview,
        super::policy_review::impact,
        super::policy_review::verdicts,
        super::waivers::create,
        super::waivers::list,
        super::waivers::withdraw,
        super::vex::put,
        super::vex::remove,
        super::console::findings,
        super::console::finding,
        super::exports::run,
        super::exports::artifact,
    )
)]
struct Document;

/// The document as JSON.
///
/// # Errors
/// When it cannot be written, which a test rules out.
pub fn document() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&whole()?).map(|text| text + "\n")
}

/// What the handlers say, what those of other crates offer, and what holds for all.
fn whole() -> serde_json::Result<serde_json::Value> {
    let mut document = serde_json::to_value(Document::openapi())?;
    if let (Some(paths), serde_json::Value::Object(further)) = (document["paths"].as_object_mut(), elsewhere::paths()) {
        paths.extend(further);
    }
    complete::complete(&mut document);
    Ok(document)
}

/// The document as YAML.
///
/// # Errors
/// The reason, when it cannot be written, which a test rules out.
pub fn document_yaml() -> Result<String, String> {
    let document = whole().map_err(|e| e.to_string())?;
    serde_saphyr::to_string(&document).map_err(|e| e.to_string())
}

pub(super) async fn json() -> Result<Response, ApiError> {
    let text = document().map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

pub(super) async fn yaml() -> Result<Response, ApiError> {
    let text = document_yaml().map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text).into_response())
}
