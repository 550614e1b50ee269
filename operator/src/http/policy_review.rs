//! What a policy would say, before it is put into force.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stella_api::policy::{Diagnostics, DiagnosticsRequest, Impact, Preview, PreviewDiff, PreviewRequest};
use stella_domain::Digest;
use stella_policy::{Compiled, Context, DOCUMENT_VERSION, FindingInput, IssueSeverity, Status};

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use super::policy_text::{self, Examined};
use super::stream::NDJSON;
use crate::app::App;
use crate::judging::{IMPORT, LoadedPolicy, PolicySet, Scope, digest_of, evaluated, load, ruleset};
use crate::reports::{policy_of, tenant_scope};

/// The most findings a caller may bring.
const MAX_FINDINGS: usize = 10_000;

/// Whether the feature is on; its endpoints are not there otherwise.
fn shown(app: &App) -> Result<(), ApiError> {
    if app.settings.policy_preview { Ok(()) } else { Err(ApiError::not_found("there is nothing at this path")) }
}

/// The JSON schema of policy documents, for editors.
#[utoipa::path(get, path = "/api/v1/policy/schema", tag = "policy",
    responses((status = 200, content_type = "application/schema+json", body = Object),
        (status = 404, description = "policy previews are off", body = stella_api::problem::Problem)))]
pub(super) async fn schema(State(app): State<App>, _caller: Caller) -> Result<Response, ApiError> {
    shown(&app)?;
    let text = serde_json::to_string_pretty(&stella_policy::schema()).map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], text).into_response())
}

/// What the lint says of a policy.
#[utoipa::path(post, path = "/api/v1/policy/diagnostics", tag = "policy", request_body = DiagnosticsRequest,
    responses((status = 200, body = Diagnostics), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn diagnostics(
    State(app): State<App>,
    _caller: Caller,
    request: Result<JsonBody<DiagnosticsRequest>, JsonRejection>,
) -> Result<Json<Diagnostics>, ApiError> {
    shown(&app)?;
    let (JsonBody(request), now) = (request?, app.clock.now());
    let examined = policy_text::content(&request.policy, now)?;
    Ok(Json(Diagnostics {
        success: !examined.is_blocked(),
        version: DOCUMENT_VERSION.to_owned(),
        rule_count: examined.document.rules.len(),
        error_count: examined.count(IssueSeverity::Error),
        warning_count: examined.count(IssueSeverity::Warning),
        generated_at: now,
        recommendations: recommendations(&examined),
        issues: examined.wire_issues(),
    }))
}

/// One sentence a kind of issue, in the order of the issues.
fn recommendations(examined: &Examined) -> Vec<String> {
    let mut told = BTreeSet::new();
    let new = examined.issues.iter().filter(|issue| told.insert(issue.code));
    new.map(|issue| format!("{}: {}", issue.code.name(), issue.code.summary())).collect()
}

/// What a policy, or the active one, says of findings that the caller brings, beside a baseline.
#[utoipa::path(post, path = "/api/v1/policy/preview", tag = "policy", request_body = PreviewRequest,
    responses((status = 200, body = Preview), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn preview(
    State(app): State<App>,
    caller: Caller,
    request: Result<JsonBody<PreviewRequest>, JsonRejection>,
) -> Result<Json<Preview>, ApiError> {
    shown(&app)?;
    let (JsonBody(request), now) = (request?, app.clock.now());
    let digest: Digest = request
        .image_digest
        .parse()
        .map_err(|e: stella_domain::DigestError| ApiError::field("$.imageDigest", e.to_string()))?;
    let findings = findings(request.findings)?;
    let baseline = baseline(request.baseline)?;
    let context = Context { digests: vec![digest], now, ..Context::default() };
    let Some(policy) = request.policy else {
        let scope = tenant_scope(&app, &caller.tenant).await?;
        let policies = scope.as_ref().map(|scope| scope.policies.as_slice()).unwrap_or_default();
        let compiled: Vec<&Compiled> = scope.iter().flat_map(Scope::compiled).collect();
        let present = policy_of(scope.as_ref());
        let policy_digest = ruleset(policies).map_or(present.digest, |document| digest_of(&document));
        let revision_id = present.revision_id;
        let diffs = diffs(&compiled, &findings, &baseline, &context)?;
        let changed = diffs.iter().filter(|diff| diff.changed).count();
        return Ok(Json(Preview { success: true, policy_digest, revision_id, changed, diffs, issues: Vec::new() }));
    };
    let examined = policy_text::content(&policy, now)?;
    let (issues, success) = (examined.wire_issues(), !examined.is_blocked());
    let policy_digest = digest_of(&examined.document);
    let diffs = if success {
        let compiled = Compiled::new(IMPORT, 0, &examined.document).map_err(ApiError::internal)?;
        diffs(&[&compiled], &findings, &baseline, &context)?
    } else {
        Vec::new()
    };
    let changed = diffs.iter().filter(|diff| diff.changed).count();
    Ok(Json(Preview { success, policy_digest, revision_id: "preview".to_owned(), changed, diffs, issues }))
}

fn findings(values: Vec<serde_json::Value>) -> Result<Vec<FindingInput>, ApiError> {
    if values.len() > MAX_FINDINGS {
        return Err(ApiError::field("$.findings", format!("at most {MAX_FINDINGS} are taken")));
    }
    let read = |(at, value)| {
        serde_json::from_value::<FindingInput>(value)
            .map_err(|e| ApiError::field(format!("$.findings[{at}]"), e.to_string()))
    };
    values.into_iter().enumerate().map(read).collect()
}

/// A verdict of the baseline, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BaselineVerdict {
    finding_id: String,
    status: Status,
}

type Baseline = BTreeMap<String, (Status, serde_json::Value)>;

fn baseline(values: Vec<serde_json::Value>) -> Result<Baseline, ApiError> {
    if values.len() > MAX_FINDINGS {
        return Err(ApiError::field("$.baseline", format!("at most {MAX_FINDINGS} are taken")));
    }
    let read = |(at, value): (usize, serde_json::Value)| {
        let verdict = serde_json::from_value::<BaselineVerdict>(value.clone());
        let verdict = verdict.map_err(|e| ApiError::field(format!("$.baseline[{at}]"), e.to_string()))?;
        Ok((verdict.finding_id, (verdict.status, value)))
    };
    values.into_iter().enumerate().map(read).collect()
}

fn diffs(
    policies: &[&Compiled],
    findings: &[FindingInput],
    baseline: &Baseline,
    context: &Context,
) -> Result<Vec<PreviewDiff>, ApiError> {
    let evaluation = evaluated(policies, findings, context);
    let diff = |(finding, verdict): (&FindingInput, &stella_policy::FindingVerdict)| {
        let pass = || (Status::Pass, serde_json::json!({"findingId": finding.id, "status": "Pass"}));
        let (before, shown) = baseline.get(&finding.id).cloned().unwrap_or_else(pass);
        Ok(PreviewDiff {
            finding_id: finding.id.clone(),
            baseline: shown,
            projected: serde_json::to_value(verdict).map_err(ApiError::internal)?,
            changed: before != verdict.status,
        })
    };
    findings.iter().zip(&evaluation.verdicts).map(diff).collect()
}

/// Whose place the policy would take.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImpactQuery {
    #[serde(default)]
    replaces: Option<String>,
}

