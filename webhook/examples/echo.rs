//! The least a webhook costs that reads what it is asked: a review becomes types, and is allowed. `echo ADDRESS CERTIFICATE KEY`

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::{Value, json};
use stella_service::listen::{self, Limits};
use stella_service::tls::{CertificateSlot, server_config};
use tokio_util::sync::CancellationToken;

const USAGE: &str = "usage: echo ADDRESS CERTIFICATE KEY";

#[derive(Deserialize)]
struct Review {
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    operation: String,
    user_info: UserInfo,
    object: Option<Pod>,
    old_object: Option<Pod>,
}

async fn validate(body: Bytes) -> Result<Json<Value>, StatusCode> {
    let Review { request } = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    // What was read is looked at, so that reading it cannot be left out.
    let read = [&request.namespace, &request.operation].iter().all(|text| text.len() < 1000)
        && request.user_info.username.is_some()
        && (request.object.is_some() || request.old_object.is_some());
    let response = json!({"uid": request.uid, "allowed": read});
    Ok(Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or(USAGE)?.parse()?;
    let (chain, key) = (arguments.next().ok_or(USAGE)?, arguments.next().ok_or(USAGE)?);
    let slot = CertificateSlot::new();
    slot.set(&std::fs::read_to_string(chain)?, &std::fs::read_to_string(key)?)?;
    let app = Router::new()
        .route("/validate", post(validate))
        .route("/readyz", get(|| async { "ok" }))
        .layer(DefaultBodyLimit::max(32 << 20));
    let listener = listen::bind(address).await?;
    listen::serve(listener, Some(server_config(slot)?), app, Limits::default(), CancellationToken::new()).await?;
    Ok(())
}
