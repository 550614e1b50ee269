//! `stellopsctl doctor`: is the server there, well, and willing to talk to us?

use serde::Serialize;
use stella_api::client::{Client, ClientError, StatusCode};
use stella_api::probe::Version;

use super::CtlError;
use crate::exit::{self, Outcome};
use crate::terminal;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Diagnosis {
    well: bool,
    version: Option<Version>,
    wrong: Vec<String>,
}

/// Says what is wrong. That something is, is the answer no.
pub(super) async fn examine(client: &Client, json: bool) -> Result<Outcome, CtlError> {
    let diagnosis = diagnose(client).await;
    if json {
        terminal::print_json(&diagnosis)?;
    } else {
        terminal::print(tell(&diagnosis).as_bytes())?;
    }
    Ok(Outcome::of(diagnosis.well))
}

async fn diagnose(client: &Client) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    match readiness(client).await {
        Ok(wrong) => diagnosis.wrong = wrong,
        Err(error) => {
            // Nothing else can be asked of a server that is not there.
            diagnosis.wrong.push(exit::with_causes(&error));
            return diagnosis;
        }
    }
    match client.version().await {
        Ok(version) => diagnosis.version = Some(version),
        Err(error) => diagnosis.wrong.push(exit::with_causes(&error)),
    }
    if let Err(error) = client.feeds().await {
        diagnosis.wrong.push(exit::with_causes(&error));
    }
    diagnosis.well = diagnosis.wrong.is_empty();
    diagnosis
}

async fn readiness(client: &Client) -> Result<Vec<String>, ClientError> {
    let ready = client.readiness().await?;
    let mut wrong: Vec<String> =
        ready.not_ready.iter().map(|(part, reason)| format!("{part} is not ready: {reason}")).collect();
    if ready.status != StatusCode::OK && wrong.is_empty() {
        wrong.push(format!("the server is not ready: {}", ready.status));
    }
    Ok(wrong)
}

fn tell(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    if let Some(Version { version, git_sha, build_date }) = &diagnosis.version {
        text.push_str(&format!("server {version} ({git_sha}, built {build_date})\n"));
    }
    for wrong in &diagnosis.wrong {
        text.push_str(&format!("wrong: {}\n", terminal::printable(wrong)));
    }
    if diagnosis.well {
        text.push_str("all is well\n");
    }
    text
}
