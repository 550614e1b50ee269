//! Export runs.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use stella_api::export::ExportRunState;

use super::caller::Caller;
use super::error::ApiError;
use crate::app::App;

/// The bytes of an artifact of a finished run.
#[utoipa::path(get, path = "/export-center/runs/{id}/artifacts/{name}", tag = "exports",
    params(("id" = String, Path), ("name" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn artifact(
    State(app): State<App>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Body, ApiError> {
    let tenant = caller.named_tenant()?;
    let missing = || ApiError::not_found(format!("there is no artifact {name} of export run {id}"));
    app.store.export_run(tenant, &id).await?.ok_or_else(missing)?;
    let path = crate::exporting::artifact_file(&app, &id, &name).ok_or_else(missing)?;
    let file = tokio::fs::File::open(path).await.map_err(ApiError::failed)?;
    Ok(Body::from_stream(tokio_util::io::ReaderStream::new(file)))
}

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
