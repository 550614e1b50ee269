//! From a signal to an orderly end.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long running work may take to finish after a signal (HTTP conventions, "Shutdown").
pub const GRACE: Duration = Duration::from_secs(30);

/// Exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// Begins to listen for SIGTERM and SIGINT. The token is cancelled by the first; a second ends the process at once
/// with code 130. Needs a tokio runtime.
///
/// # Errors
/// The handlers cannot be installed.
pub fn on_signal() -> io::Result<CancellationToken> {
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    tokio::spawn(watch(terminate, interrupt, token.clone()));
    Ok(token)
}

async fn watch(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name, "shutting down");
    token.cancel();
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = name, "second signal: leaving at once");
    std::process::exit(INTERRUPTED);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
