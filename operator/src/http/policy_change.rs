//! Rules that come in through the API, and steps back to earlier ones.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stella_api::policy::{PolicyInForce, PolicyIssue, PolicyValid, RollbackRequest};
use stella_policy::Document;
use stella_store::{Imported, PolicyRevision};

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use super::policy_text;
use crate::app::App;
use crate::controllers::policy::KIND;
use crate::judging::{IMPORT, digest_of, document_of};

/// The most characters of a description.
const MOST: usize = 1024;

/// Beside the document.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportQuery {
    #[serde(default)]
    description: Option<String>,
}

/// Puts a document (YAML, JSON or Rego) in place of the imported one. `If-Match` names the digest that is expected to be live.
#[utoipa::path(post, path = "/policy/import", tag = "policy", params(("description" = Option<String>, Query),
        ("If-Match" = Option<String>, Header)),
    request_body(content = Object, content_type = "application/yaml"),
    responses((status = 200, body = PolicyInForce), (status = 400, body = stella_api::problem::Problem),
        (status = 409, body = stella_api::problem::Problem), (status = 412, body = stella_api::problem::Problem)))]
pub(super) async fn import(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<ImportQuery>, QueryRejection>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let examined = policy_text::body(&headers, &bytes, app.clock.now())?.accept()?;
    let issues = examined.wire_issues();
    let description = query.description.or_else(|| examined.document.description.clone()).unwrap_or_default();
    put(&app, &caller, &headers, examined.document, "import".to_owned(), description, issues).await
}

/// Puts the document of an earlier revision, of whatever policy, into force again, as a new revision.
#[utoipa::path(post, path = "/policy/rollback", tag = "policy", request_body = RollbackRequest,
    params(("If-Match" = Option<String>, Header)),
    responses((status = 200, body = PolicyInForce), (status = 404, body = stella_api::problem::Problem),
        (status = 409, body = stella_api::problem::Problem), (status = 412, body = stella_api::problem::Problem)))]
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    request: Result<JsonBody<RollbackRequest>, JsonRejection>,
) -> Result<Response, ApiError> {
    let JsonBody(request) = request?;
    let number = request.revision.strip_prefix("rev-").unwrap_or(&request.revision).parse::<i64>();
    let number = number.map_err(|_| ApiError::field("$.revision", "a revision looks like rev-3"))?;
    let revision = app.store.policy_revision(&caller.tenant, number).await?;
    let revision = revision.ok_or_else(|| ApiError::not_found(format!("there is no revision rev-{number}")))?;
    let document = document_of(&revision)
        .ok_or_else(|| ApiError::conflict(format!("this release cannot read rev-{number} any more")))?;
    let source = format!("rollback to rev-{number}");
    let description = request.description.unwrap_or_else(|| format!("back to rev-{number}"));
    put(&app, &caller, &headers, document, source, description, Vec::new()).await
}

async fn put(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    document: Document,
    source: String,
    description: String,
    issues: Vec<PolicyIssue>,
) -> Result<Response, ApiError> {
    if description.chars().count() > MOST {
        return Err(ApiError::field("$.description", format!("at most {MOST} characters are taken")));
    }
    if description.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err(ApiError::field("$.description", "it has control characters in it"));
    }
    let owners: Vec<String> = objects(app, caller).await?;
    if !owners.is_empty() {
        return Err(owned(&owners));
    }
    let (digest, at) = (digest_of(&document), app.clock.now());
    let revision = PolicyRevision {
        tenant: caller.tenant.clone(),
        number: 0,
        name: IMPORT.to_owned(),
        digest: digest.clone(),
        source,
        actor: caller.subject.clone(),
        at,
        priority: 0,
        body: serde_json::to_string(&document).map_err(ApiError::internal)?,
        active: true,
        description,
    };
    let expected = expected(headers)?;
    let active = match app.store.import_policy(&revision, expected.as_deref()).await? {
        Imported::InForce(active) => active,
        Imported::Owned(names) => return Err(owned(&names)),
        Imported::Changed(present) => {
            let live = present.unwrap_or_else(|| digest_of(&Document::default()));
            return Err(ApiError::precondition_failed(format!("the live rules have the digest {live}")));
        }
    };
    let changed = active.at == at;
    if changed {
        tracing::info!(revision = active.number, actor = caller.subject, "imported policy in force");
        app.judge.notify_one();
    }
    let body = PolicyInForce {
        revision: format!("rev-{}", active.number),
        changed,
        rule_count: document.rules.len(),
        issues,
        digest,
    };
    let tag = HeaderValue::from_str(&format!("\"{}\"", body.digest)).map_err(ApiError::internal)?;
    Ok(([(header::ETAG, tag)], Json(body)).into_response())
}

/// The `Policy` objects of the tenant, also those that are broken or suspended.
async fn objects(app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
    let noted = app.store.noted_objects(KIND).await?;
    let own = noted.iter().filter(|object| object.body == caller.tenant.as_str());
    let mut names: Vec<String> = own.map(|object| format!("{}/{}", object.namespace, object.name)).collect();
    names.sort();
    Ok(names)
}

fn owned(names: &[String]) -> ApiError {
    let some = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    ApiError::conflict(format!("the tenant's policies are objects of the cluster, change them there: Policy {some}"))
}

/// The digests one of which has to be live; `None` when any may. No rules at all have the digest of the empty document.
fn expected(headers: &HeaderMap) -> Result<Option<Vec<Option<String>>>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::invalid("the If-Match header is not text"))?;
    if text.trim() == "*" {
        return Ok(None);
    }
    let empty = digest_of(&Document::default());
    let mut digests = Vec::new();
    for tag in text.split(',').map(str::trim) {
        let tag = tag.trim_matches('"').to_owned();
        if tag == empty {
            digests.push(None);
        }
        digests.push(Some(tag));
    }
    Ok(Some(digests))
}

/// Checks a document without putting it into force.
#[utoipa::path(post, path = "/policy/validate", tag = "policy",
    request_body(content = Object, content_type = "application/yaml"),
    responses((status = 200, body = PolicyValid), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn validate(
    State(app): State<App>,
    _caller: Caller,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<PolicyValid>, ApiError> {
    let examined = policy_text::body(&headers, &bytes, app.clock.now())?.accept()?;
    Ok(Json(PolicyValid {
        valid: true,
        digest: digest_of(&examined.document),
        rule_count: examined.document.rules.len(),
        issues: examined.wire_issues(),
    }))
}
