//! `stellopsctl user|client|token|tenant`.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use stella_api::client::Client;

use super::CtlError;
use super::args::{ClientCommand, TokenCommand, UserCommand};
use crate::exit::Outcome;
use crate::{render, terminal};

/// The longest password file that is read, in bytes.
const MAX_PASSWORD: u64 = 4096;

/// Tenants.
pub(super) async fn tenants(client: &Client, json: bool) -> Result<Outcome, CtlError> {
    list(&client.tenants().await?, json)
}

/// Users.
pub(super) async fn user(client: &Client, wanted: &UserCommand, json: bool) -> Result<Outcome, CtlError> {
    let answer = match wanted {
        UserCommand::List => return list(&client.users().await?, json),
        UserCommand::Disable { name } => client.change_user(name, &json!({"disabled": true})).await?,
        UserCommand::Add { name, role, password_file, tenants } => {
            let mut body = json!({"name": name, "role": role, "password": password(password_file)?});
            named(&mut body, tenants);
            client.create_user(&body).await?
        }
    };
    show(&answer, None, json)
}

/// Clients.
pub(super) async fn client(client: &Client, wanted: &ClientCommand, json: bool) -> Result<Outcome, CtlError> {
    let (answer, secret) = match wanted {
        ClientCommand::List => return list(&client.clients().await?, json),
        ClientCommand::Disable { id } => (client.change_client(id, &json!({"disabled": true})).await?, None),
        ClientCommand::Rotate { id } => (client.new_secret(id).await?, Some("secret")),
        ClientCommand::Add { id, scopes, tenants, max_scans_per_day } => {
            let mut body = json!({"id": id, "scopes": scopes, "maxScansPerDay": max_scans_per_day});
            named(&mut body, tenants);
            (client.create_client(&body).await?, Some("secret"))
        }
    };
    show(&answer, secret, json)
}

/// Tokens.
pub(super) async fn token(client: &Client, wanted: &TokenCommand, json: bool) -> Result<Outcome, CtlError> {
    let TokenCommand::Offline { days, max_scans_per_day } = wanted;
    let body = json!({"expiresDays": days, "maxScansPerDay": max_scans_per_day});
    show(&client.offline_token(&body).await?, Some("jwt"), json)
}

fn list(entries: &[Value], json: bool) -> Result<Outcome, CtlError> {
    if json {
        terminal::print_json(entries)?;
    } else {
        terminal::print(render::records(entries, &[]).as_bytes())?;
    }
    Ok(Outcome::Passed)
}

/// Prints the answer; of one with a secret, the secret alone, so that it can go into a file.
fn show(answer: &Value, secret: Option<&str>, json: bool) -> Result<Outcome, CtlError> {
    match secret.and_then(|name| answer.get(name)).and_then(Value::as_str) {
        Some(text) if !json => terminal::print(format!("{text}\n").as_bytes())?,
        _ if json => terminal::print_json(answer)?,
        _ => terminal::print(render::records(std::slice::from_ref(answer), &[]).as_bytes())?,
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
