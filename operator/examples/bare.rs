//! The least an axum server costs: one handler that answers with a scan it need not look for. `bare ADDRESS`

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use stella_api::scan::{ScanState, ScannedImage};
use stella_domain::{Digest, Timestamp};

async fn state(Path(id): Path<String>) -> Json<ScanState> {
    let at = Timestamp::from_millis(1_700_000_000_000);
    Json(ScanState {
        scan_id: id,
        status: "Pending".to_owned(),
        image: ScannedImage { reference: None, digest: Some(Digest::of("image")) },
        created_at: at,
        updated_at: at,
        failure_reason: None,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: bare ADDRESS")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().route("/api/v1/scans/{id}", get(state))).await?;
    Ok(())
}
