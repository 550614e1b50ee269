//! `POST /scan`: an SBOM, an archive, a reference, or a URL.

use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::TryStreamExt as _;
use serde::Deserialize;
use stella_api::finding::SeveritySummary;
use stella_api::scan::{ScanAccepted, ScanReference, ScanResult};
use stella_domain::{Digest, Tenant};
use stella_registry::DownloadError;
use stella_store::{FindingRow, NewScan, Scan, ScanSource, ScanStatus};
use tokio::io::AsyncWriteExt as _;

use super::caller::Caller;
use super::error::ApiError;
use super::scans::check_reference;
use crate::app::App;
use crate::scanning::{MAX_UPLOAD, UploadError, scan_file};

/// Bytes a JSON body that names an image may have.
const MAX_REFERENCE: usize = 16 * 1024;
/// How often it looks by itself meanwhile, should it not have heard that the scan moved.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer waits for the scan.
const WAIT: Duration = Duration::from_secs(5);

/// Parameters of `POST /scan`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ScanQuery {
    #[serde(rename = "sbom-only", default)]
    sbom_only: bool,
    #[serde(default)]
    threshold: Option<String>,
}

/// Scans an SBOM, an image archive, an image by its reference, or what lies at a URL of an allowed host.
#[utoipa::path(post, path = "/scan", tag = "scanning",
    params(("sbom-only" = Option<bool>, Query), ("threshold" = Option<String>, Query, pattern = "^(low|medium|high|critical)$")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = ScanResult), (status = 202, body = ScanAccepted),
        (status = 400, body = stella_api::problem::Problem), (status = 413, body = stella_api::problem::Problem)))]
pub(super) async fn scan(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ScanQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    if let Some(threshold) = &query.threshold
        && !["low", "medium", "high", "critical"].contains(&threshold.as_str())
    {
        return Err(ApiError::field("$.threshold", format!("Invalid level '{threshold}'")));
    }
    let folder = tempfile::tempdir_in(&app.settings.work).map_err(ApiError::failed)?;
    let path = folder.path().join("upload");
    let size = spool(body, &path).await?;
    if size <= MAX_REFERENCE as u64
        && let Some(new) = asked(&app, &path).await?
    {
        if query.sbom_only {
            return Err(ApiError::field("$.sbom-only", "it is for what is sent, and an image is named"));
        }
        return queued(&app, &caller.tenant, &new).await;
    }
    let upload = scan_file(&app, &caller.tenant, &path, query.sbom_only).await.map_err(refused)?;
    let (verdict, id) = (upload.verdict.name().to_owned(), &upload.scan_id);
    Ok(Json(result(id, &upload.digest, &upload.findings, verdict)).into_response())
}

/// Writes the body to a file, counting as it comes.
async fn spool(body: Body, path: &Path) -> Result<u64, ApiError> {
    let mut file = tokio::fs::File::create(path).await.map_err(ApiError::failed)?;
    let mut stream = body.into_data_stream();
    let mut size = 0;
    while let Some(chunk) =
        stream.try_next().await.map_err(|e| ApiError::invalid(format!("the body broke off: {e}")))?
    {
        size += chunk.len() as u64;
        if size > MAX_UPLOAD {
            return Err(ApiError::too_large(format!("more than {MAX_UPLOAD} bytes")));
        }
        file.write_all(&chunk).await.map_err(ApiError::failed)?;
    }
    file.flush().await.map_err(ApiError::failed)?;
    if size == 0 {
        return Err(ApiError::invalid("the body is empty: an SBOM, an image archive or a reference is needed"));
    }
    Ok(size)
}

/// The scan that a small JSON body asks for; `None` when the body is something else.
async fn asked(app: &App, path: &Path) -> Result<Option<NewScan>, ApiError> {
    let bytes = tokio::fs::read(path).await.map_err(ApiError::failed)?;
    let Ok(asked) = serde_json::from_slice::<ScanReference>(&bytes) else { return Ok(None) };
    let scan = |reference, source, force| NewScan {
        reference: Some(reference),
        source,
        timeout_seconds: 600,
        force,
        ..NewScan::default()
    };
    match (asked.reference, asked.image_url) {
        (Some(_), Some(_)) => Err(ApiError::field("$.imageUrl", "name a reference or a URL, not both")),
        (Some(reference), None) => {
            check_reference(&reference, "$.reference")?;
            Ok(Some(scan(reference, ScanSource::Auto, false)))
        }
        // What lies there may have changed since.
        (None, Some(url)) => {
            let refused = |error: DownloadError| ApiError::field("$.imageUrl", error.to_string());
            app.registries.may_download(&url, &app.settings.url_hosts).map_err(refused)?;
            Ok(Some(scan(url, ScanSource::Url, true)))
        }
        (None, None) => Ok(None),
    }
}

/// Puts a scan into the queue and waits a little for its end.
async fn queued(app: &App, tenant: &Tenant, new: &NewScan) -> Result<Response, ApiError> {
    let submitted = app.store.submit_scan(tenant, new, app.clock.now()).await?;
    app.scans_changed.notify_one();
    let ended = wait(app, submitted.scan).await?;
    match (ended.status, ended.digest) {
        (ScanStatus::Succeeded, Some(digest)) => {
            let findings = app.store.image_findings(tenant, &digest).await?;
            let verdict = crate::reports::image_verdict(app, tenant, &digest, &findings, &ended.metadata).await?;
            Ok(Json(result(&ended.id, &digest, &findings, verdict)).into_response())
        }
        (ScanStatus::Failed, _) => Err(ApiError::invalid(ended.failure.unwrap_or_default())),
        _ => {
            let location = format!("/api/v1/scans/{}", ended.id);
            let value = HeaderValue::from_str(&location).map_err(ApiError::internal)?;
            let body = ScanAccepted {
                scan_id: ended.id,
                status: ended.status.name().to_owned(),
                location,
                created: submitted.created,
            };
            let headers = HeaderMap::from_iter([(header::LOCATION, value)]);
            Ok((StatusCode::ACCEPTED, headers, Json(body)).into_response())
        }
    }
}

async fn wait(app: &App, scan: Scan) -> Result<Scan, ApiError> {
    let until = tokio::time::Instant::now() + WAIT;
    let mut following = app.progress.follow(&scan.id);
    loop {
        let present =
            app.store.scan(&scan.tenant, &scan.id).await?.ok_or_else(|| ApiError::not_found("the scan is gone"))?;
        if present.status.is_final() || tokio::time::Instant::now() >= until {
            return Ok(present);
        }
        tokio::select! {
            () = following.moved() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn result(scan_id: &str, digest: &Digest, findings: &[FindingRow], policy_status: String) -> ScanResult {
    ScanResult {
        scan_id: scan_id.to_owned(),
        digest: *digest,
        summary: SeveritySummary::of(findings.iter().map(|finding| finding.severity)),
        policy_status,
        quota: None,
        report_url: None,
        findings_url: format!("/api/v1/scans/{scan_id}/findings"),
    }
}

fn refused(error: UploadError) -> ApiError {
    match error {
        UploadError::TooLarge { .. } => ApiError::too_large(error.to_string()),
        UploadError::Image(_) | UploadError::Sbom(_) | UploadError::SbomOnly | UploadError::Missing(_) => {
            ApiError::invalid(error.to_string())
        }
        UploadError::Match(crate::scanning::MatchError::NoIndex) => ApiError::unavailable(error.to_string()),
        other => ApiError::failed(other),
    }
}