/// What a policy would change over everything that is known: which images would be newly blocked, warned about or freed.
/// Without `replaces` it stands in place of everything that acts on the whole tenant, as an import would.
#[utoipa::path(post, path = "/api/v1/policy/impact", tag = "policy", params(("replaces" = Option<String>, Query)),
    request_body(content = Object, content_type = "application/yaml"),
    responses((status = 200, body = Impact), (status = 400, body = stella_api::problem::Problem),
        (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn impact(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<ImpactQuery>, QueryRejection>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Impact>, ApiError> {
    let Query(query) = query?;
    let examined = policy_text::body(&headers, &bytes, app.clock.now())?.accept()?;
    let set = load(&app).await?;
    let (replaced, candidate) = candidate(&app, &caller, &set, query.replaces, &examined)?;
    let mut impact = crate::judging::impact(&app, &set, candidate, &replaced).await?;
    impact.issues = examined.wire_issues();
    Ok(Json(impact))
}

/// The policy that would stand in force, and the names of those it would replace.
fn candidate(
    app: &App,
    caller: &Caller,
    set: &PolicySet,
    replaces: Option<String>,
    examined: &Examined,
) -> Result<(Vec<String>, LoadedPolicy), ApiError> {
    let document = examined.document.clone();
    let (replaced, candidate) = match replaces {
        Some(name) => {
            let present = set.by_tenant.get(&caller.tenant).map(Vec::as_slice).unwrap_or_default();
            let policy = present.iter().find(|policy| policy.revision.name == name);
            let policy = policy.ok_or_else(|| ApiError::not_found(format!("no policy {name} is in force")))?;
            (vec![name], LoadedPolicy::new(policy.revision.clone(), policy.spec.clone(), document))
        }
        None => (
            set.everywhere(app, &caller.tenant),
            LoadedPolicy::stand_in(&caller.tenant, &caller.subject, document, app.clock.now()),
        ),
    };
    Ok((replaced, candidate.map_err(|e| ApiError::invalid(e.to_string()))?))
}

/// The verdicts that webhooks would be told of the tenant's images and namespaces if a policy stood in place of others: a
/// snapshot, one update a line. Without `replaces` it stands in place of everything that acts on the whole tenant.
#[utoipa::path(post, path = "/api/v1/policy/verdicts", tag = "policy", params(("replaces" = Option<String>, Query)),
    request_body(content = Object, content_type = "application/yaml"),
    responses((status = 200, content_type = "application/x-ndjson", body = stella_api::admission::AdmissionUpdate),
        (status = 400, body = stella_api::problem::Problem), (status = 404, body = stella_api::problem::Problem)))]
pub(super) async fn verdicts(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<ImpactQuery>, QueryRejection>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let examined = policy_text::body(&headers, &bytes, app.clock.now())?.accept()?;
    let set = load(&app).await?;
    let (replaced, candidate) = candidate(&app, &caller, &set, query.replaces, &examined)?;
    let mut lines = Vec::new();
    for update in crate::judging::proposed(&app, &set, candidate, &replaced).await? {
        serde_json::to_writer(&mut lines, &update).map_err(ApiError::internal)?;
        lines.push(b'\n');
    }
    Ok(([(header::CONTENT_TYPE, NDJSON)], lines).into_response())
}
