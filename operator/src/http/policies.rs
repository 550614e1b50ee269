//! Policies as they stand, their history, and the feeds behind the findings.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use stella_api::finding::FeedStamp;
use stella_domain::Timestamp;
use utoipa::ToSchema;

use super::caller::Caller;
use super::error::ApiError;
use crate::app::App;
use crate::judging::load;

/// The rules in force for the tenant, as YAML; the `ETag` names this state.
#[utoipa::path(get, path = "/policy/export", tag = "policy",
    responses((status = 200, content_type = "application/yaml", body = String)))]
pub(super) async fn export(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let set = load(&app).await?;
    let policies = set.by_tenant.get(&caller.tenant).map(Vec::as_slice).unwrap_or_default();
    let mut rules = Vec::new();
    for policy in policies {
        let spec = serde_json::to_value(&policy.spec).map_err(ApiError::internal)?;
        rules.extend(spec["rules"].as_array().cloned().unwrap_or_default());
    }
    let document = serde_json::json!({"version": "1.0", "rules": rules});
    let yaml = serde_saphyr::to_string(&document).map_err(ApiError::internal)?;
    let tag = format!("\"{}\"", stella_domain::Digest::of(&yaml).hex());
    Ok(([(header::CONTENT_TYPE, "application/yaml".to_owned()), (header::ETAG, tag)], yaml).into_response())
}

/// One revision of a policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Revision {
    revision: String,
    name: String,
    digest: String,
    actor: String,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    source: String,
    active: bool,
}

/// Revisions of the tenant's policies, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    items: Vec<Revision>,
    next_page_token: Option<String>,
}

/// The history of the tenant's policies.
#[utoipa::path(get, path = "/policy/history", tag = "policy", responses((status = 200, body = History)))]
pub(super) async fn history(State(app): State<App>, caller: Caller) -> Result<Json<History>, ApiError> {
    let items = app.store.policy_history(&caller.tenant, 200).await?.into_iter().map(|revision| Revision {
        revision: format!("rev-{}", revision.number),
        name: revision.name,
        digest: revision.digest,
        actor: revision.actor,
        time: revision.at,
        source: revision.source,
        active: revision.active,
    });
    Ok(Json(History { items: items.collect(), next_page_token: None }))
}

/// Feeds that findings come from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Feeds {
    items: Vec<FeedStamp>,
}

/// The feeds in use and how new they are.
#[utoipa::path(get, path = "/api/v1/feeds", tag = "advisories", responses((status = 200, body = Feeds)))]
pub(super) async fn feeds(State(app): State<App>, _caller: Caller) -> Result<Json<Feeds>, ApiError> {
    let index = app.index().ok_or_else(|| ApiError::unavailable("no advisories are loaded yet"))?;
    let items = index.info().feeds.iter().map(|feed| FeedStamp {
        name: feed.name.clone(),
        date: feed.date,
        advisories: feed.advisories,
    });
    Ok(Json(Feeds { items: items.collect() }))
}
