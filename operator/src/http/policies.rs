//! Policies as they stand, their history, and the feeds behind the findings.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use stella_api::finding::FeedStamp;
use stella_api::policy::{PolicyDiff, PolicyHistory, RevisionEntry};
use stella_policy::Document;
use stella_store::PolicyRevision;
use utoipa::ToSchema;

use super::caller::Caller;
use super::error::ApiError;
use super::paging::PageQuery;
use crate::app::App;
use crate::judging::{difference, digest_of, document_of, load, ruleset};
use crate::reports::tenant_scope;

/// One policy alone.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    #[serde(default)]
    name: Option<String>,
}

/// The rules that act on the whole tenant, as one YAML document; the `ETag` is its digest. With `name` those of one policy.
#[utoipa::path(get, path = "/policy/export", tag = "policy", params(("name" = Option<String>, Query)),
    responses((status = 200, content_type = "application/yaml", body = Object,
            headers(("ETag" = String, description = "digest of the document"))),
        (status = 404, body = stella_api::problem::Problem), (status = 409, body = stella_api::problem::Problem)))]
pub(super) async fn export(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<ExportQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let policies = match query?.0.name {
        Some(name) => {
            let mut all = load(&app).await?.by_tenant.remove(&caller.tenant).unwrap_or_default();
            all.retain(|policy| policy.revision.name == name);
            if all.is_empty() {
                return Err(ApiError::not_found(format!("no policy {name} is in force")));
            }
            all
        }
        None => tenant_scope(&app, &caller.tenant).await?.map(|scope| scope.policies).unwrap_or_default(),
    };
    if let Some(unusable) = policies.iter().find(|policy| policy.is_unusable()) {
        return Err(unreadable(&unusable.revision.name));
    }
    let Some(document) = ruleset(&policies) else {
        let names: Vec<&str> = policies.iter().map(|policy| policy.revision.name.as_str()).collect();
        let names = names.join(", ");
        return Err(ApiError::conflict(format!(
            "there is Rego among several policies; ask for one with ?name=: {names}"
        )));
    };
    let from = policies.iter().map(|policy| {
        let (number, source) = (policy.revision.number, &policy.revision.source);
        format!("# rev-{number} of {}, {source}\n", policy.revision.name)
    });
    let yaml = from.collect::<String>() + &document.to_yaml().map_err(ApiError::internal)?;
    let tag = format!("\"{}\"", digest_of(&document));
    Ok(([(header::CONTENT_TYPE, "application/yaml".to_owned()), (header::ETAG, tag)], yaml).into_response())
}

/// There is a policy of that name, and nothing of it can be shown; it blocks.
pub(super) fn unreadable(name: &str) -> ApiError {
    ApiError::conflict(format!("this release cannot read {name} any more"))
}

/// Revisions of the tenant's policies, newest first, each with what differs from the one before it.
#[utoipa::path(get, path = "/policy/history", tag = "policy",
    params(("pageSize" = Option<u32>, Query), ("pageToken" = Option<String>, Query)),
    responses((status = 200, body = PolicyHistory), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn history(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PolicyHistory>, ApiError> {
    let Query(query) = query?;
    let page = query.page(&app, format!("policy history {}", caller.tenant))?;
    let before = page.after.as_ref().map_or(i64::MAX, |(number, _)| *number);
    let mut revisions = app.store.policy_history(&caller.tenant, before, page.limit).await?;
    let next_page_token = page.cut(&mut revisions, |last| (last.number, String::new()));
    let mut items = Vec::new();
    for revision in revisions {
        let earlier = app.store.policy_before(&caller.tenant, &revision.name, revision.number).await?;
        let diff = differs(earlier.as_ref(), &revision);
        items.push(entry(revision, diff));
    }
    Ok(Json(PolicyHistory { items, next_page_token }))
}

/// What differs from the revision before; the first one of a policy differs from the empty document.
fn differs(earlier: Option<&PolicyRevision>, revision: &PolicyRevision) -> PolicyDiff {
    let old = earlier.map_or_else(|| Some(Document::default()), document_of);
    old.zip(document_of(revision)).map(|(old, new)| difference(&old, &new)).unwrap_or_default()
}

fn entry(revision: PolicyRevision, diff: PolicyDiff) -> RevisionEntry {
    RevisionEntry {
        revision: format!("rev-{}", revision.number),
        name: revision.name,
        digest: revision.digest,
        actor: revision.actor,
        time: revision.at,
        description: revision.description,
        source: revision.source,
        active: revision.active,
        diff,
    }
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
