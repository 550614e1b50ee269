//! Waivers through the API.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use stella_api::problem::FieldError;
use stella_api::waiver::{Hidden, HiddenFinding, NewWaiver, WaiverEntry, Waivers};
use stella_domain::{Digest, Tenant, Timestamp};
use stella_policy::{Waiver, parse_value};
use stella_store::{FindingRow, WaiverRow};

use super::caller::Caller;
use super::error::ApiError;
use super::json_body::JsonBody;
use super::paging::PageQuery;
use super::policy_text::incomplete;
use crate::app::App;
use crate::judging::{KnownImage, WAIVERS, each_image, load, scopes, waiver};

/// The most waivers of a tenant that are not withdrawn.
const MOST: usize = 2000;
/// Examples of what a waiver hides.
const EXAMPLES: usize = 5;

/// Accepts one vulnerability for a time, over the whole tenant.
#[utoipa::path(post, path = "/api/v1/waivers", tag = "policy", request_body = NewWaiver,
    responses((status = 201, body = WaiverEntry), (status = 400, body = stella_api::problem::Problem),
        (status = 409, body = stella_api::problem::Problem)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Result<JsonBody<NewWaiver>, JsonRejection>,
) -> Result<Response, ApiError> {
    let (JsonBody(new), now) = (request?, app.clock.now());
    let waiver = checked(&new, now)?;
    let body = serde_json::to_string(&waiver).map_err(ApiError::internal)?;
    let row =
        WaiverRow { id: waiver.id.clone(), body, created_by: caller.subject.clone(), created_at: now, withdrawn: None };
    let standing = app.store.waivers(&caller.tenant).await?;
    if standing.iter().filter(|row| row.withdrawn.is_none()).count() >= MOST {
        return Err(ApiError::conflict(format!("there are {MOST} waivers already")));
    }
    if !app.store.put_waiver(&caller.tenant, &row).await? {
        return Err(ApiError::conflict(format!("there is or was a waiver '{}'", row.id)));
    }
    tracing::info!(waiver = row.id, actor = caller.subject, "waiver made");
    app.judge.notify_one();
    let mut hidden = hidden(&app, &caller.tenant).await?;
    let hides = hidden.remove(&(WAIVERS.to_owned(), row.id.clone())).unwrap_or_default();
    let location = HeaderValue::from_str(&format!("/api/v1/waivers/{}", row.id)).map_err(ApiError::internal)?;
    let entry = of_api(&row, waiver, hides, now);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(entry)).into_response())
}

/// The waiver that is asked for, if it says all that it has to.
fn checked(new: &NewWaiver, now: Timestamp) -> Result<Waiver, ApiError> {
    let mut value = serde_json::to_value(new).map_err(ApiError::internal)?;
    let id = new.id.clone().unwrap_or_else(|| format!("waiver-{}", &Digest::of(value.to_string()).hex()[..16]));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
        return Err(ApiError::field("$.id", "1 to 64 letters, digits, '-', '_' and '.' are taken"));
    }
    value["id"] = id.into();
    let document = serde_json::json!({"version": "1.0", "rules": [], "waivers": [value]});
    let parsed = parse_value(&document);
    let own = |path: &str| path.replace("$.waivers[0]", "$");
    let blocking = parsed.issues.iter().filter(|issue| issue.blocking);
    let mut errors: Vec<FieldError> =
        blocking.map(|issue| FieldError { path: own(&issue.path), msg: issue.message.clone() }).collect();
    let waiver = parsed.document.waivers.into_iter().next();
    if let Some(waiver) = &waiver {
        errors.extend(incomplete(waiver, "$"));
        if waiver.expires.is_some_and(|end| end <= now) {
            errors.push(FieldError { path: "$.expires".to_owned(), msg: "It is over already".to_owned() });
        }
    }
    match waiver {
        Some(waiver) if errors.is_empty() => Ok(waiver),
        _ => Err(ApiError::fields("the waiver cannot be taken", errors)),
    }
}

