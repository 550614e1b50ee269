//! VEX documents that come in.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use stella_advisory::vex::{VexError, read};
use stella_api::vex::VexTaken;
use stella_domain::Digest;
use stella_store::VexDocumentRow;

use super::caller::Caller;
use super::error::ApiError;
use crate::app::App;

/// The most documents of a tenant.
const MOST: i64 = 1000;

/// Takes an OpenVEX, CSAF or CycloneDX document; its statements change verdicts at once.
#[utoipa::path(post, path = "/console/vex/statements", tag = "console", request_body = Object,
    responses((status = 201, body = VexTaken), (status = 200, description = "it is here already", body = VexTaken),
        (status = 400, body = stella_api::problem::Problem), (status = 409, body = stella_api::problem::Problem),
        (status = 413, body = stella_api::problem::Problem)))]
pub(super) async fn put(State(app): State<App>, caller: Caller, bytes: Bytes) -> Result<Response, ApiError> {
    let tenant = caller.named_tenant()?;
    let document = read(&bytes).map_err(refused)?;
    let body = String::from_utf8(bytes.into()).map_err(|_| ApiError::invalid("the document is not UTF-8"))?;
    // PostgreSQL takes no NUL in text; JSON has it only where it is broken.
    if body.contains('\0') {
        return Err(ApiError::invalid("the document has a NUL in it"));
    }
    let row = VexDocumentRow { id: Digest::of(&body).hex(), body, actor: caller.subject.clone(), at: app.clock.now() };
    if app.store.vex_stamp(tenant).await?.documents() >= MOST {
        return Err(ApiError::conflict(format!(
            "there are {MOST} documents already; remove one that is of no use any more"
        )));
    }
    let created = app.store.put_vex(tenant, &row).await?;
    if created {
        tracing::info!(document = row.id, statements = document.statements.len(), actor = caller.subject, "VEX taken");
        app.judge.notify_one();
    }
    let taken = VexTaken {
        document_id: row.id,
        document: document.id,
        statements: document.statements.len(),
        unusable_products: document.unusable,
        created,
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(taken)).into_response())
}

fn refused(error: VexError) -> ApiError {
    match error {
        VexError::TooLarge => ApiError::too_large(error.to_string()),
        VexError::Malformed { place, reason } => ApiError::field(format!("$.{place}"), reason),
        other => ApiError::invalid(other.to_string()),
    }
}

/// Forgets a document; what it says has no effect from now on.
#[utoipa::path(delete, path = "/console/vex/documents/{id}", tag = "console", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !app.store.remove_vex(caller.named_tenant()?, &id).await? {
        return Err(ApiError::not_found(format!("there is no VEX document {id}")));
    }
    tracing::info!(document = id, actor = caller.subject, "VEX forgotten");
    app.judge.notify_one();
    Ok(StatusCode::NO_CONTENT)
}
