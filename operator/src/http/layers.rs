//! Layers and inventories from those who read images.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use stella_api::node::{InventoryReceipt, LayersMissing, LayersQuery, NodeInventory};
use stella_domain::{Digest, Tenant};

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use crate::app::App;
use crate::scanning::{InventoryError, open_work_id, take_inventory};

/// The most layers one question may name.
const MAX_LAYERS: usize = 4096;

/// Which of the named layers nobody has sent yet.
#[utoipa::path(post, path = "/layers/missing", request_body = LayersQuery, tag = "scanning",
    responses((status = 200, body = LayersMissing), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn missing(
    State(app): State<App>,
    caller: Caller,
    query: Result<JsonBody<LayersQuery>, JsonRejection>,
) -> Result<Json<LayersMissing>, ApiError> {
    let JsonBody(query) = query?;
    if query.layers.is_empty() || query.layers.len() > MAX_LAYERS {
        return Err(ApiError::field(
            "$.layers",
            format!("1 to {MAX_LAYERS} layers are needed, {} were given", query.layers.len()),
        ));
    }
    let parse = |(at, text): (usize, &String)| {
        text.parse::<Digest>().map_err(|e| ApiError::field(format!("$.layers[{at}]"), e.to_string()))
    };
    let layers = query.layers.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(LayersMissing { missing: app.store.layers_missing(Some(&caller.tenant), &layers).await? }))
}

/// What a node read of an image.
#[utoipa::path(post, path = "/api/v1/inventories", request_body = NodeInventory, tag = "scanning",
    responses((status = 200, body = InventoryReceipt), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn inventory(
    State(app): State<App>,
    caller: Caller,
    sent: Result<JsonBody<NodeInventory>, JsonRejection>,
) -> Result<Json<InventoryReceipt>, ApiError> {
    let JsonBody(sent) = sent?;
    let tenant = tenant_of_work(sent.work_id.as_deref()).unwrap_or_else(|| caller.tenant.clone());
    caller.speaks_for(&tenant)?;
    match take_inventory(&app, &tenant, sent).await {
        Ok(receipt) => Ok(Json(receipt)),
        Err(InventoryError::Store(error)) => Err(error.into()),
        Err(InventoryError::Broken(_)) => Err(ApiError::unavailable("the server is about to end")),
        Err(error) => Err(ApiError::invalid(error.to_string())),
    }
}

/// Nodes read for every tenant; the piece of work says for which.
fn tenant_of_work(work_id: Option<&str>) -> Option<Tenant> {
    open_work_id(work_id?).map(|(tenant, _)| tenant)
}
