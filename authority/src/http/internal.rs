//! `/internal/*`: for whoever runs the server, by the bootstrap key.

use std::path::PathBuf;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Problem, secret};
use super::{asking, form};
use crate::audit::{Event, Outcome, What};
use crate::authority::{Authority, same_secret};
use crate::caller::Refusal;
use crate::claims::{LEEWAY, MAX_OFFLINE_DAYS};
use crate::jose::Algorithm;
use crate::people::PeopleError;
use crate::revocation;

const HEADER: &str = "x-stellaops-bootstrap-key";

async fn allowed(authority: &Authority, parts: &Parts) -> Result<(), Problem> {
    let given = parts.headers.get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = match &authority.bootstrap_key {
        Some(path) => tokio::fs::read_to_string(path).await.unwrap_or_default(),
        None => String::new(),
    };
    if same_secret(wanted.trim(), given) {
        return Ok(());
    }
    if !given.is_empty() {
        let event =
            Event::new(What::Refused, Outcome::Refused).detail(format!("{}: wrong bootstrap key", parts.uri.path()));
        log(authority, parts, event).await?;
    }
    Err(Refusal::BootstrapKey.into())
}

async fn log(authority: &Authority, parts: &Parts, event: Event) -> Result<(), Problem> {
    let logged = authority.log(asking(parts), event).await;
    logged.map_err(|error| PeopleError::Unavailable(error.to_string()).into())
}

/// The three files of the list of revocations.
pub(super) async fn export(State(authority): State<Authority>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    exported(&authority, &parts).await.unwrap_or_else(|problem| problem.answer(&parts))
}

async fn exported(authority: &Authority, parts: &Parts) -> Result<Response, Problem> {
    allowed(authority, parts).await?;
    let failed = |error: String| Problem::from(PeopleError::Unavailable(error));
    let revocations = authority.vault.revocations(authority.now()).await.map_err(|error| failed(error.to_string()))?;
    let export = revocation::export(authority, &revocations).map_err(|error| failed(error.to_string()))?;
    let detail = format!("{} entries, sha256 {}", revocations.len(), export.sha256);
    log(authority, parts, Event::new(What::RevocationsExported, Outcome::Success).detail(detail)).await?;
    Ok(secret(
        StatusCode::OK,
        &json!({
            "bundle": STANDARD.encode(&export.bundle),
            "jws": export.jws,
            "sha256": export.sha256,
            "kid": export.kid,
            "files": {
                "bundle": "revocation-bundle.json",
                "jws": "revocation-bundle.json.jws",
                "sha256": "revocation-bundle.json.sha256",
            },
        }),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rotate {
    /// What people call the key; tokens name it by its thumbprint.
    #[serde(default)]
    key_id: Option<String>,
    /// The file; a new key is made without it.
    #[serde(default)]
    location: Option<PathBuf>,
    #[serde(default)]
    source: Source,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    algorithm: Option<Algorithm>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    #[default]
    File,
    Secret,
}

/// Lets another key sign.
pub(super) async fn rotate(State(authority): State<Authority>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    rotated(&authority, &parts, body).await.unwrap_or_else(|problem| problem.answer(&parts))
}

async fn rotated(authority: &Authority, parts: &Parts, body: axum::body::Body) -> Result<Response, Problem> {
    allowed(authority, parts).await?;
    let body: Rotate = form::json(&parts.headers, body).await?;
    if body.provider.as_deref().is_some_and(|provider| provider != "default") {
        return Err(Problem::field("$.provider", "'default' is the only provider"));
    }
    let now = authority.now();
    // As long as the longest token it may have signed.
    let until = now.plus_seconds(MAX_OFFLINE_DAYS * 24 * 3600 + LEEWAY);
    let secret_mount = matches!(body.source, Source::Secret);
    let location = body.location.as_deref().map(|path| (path, secret_mount));
    let algorithm = body.algorithm.unwrap_or(authority.settings.algorithm);
    let next = authority.keys.prepare(location, algorithm, now);
    let next = next.map_err(|error| Problem::field("$.location", error.to_string()))?;
    let label = body.key_id.unwrap_or_else(|| next.kid().to_owned());
    let detail = format!("{label}: {} signs after {}", next.kid(), authority.keys.ring().active().kid());
    // The line first: no key signs that the log does not know of.
    log(authority, parts, Event::new(What::KeyRotated, Outcome::Success).detail(detail.clone())).await?;
    let done = match authority.keys.put(next, now, until) {
        Ok(done) => done,
        Err(error) => {
            let event = Event::new(What::KeyRotated, Outcome::Refused).detail(format!("{detail}: {error}"));
            log(authority, parts, event).await?;
            return Err(PeopleError::Unavailable(error.to_string()).into());
        }
    };
    Ok(secret(
        StatusCode::OK,
        &json!({
            "keyId": label,
            "activeKid": done.active_kid,
            "previousKid": done.previous_kid,
            "retired": done.retired,
        }),
    ))
}
