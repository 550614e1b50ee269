//! The admission webhook of Stella.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use stella_webhook::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    stella_service::crypto::install();
    let cli = Cli::parse();
    let outcome = match stella_service::telemetry::install(cli.verbose) {
        Ok(()) => cli.run().await,
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("stella-webhook: {}", stella_service::supervise::chain(error.as_ref()));
        ExitCode::from(2)
    })
}
