//! Export runs.

use axum::Json;
use axum::extract::{Path, State};
use stella_api::export::ExportRunState;

use super::caller::Caller;
use super::error::ApiError;
use crate::app::App;

/// An export run.
#[utoipa::path(get, path = "/export-center/runs/{id}", tag = "exports", params(("id" = String, Path)),
    responses((status = 200, body = ExportRunState), (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ExportRunState>, ApiError> {
    let tenant = caller.named_tenant()?;
    let run = app.store.export_run(tenant, &id).await?;
    let run = run.ok_or_else(|| ApiError::not_found(format!("there is no export run {id}")))?;
    crate::exporting::state(&run).map(Json).map_err(ApiError::internal)
}