/// The waivers of the API, also those that are over or withdrawn, and those of the policies in force, with what they hide.
#[utoipa::path(get, path = "/api/v1/waivers", tag = "policy",
    params(("pageSize" = Option<u32>, Query), ("pageToken" = Option<String>, Query)),
    responses((status = 200, body = Waivers), (status = 400, body = stella_api::problem::Problem)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<Waivers>, ApiError> {
    let Query(query) = query?;
    let page = query.page(&app, format!("waivers {}", caller.tenant))?;
    let place = |entry: &WaiverEntry| format!("{}\n{}", entry.source, entry.id);
    let mut items = all(&app, &caller.tenant).await?;
    items.retain(|entry| page.after.as_ref().is_none_or(|(_, after)| place(entry) > *after));
    let next_page_token = page.cut(&mut items, |last| (0, place(last)));
    Ok(Json(Waivers { items, next_page_token }))
}

async fn all(app: &App, tenant: &Tenant) -> Result<Vec<WaiverEntry>, ApiError> {
    let now = app.clock.now();
    let mut hidden = hidden(app, tenant).await?;
    let mut entries = Vec::new();
    for row in app.store.waivers(tenant).await? {
        let Some(waiver) = waiver(&row.body) else { continue };
        let hides = hidden.remove(&(WAIVERS.to_owned(), row.id.clone())).unwrap_or_default();
        entries.push(of_api(&row, waiver, hides, now));
    }
    for policy in load(app).await?.by_tenant.get(tenant).into_iter().flatten() {
        for waiver in &policy.document.waivers {
            let name = policy.revision.name.clone();
            let hides = hidden.remove(&(name.clone(), waiver.id.clone())).unwrap_or_default();
            let source = if policy.is_import() { name } else { format!("Policy {name}") };
            entries.push(entry(waiver.clone(), source, hides, now));
        }
    }
    entries.sort_by(|a, b| (&a.source, &a.id).cmp(&(&b.source, &b.id)));
    Ok(entries)
}

fn of_api(row: &WaiverRow, waiver: Waiver, hides: Hidden, now: Timestamp) -> WaiverEntry {
    let mut entry = entry(waiver, "api".to_owned(), hides, now);
    entry.created_by = Some(row.created_by.clone());
    entry.created_at = Some(row.created_at);
    if let Some((actor, at)) = &row.withdrawn {
        entry.state = "withdrawn".to_owned();
        (entry.withdrawn_by, entry.withdrawn_at) = (Some(actor.clone()), Some(*at));
    }
    entry
}

fn entry(waiver: Waiver, source: String, hides: Hidden, now: Timestamp) -> WaiverEntry {
    let over = waiver.expires.is_some_and(|end| end <= now);
    WaiverEntry {
        id: waiver.id,
        advisory: waiver.advisory,
        images: waiver.images,
        digests: waiver.digests,
        purls: waiver.purls,
        justification: waiver.justification,
        owner: waiver.owner,
        ticket: waiver.ticket,
        expires: waiver.expires,
        source,
        state: if over { "expired" } else { "active" }.to_owned(),
        created_by: None,
        created_at: None,
        withdrawn_by: None,
        withdrawn_at: None,
        hides,
    }
}

/// Takes a waiver back; from now on it hides nothing.
#[utoipa::path(delete, path = "/api/v1/waivers/{id}", tag = "policy", params(("id" = String, Path)),
    responses((status = 200, body = WaiverEntry), (status = 404, body = stella_api::problem::Problem),
        (status = 409, body = stella_api::problem::Problem)))]
pub(super) async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WaiverEntry>, ApiError> {
    let now = app.clock.now();
    let done = app.store.withdraw_waiver(&caller.tenant, &id, &caller.subject, now).await?;
    let row = app.store.waivers(&caller.tenant).await?.into_iter().find(|row| row.id == id);
    let row = row.ok_or_else(|| ApiError::not_found(format!("there is no waiver '{id}' of the API")))?;
    if !done {
        return Err(ApiError::conflict(format!("waiver '{id}' was withdrawn before")));
    }
    tracing::info!(waiver = id, actor = caller.subject, "waiver withdrawn");
    app.judge.notify_one();
    let waiver = waiver(&row.body).ok_or_else(|| ApiError::internal("a stored waiver is damaged"))?;
    Ok(Json(of_api(&row, waiver, Hidden::default(), now)))
}

/// What each waiver hides now, by policy and id, over every scope of the tenant.
async fn hidden(app: &App, tenant: &Tenant) -> Result<BTreeMap<(String, String), Hidden>, ApiError> {
    let set = load(app).await?;
    let policies = set.by_tenant.get(tenant).map(Vec::as_slice).unwrap_or_default();
    if !set.waivers.contains_key(tenant) && policies.iter().all(|policy| policy.document.waivers.is_empty()) {
        return Ok(BTreeMap::new());
    }
    let found = scopes(&set, &app.namespaces.all(), app.settings.ground());
    let (statements, now) = (app.statements.of(&app.store, tenant).await?, app.clock.now());
    let mut hidden: BTreeMap<(String, String), Hidden> = BTreeMap::new();
    each_image(app, tenant, |image| {
        let mut here: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for scope in found.by_id.values().filter(|scope| scope.tenant == *tenant) {
            for waived in image.waived(scope, &statements, now).into_iter().filter(|w| !w.findings.is_empty()) {
                here.entry((waived.policy, waived.waiver)).or_default().extend(waived.findings);
            }
        }
        for (key, ids) in here {
            count(hidden.entry(key).or_default(), image, &ids);
        }
    })
    .await?;
    Ok(hidden)
}

fn count(hidden: &mut Hidden, image: &KnownImage, ids: &BTreeSet<String>) {
    hidden.images += 1;
    hidden.findings += ids.len();
    let room = EXAMPLES.saturating_sub(hidden.examples.len());
    let rows = image.findings.iter().map(|(row, _)| row).filter(|row| ids.contains(&row.id));
    let example = |row: &FindingRow| HiddenFinding {
        finding_id: row.id.clone(),
        advisory_id: row.advisory_id.clone(),
        package: row.purl.clone(),
        image: image.name(),
    };
    hidden.examples.extend(rows.take(room).map(example));
}
