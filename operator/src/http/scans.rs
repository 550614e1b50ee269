//! The scan queue (`/api/v1/scans`).

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stella_api::finding::Finding;
use stella_api::scan::{FindingPage, ScanAccepted, ScanProgress, ScanRequest, ScanState, ScannedImage};
use stella_domain::{Digest, Tenant};
use stella_inventory::sbom::{write_cyclonedx, write_spdx};
use stella_service::spans::{Kind, step};
use stella_store::{FindingRow, NewScan, Scan, ScanEvent, ScanSource, ScanStatus, Submitted};

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use super::stream::{self, Form, Readers, Told};
use super::untold::{Untold, call_off};
use crate::app::App;
use crate::reports::judge_in_environment;

/// How often a stream looks by itself, should it not have heard that its scan moved.
const LOOK: Duration = Duration::from_secs(15);
/// Seconds a scan may take when nothing else is said.
const TIMEOUT: i64 = 600;

/// Asks for an image to be scanned. A caller who goes away before the answer takes the request back.
#[utoipa::path(post, path = "/api/v1/scans", request_body = ScanRequest, tag = "scanning",
    responses((status = 202, body = ScanAccepted), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn submit(
    State(app): State<App>,
    caller: Caller,
    request: Result<JsonBody<ScanRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let JsonBody(request) = request?;
    let new = new_scan(request)?;
    let untold = Untold::submit(&app, &caller.tenant, new).await?;
    accepted(untold.tell())
}

/// The answer that names a scan in the queue.
pub(super) fn accepted(Submitted { scan, created }: Submitted) -> Result<Response, ApiError> {
    let location = format!("/api/v1/scans/{}", scan.id);
    let value = HeaderValue::from_str(&location).map_err(ApiError::internal)?;
    let body = ScanAccepted { scan_id: scan.id, status: scan.status.name().to_owned(), location, created };
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, value)], Json(body)).into_response())
}

/// Refuses what cannot be the name of an image. A URL is none, and its query stands where names are shown.
pub(super) fn check_reference(name: &str, field: &str) -> Result<(), ApiError> {
    if name.len() > 512 {
        return Err(ApiError::field(field, "at most 512 characters are taken"));
    }
    if name.contains("://") {
        return Err(ApiError::field(field, "it is a URL; POST /scan takes one as imageUrl"));
    }
    Ok(())
}

fn new_scan(request: ScanRequest) -> Result<NewScan, ApiError> {
    let reference = request.image.reference.filter(|name| !name.trim().is_empty());
    let digest = request.image.digest.map(|text| text.parse::<Digest>()).transpose();
    let digest = digest.map_err(|e| ApiError::field("$.image.digest", e.to_string()))?;
    if reference.is_none() && digest.is_none() {
        return Err(ApiError::field("$.image", "reference, digest or both are needed"));
    }
    if let Some(name) = &reference {
        check_reference(name, "$.image.reference")?;
    }
    if request.metadata.len() > 32 || request.metadata.iter().any(|(k, v)| k.len() > 128 || v.len() > 1024) {
        return Err(ApiError::field("$.metadata", "at most 32 entries of 128 and 1024 characters are taken"));
    }
    Ok(NewScan {
        reference,
        digest,
        source: ScanSource::Auto,
        force: request.force,
        metadata: request.metadata,
        timeout_seconds: TIMEOUT,
        ..NewScan::default()
    })
}

/// The caller's scan of that id.
pub(super) async fn find(app: &App, caller: &Caller, id: &str) -> Result<Scan, ApiError> {
    let scan = step(Kind::Client, "store: read a scan", app.store.scan(&caller.tenant, id)).await?;
    scan.ok_or_else(|| ApiError::not_found(format!("there is no scan {id}")))
}

/// Where a scan stands.
#[utoipa::path(get, path = "/api/v1/scans/{id}", tag = "scanning", params(("id" = String, Path)),
    responses((status = 200, body = ScanState), (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn state(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ScanState>, ApiError> {
    Ok(Json(wire(find(&app, &caller, &id).await?)))
}

/// Calls a scan off.
#[utoipa::path(delete, path = "/api/v1/scans/{id}", tag = "scanning", params(("id" = String, Path)),
    responses((status = 200, body = ScanState), (status = 404, body = stella_api::problem::Problem),
        (status = 409, body = stella_api::problem::Problem)))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ScanState>, ApiError> {
    let scan = find(&app, &caller, &id).await?;
    let message = format!("called off by {}", caller.subject);
    if !call_off(&app, &scan, &message).await? {
        return Err(ApiError::conflict(format!("the scan has ended: {}", scan.status.name())));
    }
    Ok(Json(wire(find(&app, &caller, &id).await?)))
}

fn wire(scan: Scan) -> ScanState {
    ScanState {
        scan_id: scan.id.clone(),
        status: scan.status.name().to_owned(),
        image: ScannedImage { reference: scan.shown().map(str::to_owned), digest: scan.digest.or(scan.asked_digest) },
        created_at: scan.created_at,
        updated_at: scan.updated_at,
        failure_reason: scan.failure,
    }
}

/// How events are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct EventsQuery {
    #[serde(default)]
    format: Option<String>,
}

/// The steps of a scan as they happen, until it has ended. `format=sse` gives server-sent events; without it they come as
/// `Accept` prefers, as server-sent events or as lines. `format=jsonl` gives lines of what has happened so far, and no more
/// unless `Accept` names `application/x-ndjson`.
#[utoipa::path(get, path = "/api/v1/scans/{id}/events", tag = "scanning",
    params(("id" = String, Path), ("format" = Option<String>, Query, pattern = "^(sse|jsonl)$")),
    responses((status = 200, content((ScanProgress = "text/event-stream"), (ScanProgress = "application/x-ndjson"))),
        (status = 204)))]
