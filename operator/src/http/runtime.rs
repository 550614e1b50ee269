//! Runtime events in, runtime verdicts out.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use stella_api::runtime::{
    EVENT_SCHEMA, EventBatch, EventReceipt, MAX_BATCH, RuntimePolicyRequest, RuntimePolicyResponse,
};

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use crate::app::App;
use crate::{events, runtime_policy};

/// Takes a batch of runtime events. 202 means that every one of them is on disk.
#[utoipa::path(post, path = "/api/v1/runtime/events", request_body = EventBatch, tag = "runtime",
    responses((status = 202, body = EventReceipt), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn events(
    State(app): State<App>,
    caller: Caller,
    batch: Result<JsonBody<EventBatch>, JsonRejection>,
) -> Result<(StatusCode, Json<EventReceipt>), ApiError> {
    // Namespaces say whose an event is; a node has those of all.
    caller.speaks_for_all()?;
    let JsonBody(batch) = batch?;
    check(&batch)?;
    let ingested = events::take(&app, batch).await?;
    Ok((StatusCode::ACCEPTED, Json(EventReceipt { accepted: ingested.accepted, duplicates: ingested.duplicates })))
}

fn check(batch: &EventBatch) -> Result<(), ApiError> {
    if batch.events.is_empty() {
        return Err(ApiError::field("$.events", "the batch is empty"));
    }
    if batch.events.len() > MAX_BATCH {
        let message = format!("{} events, at most {MAX_BATCH} are taken", batch.events.len());
        return Err(ApiError::field("$.events", message).kind("payload-too-large"));
    }
    let mut ids = BTreeMap::new();
    for (at, envelope) in batch.events.iter().enumerate() {
        if envelope.schema_version != EVENT_SCHEMA {
            let message = format!("unknown version '{}', expected {EVENT_SCHEMA}", envelope.schema_version);
            return Err(ApiError::field(format!("$.events[{at}].schemaVersion"), message));
        }
        let id = &envelope.event.event_id;
        if id.is_empty() || id.len() > 200 {
            return Err(ApiError::field(format!("$.events[{at}].event.eventId"), "1 to 200 characters are needed"));
        }
        if let Some(first) = ids.insert(id, at) {
            let message = format!("the id stands at $.events[{first}] already");
            return Err(ApiError::field(format!("$.events[{at}].event.eventId"), message));
        }
    }
    Ok(())
}

/// The verdicts of images in a namespace.
#[utoipa::path(post, path = "/api/v1/scanner/policy/runtime", request_body = RuntimePolicyRequest, tag = "runtime",
    responses((status = 200, body = RuntimePolicyResponse), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn policy(
    State(app): State<App>,
    caller: Caller,
    request: Result<JsonBody<RuntimePolicyRequest>, JsonRejection>,
) -> Result<Json<RuntimePolicyResponse>, ApiError> {
    let JsonBody(request) = request?;
    caller.speaks_for(&app.namespaces.tenant_of(&request.namespace))?;
    let images: BTreeSet<&String> = request.images.iter().collect();
    if images.is_empty() || images.len() > 256 {
        return Err(ApiError::field("$.images", format!("1 to 256 images are needed, {} were given", images.len())));
    }
    Ok(Json(runtime_policy::answer(&app, &request.namespace, images).await?))
}
