//! What agents say of themselves, and the list of nodes.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use stella_api::node_status::{Node, NodeStatus, Nodes};
use stella_domain::{Tenant, Timestamp};
use stella_store::NodeRow;

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use super::paging::PageQuery;
use crate::app::App;

/// A name of a node is that of a DNS subdomain.
const NAME: usize = 253;
/// What an agent does without, at most; it has a few dozen things to try.
const LISTED: usize = 100;

/// Takes what the agent of a node says of itself.
#[utoipa::path(post, path = "/api/v1/nodes/{node}/status", request_body = NodeStatus, tag = "runtime",
    params(("node" = String, Path)),
    responses((status = 204, description = "It is kept."), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(node): Path<String>,
    status: Result<JsonBody<NodeStatus>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let JsonBody(status) = status?;
    if node.is_empty() || node.len() > NAME {
        return Err(ApiError::field("$.node", format!("1 to {NAME} characters are taken")));
    }
    let listed = [status.hooks.len(), status.refused.len(), status.losses.len(), status.pressure.len()];
    if listed.iter().any(|count| *count > LISTED) {
        return Err(ApiError::invalid(format!("at most {LISTED} hooks, refusals, losses and pressures are taken")));
    }
    let body = serde_json::to_string(&status).map_err(ApiError::internal)?;
    let tenant = status.tenant.parse().unwrap_or_default();
    caller.speaks_for(&tenant)?;
    app.store.put_node(&NodeRow { tenant, node, heard_at: app.clock.now(), body }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The nodes that concern the tenant: its own, and those of the cluster on which containers of it run.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "runtime",
    params(("pageSize" = Option<u32>, Query), ("pageToken" = Option<String>, Query)),
    responses((status = 200, body = Nodes), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Nodes>, ApiError> {
    let Query(query) = query?;
    let page = query.page(&app, format!("nodes {}", caller.tenant))?;
    let after = page.after.as_ref().map_or("", |(_, node)| node);
    let mut rows = app.store.nodes(&caller.tenant, after, page.limit).await?;
    let next_page_token = page.cut(&mut rows, |last| (0, last.node.clone()));
    let now = app.clock.now();
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(described(&app, &caller.tenant, row, now).await?);
    }
    Ok(Json(Nodes { items, next_page_token }))
}

async fn described(app: &App, tenant: &Tenant, row: NodeRow, now: Timestamp) -> Result<Node, ApiError> {
    let agent: NodeStatus = serde_json::from_str(&row.body).map_err(ApiError::internal)?;
    let containers = app.store.containers_on(tenant, &row.node).await?;
    let silent = now.seconds_since(row.heard_at);
    Ok(Node {
        node: row.node,
        state: agent.state(silent),
        last_heard: row.heard_at,
        running: containers.running,
        gaps: containers.gaps,
        agent,
    })
}