pub(super) async fn events(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let scan = find(&app, &caller, &id).await?;
    let after: i64 = match stream::last_event_id(&headers)? {
        Some(text) => text.parse().map_err(|_| ApiError::invalid("Last-Event-ID is not a sequence number"))?,
        None => 0,
    };
    let ended = scan.status.is_final() && app.store.scan_events(&scan.tenant, &id, after).await?.is_empty();
    if after > 0 && ended {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let form = match (query.format.as_deref(), Form::preferred(&headers)) {
        (None, preferred) => preferred,
        (Some("sse"), _) => Form::ServerSent,
        (Some("jsonl"), Form::Lines) => Form::Lines,
        (Some("jsonl"), Form::ServerSent) => {
            let steps = app.store.scan_events(&scan.tenant, &id, after).await?;
            let told = futures::stream::iter(steps.into_iter().map(move |step| told(&id, step)));
            return Ok(stream::answer(Form::Lines, Readers::Anyone, told));
        }
        (Some(other), _) => return Err(ApiError::field("$.format", format!("'{other}' is neither sse nor jsonl"))),
    };
    Ok(stream::answer(form, Readers::Anyone, follow(app, scan, after)))
}

/// Ends with the scan.
fn follow(app: App, scan: Scan, after: i64) -> impl futures::Stream<Item = Told<ScanProgress>> + Send {
    async_stream::stream! {
        let mut sequence = after;
        let mut following = app.progress.follow(&scan.id);
        loop {
            let Ok(steps) = app.store.scan_events(&scan.tenant, &scan.id, sequence).await else { return };
            let mut ended = false;
            for step in steps {
                sequence = step.sequence;
                ended = ["Succeeded", "Failed", "Cancelled"].contains(&step.state.as_str());
                yield told(&scan.id, step);
            }
            if ended {
                return;
            }
            tokio::select! {
                () = following.moved() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

fn told(scan_id: &str, step: ScanEvent) -> Told<ScanProgress> {
    let (id, event) = (step.sequence.to_string(), step.state.to_lowercase());
    let body = ScanProgress {
        scan_id: scan_id.to_owned(),
        sequence: step.sequence,
        state: step.state,
        message: step.message,
        timestamp: step.at,
        correlation_id: format!("{scan_id}:{:04}", step.sequence),
        data: step.data,
    };
    Told { id, event, body }
}

/// The findings of a finished scan, worst first.
#[utoipa::path(get, path = "/api/v1/scans/{id}/findings", tag = "scanning", params(("id" = String, Path)),
    responses((status = 200, body = FindingPage), (status = 404, body = stella_api::problem::Problem),
        (status = 409, body = stella_api::problem::Problem)))]
pub(super) async fn findings(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<FindingPage>, ApiError> {
    let scan = find(&app, &caller, &id).await?;
    let digest = finished(&scan)?;
    let rows = findings_of(&app, &caller.tenant, &digest).await?;
    let told = crate::judging::explained(&app, &caller.tenant, &rows).await?;
    let mut items: Vec<Finding> = told.into_iter().flatten().collect();
    judge_in_environment(&app, &scan, &digest, &rows, &mut items).await.map_err(super::reports::failed)?;
    Ok(Json(FindingPage { items, next_page_token: None }))
}

/// The findings of an image, unless it was forgotten: then there are none, and that would be no answer.
pub(super) async fn findings_of(app: &App, tenant: &Tenant, image: &Digest) -> Result<Vec<FindingRow>, ApiError> {
    let rows = step(Kind::Client, "store: read findings", app.store.image_findings(tenant, image)).await?;
    if rows.is_empty() && app.store.image_summary(tenant, image).await?.is_none() {
        return Err(ApiError::not_found("the image of this scan is gone"));
    }
    Ok(rows)
}

/// In which format an SBOM is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct SbomQuery {
    #[serde(default)]
    format: Option<String>,
}

/// The inventory of a finished scan.
#[utoipa::path(get, path = "/api/v1/scans/{id}/sbom", tag = "scanning",
    params(("id" = String, Path), ("format" = Option<String>, Query, pattern = "^(cyclonedx-json|spdx-json)$")),
    responses((status = 200, body = Object), (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn sbom(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<SbomQuery>,
) -> Result<Response, ApiError> {
    let digest = finished(&find(&app, &caller, &id).await?)?;
    let image = step(Kind::Client, "store: read an image", app.store.image(&caller.tenant, &digest)).await?;
    let image = image.ok_or_else(|| ApiError::not_found("the image of this scan is gone"))?;
    let subject = stella_inventory::sbom::Subject {
        name: image.reference.clone().unwrap_or_else(|| digest.to_string()),
        digest: Some(digest),
    };
    let (kind, bytes) = match query.format.as_deref().unwrap_or("cyclonedx-json") {
        "cyclonedx-json" => ("application/vnd.cyclonedx+json", write_cyclonedx(&image.inventory, Some(&subject))),
        "spdx-json" => ("application/spdx+json", write_spdx(&image.inventory, Some(&subject))),
        other => return Err(ApiError::field("$.format", format!("'{other}' is neither cyclonedx-json nor spdx-json"))),
    };
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// The image of a scan that succeeded.
pub(super) fn finished(scan: &Scan) -> Result<Digest, ApiError> {
    match (scan.status, scan.digest) {
        (ScanStatus::Succeeded, Some(digest)) => Ok(digest),
        (status, _) => Err(ApiError::conflict(format!("the scan has no result: {}", status.name()))),
    }
}
