//! Events that people ask for: drift, and what policies say of it.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use stella_api::runtime::{EventKind, RuntimeEvent};
use utoipa::ToSchema;

use super::caller::Caller;
use super::error::ApiError;
use super::paging::Page;
use crate::app::App;

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EventQuery {
    kind: EventKind,
    #[serde(default)]
    page_size: Option<i64>,
    #[serde(default)]
    page_token: Option<String>,
}

/// A page of events, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Events {
    items: Vec<RuntimeEvent>,
    next_page_token: Option<String>,
}

/// Events of the tenant of one kind, `Drift` or `PolicyViolation`, newest first.
#[utoipa::path(get, path = "/api/v1/runtime/events", tag = "runtime",
    params(("kind" = EventKind, Query), ("pageSize" = Option<u32>, Query), ("pageToken" = Option<String>, Query)),
    responses((status = 200, body = Events), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn notable(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Result<Json<Events>, ApiError> {
    let Query(query) = query?;
    if !matches!(query.kind, EventKind::Drift | EventKind::PolicyViolation) {
        return Err(ApiError::field("$.kind", "Drift and PolicyViolation can be asked for"));
    }
    let kind = format!("{:?}", query.kind);
    let list = format!("runtime events {kind} {}", caller.tenant);
    let page = Page::of(&app, list, query.page_size, query.page_token.as_deref())?;
    let before = page.after.as_ref().map_or((i64::MAX, ""), |(at, id)| (*at, id));
    let mut rows = app.store.notable_events(&caller.tenant, &kind, before, page.limit).await?;
    let next_page_token = page.cut(&mut rows, |last| (last.at.as_millis(), last.id.clone()));
    let read = |body: &str| serde_json::from_str(body).map_err(ApiError::internal);
    let items = rows.iter().map(|row| read(&row.body)).collect::<Result<_, _>>()?;
    Ok(Json(Events { items, next_page_token }))
}
