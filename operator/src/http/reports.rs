//! Signed reports.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stella_api::report::{AttachRequest, AttachedReport, ReportKey, ReportKeys, ReportRequest, SignedReport};
use stella_attest::page::Page;
use stella_domain::Digest;
use stella_policy::FindingInput;
use stella_registry::PushError;
use stella_service::spans::{Kind, step};

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use super::scans::{find, finished};
use crate::app::App;
use crate::attestations::{self, AttestationError, attest};
use crate::reports::{ReportingError, of_scan, of_supplied};

/// The most findings a caller may bring.
const MAX_FINDINGS: usize = 10_000;

/// Makes the signed report of a finished scan, or one over findings that the caller brings.
#[utoipa::path(post, path = "/api/v1/reports", request_body = ReportRequest, tag = "reports",
    responses((status = 200, body = SignedReport), (status = 400, body = stella_api::problem::Problem),
        (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Result<JsonBody<ReportRequest>, JsonRejection>,
) -> Result<Json<SignedReport>, ApiError> {
    let JsonBody(request) = request?;
    match (request.scan_id, request.image_digest, request.findings) {
        (Some(id), None, None) => of_finished(&app, &caller, &id).await.map(Json),
        (None, Some(digest), Some(findings)) => {
            let digest: Digest = digest
                .parse()
                .map_err(|e: stella_domain::DigestError| ApiError::field("$.imageDigest", e.to_string()))?;
            if findings.len() > MAX_FINDINGS {
                return Err(ApiError::field("$.findings", format!("at most {MAX_FINDINGS} are taken")));
            }
            let parse = |(at, value)| {
                serde_json::from_value::<FindingInput>(value)
                    .map_err(|e| ApiError::field(format!("$.findings[{at}]"), e.to_string()))
            };
            let findings = findings.into_iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
            of_supplied(&app, &caller.tenant, &digest, &findings).await.map(Json).map_err(failed)
        }
        _ => Err(ApiError::invalid("either scanId, or imageDigest and findings are needed")),
    }
}

/// The report of a finished scan, as things stand.
async fn of_finished(app: &App, caller: &Caller, id: &str) -> Result<SignedReport, ApiError> {
    let scan = find(app, caller, id).await?;
    let digest = finished(&scan)?;
    of_scan(app, &scan, &digest).await.map_err(failed)
}

/// How a report is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    #[serde(default)]
    format: Option<String>,
}

/// A report that was made before: with its signature, as a page for people, or as a signed in-toto statement. Without
/// `format`, the header `Accept` decides.
#[utoipa::path(get, path = "/api/v1/reports/{id}", tag = "reports",
    params(("id" = String, Path), ("format" = Option<String>, Query, pattern = "^(json|html|markdown|in-toto)$")),
    responses((status = 200, body = SignedReport), (status = 400, body = stella_api::problem::Problem),
        (status = 404, body = stella_api::problem::Problem), (status = 409, body = stella_api::problem::Problem)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    form: Rendition,
) -> Result<Response, ApiError> {
    let signed = stored(&app, &caller, &id).await?;
    show(&app, &caller, &signed, form).await
}

/// The report of a finished scan by the policies and findings of now, made where there is none: the same state gives the same report.
#[utoipa::path(get, path = "/api/v1/reports/of-scan/{scanId}", tag = "reports",
    params(("scanId" = String, Path), ("format" = Option<String>, Query, pattern = "^(json|html|markdown|in-toto)$")),
    responses((status = 200, body = SignedReport), (status = 400, body = stella_api::problem::Problem),
        (status = 404, body = stella_api::problem::Problem), (status = 409, body = stella_api::problem::Problem)))]
pub(super) async fn of_a_scan(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    form: Rendition,
) -> Result<Response, ApiError> {
    let signed = of_finished(&app, &caller, &id).await?;
    show(&app, &caller, &signed, form).await
}

async fn show(app: &App, caller: &Caller, signed: &SignedReport, form: Rendition) -> Result<Response, ApiError> {
    if form == Rendition::Json {
        return Ok(Json(signed).into_response());
    }
    if form == Rendition::InToto {
        let envelope = attest(app, &caller.tenant, signed).await.map_err(not_attested)?;
        return Ok(Json(envelope).into_response());
    }
    let report = crate::attestations::report(signed).map_err(not_attested)?;
    let page = Page::of(&report).map_err(ApiError::internal)?;
    let (kind, text) = match form {
        Rendition::Markdown => ("text/markdown; charset=utf-8", page.markdown()),
        _ => ("text/html; charset=utf-8", page.html()),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "Accept"),
    ];
    Ok((headers, text).into_response())
}

/// How a report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rendition {
    Json,
    Html,
    Markdown,
    InToto,
}

