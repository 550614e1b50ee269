//! `stellopsctl user|client|token|tenant`.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::CtlError;
use super::args::{ClientCommand, TokenCommand, UserCommand};
use crate::client::{Call, Client};
use crate::exit::Outcome;
use crate::{render, terminal};

const ADMIN: &str = "/api/v1/admin";
/// The longest password file that is read, in bytes.
const MAX_PASSWORD: u64 = 4096;

/// Lists what there is of `subject`.
pub(super) async fn list(client: &Client, subject: &str, json: bool) -> Result<Outcome, CtlError> {
    let entries: Vec<Value> = client.pages(&Call::get(format!("{ADMIN}/{subject}"))).await?;
    if json {
        terminal::print_json(&entries)?;
    } else {
        terminal::print(render::records(&entries, &[]).as_bytes())?;
    }
    Ok(Outcome::Passed)
}

/// Users.
pub(super) async fn user(client: &Client, wanted: &UserCommand, json: bool) -> Result<Outcome, CtlError> {
    let call = match wanted {
        UserCommand::List => return list(client, "users", json).await,
        UserCommand::Disable { name } => Call::patch_json(format!("{ADMIN}/users/{name}"), &json!({"disabled": true}))?,
        UserCommand::Add { name, role, password_file, tenants } => {
            let mut body = json!({"name": name, "role": role, "password": password(password_file)?});
            named(&mut body, tenants);
            Call::post_json(format!("{ADMIN}/users"), &body)?
        }
    };
    show(client, &call, None, json).await
}

/// Clients.
pub(super) async fn client(client: &Client, wanted: &ClientCommand, json: bool) -> Result<Outcome, CtlError> {
    let (call, secret) = match wanted {
        ClientCommand::List => return list(client, "clients", json).await,
        ClientCommand::Disable { id } => {
            (Call::patch_json(format!("{ADMIN}/clients/{id}"), &json!({"disabled": true}))?, None)
        }
        ClientCommand::Rotate { id } => {
            (Call::post_json(format!("{ADMIN}/clients/{id}/secret"), &json!({}))?, Some("secret"))
        }
        ClientCommand::Add { id, scopes, tenants, max_scans_per_day } => {
            let mut body = json!({"id": id, "scopes": scopes, "maxScansPerDay": max_scans_per_day});
            named(&mut body, tenants);
            (Call::post_json(format!("{ADMIN}/clients"), &body)?, Some("secret"))
        }
    };
    show(client, &call, secret, json).await
}

/// Tokens.
pub(super) async fn token(client: &Client, wanted: &TokenCommand, json: bool) -> Result<Outcome, CtlError> {
    let TokenCommand::Offline { days, max_scans_per_day } = wanted;
    let body = json!({"expiresDays": days, "maxScansPerDay": max_scans_per_day});
    show(client, &Call::post_json("/token/offline", &body)?, Some("jwt"), json).await
}

/// Prints the answer; of one with a secret, the secret alone, so that it can go into a file.
async fn show(client: &Client, call: &Call, secret: Option<&str>, json: bool) -> Result<Outcome, CtlError> {
    let answer: Value = client.json(call).await?;
    match secret.and_then(|name| answer.get(name)).and_then(Value::as_str) {
        Some(text) if !json => terminal::print(format!("{text}\n").as_bytes())?,
        _ if json => terminal::print_json(&answer)?,
        _ => terminal::print(render::records(std::slice::from_ref(&answer), &[]).as_bytes())?,
    }
    Ok(Outcome::Passed)
}

fn named(body: &mut Value, tenants: &[String]) {
    if !tenants.is_empty() {
        body["tenants"] = json!(tenants);
    }
}

/// The first line of the file.
fn password(path: &Path) -> Result<String, CtlError> {
    let failed = |source| CtlError::Password { path: path.to_owned(), source };
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(MAX_PASSWORD).read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
