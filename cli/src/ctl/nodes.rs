//! `stellopsctl nodes`.

use serde_json::Value;

use super::CtlError;
use crate::client::{Call, Client};
use crate::exit::Outcome;
use crate::{render, terminal};

/// Lists the nodes as the server describes them.
pub(super) async fn list(client: &Client, json: bool) -> Result<Outcome, CtlError> {
    let nodes: Vec<Value> = client.pages(&Call::get("/api/v1/nodes")).await?;
    if json {
        terminal::print_json(&nodes)?;
    } else {
        terminal::print(render::records(&nodes, &[]).as_bytes())?;
    }
    Ok(Outcome::Passed)
}
