//! The server, as the command line names it.

use stella_api::client::{Client, ClientError, Credential, Settings};

use crate::cli;

/// A client of it; `None` when no server is named. Its requests go on with `trace`, a `traceparent`, where that is given.
///
/// # Errors
/// When the address is none of HTTP.
pub fn client(flags: &cli::Server, trace: Option<String>) -> Result<Option<Client>, ClientError> {
    let Some(server) = &flags.server else { return Ok(None) };
    let credential = Credential::in_file(flags.token_file.clone(), flags.exchange_token);
    let settings = Settings {
        server: server.to_string(),
        credential,
        ca_file: flags.ca_file.clone(),
        user_agent: concat!("stella-zastava/", env!("CARGO_PKG_VERSION")),
        trace,
        ..Settings::default()
    };
    Client::new(settings).map(Some)
}

/// An error with its causes, cut where that gets too long for a log.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text.chars().take(500).collect()
}
