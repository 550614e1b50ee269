//! Talking to the server, as a command line does.

pub mod scans;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stella_api::client::{Client, ClientError, Progress, Settings};
use stella_service::crypto;

use crate::terminal;

/// Where the server is by default.
pub const DEFAULT_SERVER: &str = "http://localhost:8080";

/// What every question of a command line has in common.
pub(crate) fn settings(server: &str) -> Settings {
    Settings {
        server: server.to_owned(),
        user_agent: concat!("stella-cli/", env!("CARGO_PKG_VERSION")),
        progress: Some(show),
        ..Settings::default()
    }
}

/// As `settings`, and a 429 is waited out once where `wait_quota` says so.
pub(crate) fn connect(settings: Settings, wait_quota: bool) -> Result<Client, ClientError> {
    crypto::install();
    Client::new(Settings { on_quota: wait_quota.then_some(tell_wait as fn(Duration)), ..settings })
}

fn tell_wait(wait: Duration) {
    terminal::note(format!("the server asks to come back in {} s; waiting", wait.as_secs()));
}

fn show(path: &Path, length: u64) -> Arc<dyn Progress> {
    Arc::new(terminal::Progress::bytes(&format!("sending {}", path.display()), length))
}

impl Progress for terminal::Progress {
    fn sent(&self, bytes: u64) {
        self.add(bytes);
    }
}
