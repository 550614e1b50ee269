//! Signed reports.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use stella_api::report::{ReportRequest, SignedReport};
use stella_domain::Digest;
use stella_policy::FindingInput;
use stella_store::ScanStatus;

use super::caller::Caller;
use super::error::ApiError;
use crate::app::App;
use crate::reports::{ReportingError, of_scan, of_supplied};

/// The most findings a caller may bring.
const MAX_FINDINGS: usize = 10_000;

/// Makes the signed report of a finished scan, or one over findings that the caller brings.
#[utoipa::path(post, path = "/api/v1/reports", request_body = ReportRequest, tag = "reports",
    responses((status = 200, body = SignedReport), (status = 400, body = stella_api::problem::Problem),
        (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Result<Json<ReportRequest>, JsonRejection>,
) -> Result<Json<SignedReport>, ApiError> {
    let Json(request) = request?;
    match (request.scan_id, request.image_digest, request.findings) {
        (Some(id), None, None) => {
            let scan = app.store.scan(&caller.tenant, &id).await?;
            let scan = scan.ok_or_else(|| ApiError::not_found(format!("there is no scan {id}")))?;
            let digest = scan.digest.filter(|_| scan.status == ScanStatus::Succeeded);
            let digest =
                digest.ok_or_else(|| ApiError::conflict(format!("the scan has no result: {}", scan.status.name())))?;
            of_scan(&app, &scan, &digest).await.map(Json).map_err(failed)
        }
        (None, Some(digest), Some(findings)) => {
            let digest: Digest = digest
                .parse()
                .map_err(|e: stella_domain::DigestError| ApiError::field("$.imageDigest", e.to_string()))?;
            if findings.len() > MAX_FINDINGS {
                return Err(ApiError::field("$.findings", format!("at most {MAX_FINDINGS} are taken")));
            }
            let parse = |(at, value)| {
                serde_json::from_value::<FindingInput>(value)
                    .map_err(|e| ApiError::field(format!("$.findings[{at}]"), e.to_string()))
            };
            let findings = findings.into_iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
            of_supplied(&app, &caller.tenant, &digest, &findings).await.map(Json).map_err(failed)
        }
        _ => Err(ApiError::invalid("either scanId, or imageDigest and findings are needed")),
    }
}

/// A report that was made before.
#[utoipa::path(get, path = "/api/v1/reports/{id}", tag = "reports", params(("id" = String, Path)),
    responses((status = 200, body = SignedReport), (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<SignedReport>, ApiError> {
    let report = app.store.report(&caller.tenant, &id).await?;
    let report = report.ok_or_else(|| ApiError::not_found(format!("there is no report {id}")))?;
    serde_json::from_str(&report.body).map(Json).map_err(ApiError::internal)
}

fn failed(error: ReportingError) -> ApiError {
    ApiError::internal(error)
}
