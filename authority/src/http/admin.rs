//! `/api/v1/admin/*`: users, clients, tenants.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use stella_domain::Tenant;

use super::answer::{Problem, no_store, secret};
use super::{asking, caller, form};
use crate::authority::Authority;
use crate::people::{NewClient, NewUser, PeopleError};
use crate::scope::Scopes;
use crate::tenants::Tenants;
use crate::vault::{Client, Role, User};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserBody {
    name: String,
    password: String,
    role: Role,
    #[serde(default)]
    tenants: Tenants,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientBody {
    id: String,
    scopes: Scopes,
    #[serde(default)]
    tenants: Tenants,
    #[serde(default)]
    max_scans_per_day: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    disabled: bool,
}

fn shown_user(user: &User) -> Value {
    json!({"name": user.name, "role": user.role, "tenants": user.tenants, "disabled": user.disabled,
        "createdAt": user.created_at})
}

fn shown_client(client: &Client) -> Value {
    json!({"id": client.id, "scopes": client.scopes, "tenants": client.tenants, "disabled": client.disabled,
        "maxScansPerDay": client.max_scans_per_day, "createdAt": client.created_at, "rotatedAt": client.rotated_at})
}

fn listed(items: Vec<Value>) -> Response {
    no_store(Json(json!({"items": items, "nextPageToken": null})).into_response())
}

fn failed(error: impl std::fmt::Display) -> Problem {
    PeopleError::Unavailable(error.to_string()).into()
}

/// Runs `work`, and turns what it refuses into the answer.
async fn answered<F>(request: Request, work: impl FnOnce(Parts, Body) -> F) -> Response
where
    F: Future<Output = Result<Response, Problem>>,
{
    let (parts, body) = request.into_parts();
    let shown = parts.clone();
    work(parts, body).await.unwrap_or_else(|problem| problem.answer(&shown))
}

pub(super) async fn users(State(authority): State<Authority>, request: Request) -> Response {
    answered(request, async |parts, _| {
        caller(&authority, &parts).await?;
        Ok(listed(authority.vault.users().await.map_err(failed)?.iter().map(shown_user).collect()))
    })
    .await
}

pub(super) async fn add_user(State(authority): State<Authority>, request: Request) -> Response {
    answered(request, async |parts, body| {
        let caller = caller(&authority, &parts).await?;
        let body: UserBody = form::json(&parts.headers, body).await?;
        let shown = json!({"name": body.name, "role": body.role, "tenants": body.tenants, "disabled": false});
        let new = NewUser { name: body.name, password: body.password, role: body.role, tenants: body.tenants };
        authority.add_user(asking(&parts), &caller.subject, new).await?;
        Ok(secret(StatusCode::CREATED, &shown))
    })
    .await
}

pub(super) async fn change_user(
    State(authority): State<Authority>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    answered(request, async |parts, body| {
        let caller = caller(&authority, &parts).await?;
        let change: Change = form::json(&parts.headers, body).await?;
        authority.disable_user(asking(&parts), &caller.subject, &name, change.disabled).await?;
        Ok(secret(StatusCode::OK, &json!({"name": name, "disabled": change.disabled})))
    })
    .await
}

pub(super) async fn clients(State(authority): State<Authority>, request: Request) -> Response {
    answered(request, async |parts, _| {
        caller(&authority, &parts).await?;
        Ok(listed(authority.vault.clients().await.map_err(failed)?.iter().map(shown_client).collect()))
    })
    .await
}

pub(super) async fn add_client(State(authority): State<Authority>, request: Request) -> Response {
    answered(request, async |parts, body| {
        let caller = caller(&authority, &parts).await?;
        let body: ClientBody = form::json(&parts.headers, body).await?;
        let id = body.id.clone();
        let new = NewClient {
            id: body.id,
            scopes: body.scopes,
            tenants: body.tenants,
            max_scans_per_day: body.max_scans_per_day,
        };
        let text = authority.add_client(asking(&parts), &caller.subject, new).await?;
        Ok(secret(StatusCode::CREATED, &json!({"id": id, "secret": text})))
    })
    .await
}

pub(super) async fn change_client(
    State(authority): State<Authority>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answered(request, async |parts, body| {
        let caller = caller(&authority, &parts).await?;
        let change: Change = form::json(&parts.headers, body).await?;
        authority.disable_client(asking(&parts), &caller.subject, &id, change.disabled).await?;
        Ok(secret(StatusCode::OK, &json!({"id": id, "disabled": change.disabled})))
    })
    .await
}

pub(super) async fn rotate_client(
    State(authority): State<Authority>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answered(request, async |parts, _| {
        let caller = caller(&authority, &parts).await?;
        let text = authority.rotate_client(asking(&parts), &caller.subject, &id).await?;
        Ok(secret(StatusCode::OK, &json!({"id": id, "secret": text})))
    })
    .await
}

/// Every tenant that a client or user speaks for, and the default one.
pub(super) async fn tenants(State(authority): State<Authority>, request: Request) -> Response {
    answered(request, async |parts, _| {
        caller(&authority, &parts).await?;
        let clients = authority.vault.clients().await.map_err(failed)?;
        let users = authority.vault.users().await.map_err(failed)?;
        let all = clients.iter().map(|client| &client.tenants).chain(users.iter().map(|user| &user.tenants));
        let mut names = BTreeSet::from([Tenant::default()]);
        for tenants in all {
            if let Tenants::Named(named) = tenants {
                names.extend(named.iter().cloned());
            }
        }
        Ok(listed(names.iter().map(|name| json!({"name": name})).collect()))
    })
    .await
}