impl<S: Send + Sync> FromRequestParts<S> for Rendition {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(Shown { format }) = Query::from_request_parts(parts, state).await?;
        form(format.as_deref(), &parts.headers)
    }
}

fn form(format: Option<&str>, headers: &HeaderMap) -> Result<Rendition, ApiError> {
    match format {
        Some("json") => return Ok(Rendition::Json),
        Some("html") => return Ok(Rendition::Html),
        Some("markdown") => return Ok(Rendition::Markdown),
        Some("in-toto") => return Ok(Rendition::InToto),
        Some(_) => return Err(ApiError::field("$.format", "json, html, markdown or in-toto are known")),
        None => {}
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let known = |kind: &str| match kind {
        "application/json" => Some(Rendition::Json),
        "text/html" => Some(Rendition::Html),
        "text/markdown" => Some(Rendition::Markdown),
        "application/vnd.in-toto+json" => Some(Rendition::InToto),
        _ => None,
    };
    Ok(named.filter_map(known).next().unwrap_or(Rendition::Json))
}

async fn stored(app: &App, caller: &Caller, id: &str) -> Result<SignedReport, ApiError> {
    let report = step(Kind::Client, "store: read a report", app.store.report(&caller.tenant, id)).await?;
    let report = report.ok_or_else(|| ApiError::not_found(format!("there is no report {id}")))?;
    serde_json::from_str(&report.body).map_err(ApiError::internal)
}

/// Attaches a report to its image in the registry, as an attestation (OCI referrer).
#[utoipa::path(post, path = "/api/v1/reports/{id}/referrers", request_body = AttachRequest, tag = "reports",
    params(("id" = String, Path)),
    responses((status = 200, body = AttachedReport), (status = 400, body = stella_api::problem::Problem),
        (status = 404, body = stella_api::problem::Problem), (status = 409, body = stella_api::problem::Problem),
        (status = 503, body = stella_api::problem::Problem)))]
pub(super) async fn attach(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    request: Result<JsonBody<AttachRequest>, JsonRejection>,
) -> Result<Json<AttachedReport>, ApiError> {
    let JsonBody(request) = request?;
    let signed = stored(&app, &caller, &id).await?;
    let attached = attestations::attach(&app, &caller.tenant, &signed, request.reference.as_deref()).await;
    attached.map(Json).map_err(not_attested)
}

/// The public halves of the keys that sign reports, and of those that did.
#[utoipa::path(get, path = "/api/v1/reports/keys", tag = "reports", responses((status = 200, body = ReportKeys)))]
pub(super) async fn keys(State(app): State<App>, _caller: Caller) -> Result<Json<ReportKeys>, ApiError> {
    let active = app.key.verifying();
    let all = [(&active, true)].into_iter().chain(app.retired_keys.iter().map(|key| (key, false)));
    let shown = all.filter(|(key, _)| key.is_public()).map(|(key, active)| {
        let (key_id, algorithm) = (key.id().to_owned(), key.algorithm().name().to_owned());
        key.to_pem().map(|pem| ReportKey { key_id, algorithm, active, pem })
    });
    let items = shown.collect::<Result<_, _>>().map_err(ApiError::internal)?;
    Ok(Json(ReportKeys { items }))
}

fn not_attested(error: AttestationError) -> ApiError {
    match error {
        AttestationError::Supplied | AttestationError::Scan(_) | AttestationError::Secret => {
            ApiError::conflict(error.to_string())
        }
        AttestationError::NoReference | AttestationError::Reference(_) => {
            ApiError::field("$.reference", error.to_string())
        }
        AttestationError::Push(PushError::Unusable { .. } | PushError::TooLarge { .. }) => {
            ApiError::conflict(error.to_string())
        }
        // What a registry answers is no fault of ours, and whoever asked can do something about it.
        AttestationError::Push(_) => ApiError::unavailable(error.to_string()),
        other => ApiError::failed(other),
    }
}

pub(super) fn failed(error: ReportingError) -> ApiError {
    match error {
        ReportingError::Gone(_) => ApiError::not_found("the image of this scan is gone"),
        other => ApiError::failed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_goes_before_the_header() {
        let accept = |text: &str| HeaderMap::from_iter([(header::ACCEPT, text.parse().unwrap())]);
        let browser = accept("text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(form(None, &browser).unwrap(), Rendition::Html);
        assert_eq!(form(Some("json"), &browser).unwrap(), Rendition::Json);
        assert_eq!(form(None, &accept("text/markdown; q=1")).unwrap(), Rendition::Markdown);
        for other in ["*/*", "image/png", ""] {
            assert_eq!(form(None, &accept(other)).unwrap(), Rendition::Json);
        }
        assert_eq!(form(None, &HeaderMap::new()).unwrap(), Rendition::Json);
        assert!(form(Some("pdf"), &browser).is_err());
    }
}
