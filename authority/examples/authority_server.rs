//! An authority with one protected route, for clients of other languages. Prints where it is as a line of JSON.
//!
//! `GET /policy/export` and `GET /api/v1/admin/whoami` answer with the caller. `$STELLA_ISSUER` names another issuer
//! whose tokens are accepted, too; `$STELLA_ISSUER_CACHE` is the lifetime of its keys in seconds.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use stella_authority::audit::{AuditLog, Place};
use stella_authority::bootstrap::{self, ADMIN, ADMIN_FILE, BOOTSTRAP_FILE};
use stella_authority::entropy::Entropy;
use stella_authority::external::External;
use stella_authority::http::{Problem, asking};
use stella_authority::keys::KeyStore;
use stella_authority::scope::need;
use stella_authority::secret::Hashing;
use stella_authority::settings::{ExternalIssuer, Settings};
use stella_authority::vault::MemoryVault;
use stella_authority::{Authority, Parts, routes};
use stella_service::clock::Clock;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    stella_service::crypto::install();
    let folder = std::env::args().nth(1).ok_or("usage: authority_server FOLDER")?;
    let folder = std::path::PathBuf::from(folder);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut settings = Settings { external_url: Some(url.parse()?), ..Settings::default() };
    if let Ok(issuer) = std::env::var("STELLA_ISSUER") {
        let seconds = std::env::var("STELLA_ISSUER_CACHE").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
        settings.issuer = Some(ExternalIssuer {
            url: issuer.parse()?,
            audience: None,
            tenants: vec!["acme".parse()?],
            offline_cache_tolerance: 600,
            cache_seconds: seconds,
        });
    }
    let (clock, entropy, hashing) = (Clock::system(), Entropy::system(), Hashing::default());
    let vault = Arc::new(MemoryVault::default());
    bootstrap::bootstrap(&folder, &*vault, &hashing, &entropy, &clock).await?;
    let authority = Authority::new(Parts {
        keys: KeyStore::open(&folder.join("keys"), settings.algorithm)?,
        audit: AuditLog::open(Place::new(folder.join("audit")), clock.clone())?,
        external: settings.issuer.clone().map(External::new).transpose()?,
        bootstrap_key: Some(folder.join(BOOTSTRAP_FILE)),
        accounts: None,
        settings,
        clock,
        entropy,
        vault,
        hashing,
    });
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).map(|text| text.trim().to_owned());
    println!(
        "{}",
        json!({"url": url, "client": ADMIN, "secret": read(ADMIN_FILE)?, "bootstrapKey": read(BOOTSTRAP_FILE)?})
    );
    let app = axum::Router::new()
        .route("/policy/export", get(whoami))
        .route("/api/v1/admin/whoami", get(whoami))
        .with_state(authority.clone())
        .merge(routes(authority));
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

async fn whoami(State(authority): State<Authority>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let need = need(parts.method.as_str(), parts.uri.path());
    match authority.authorize(asking(&parts), need, authority.now()).await {
        Ok(caller) => {
            Json(json!({"subject": caller.subject, "scopes": caller.scopes, "tenants": caller.tenants})).into_response()
        }
        Err(refusal) => Problem::from(refusal).answer(&parts),
    }
}
