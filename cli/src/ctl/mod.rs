//! `stellopsctl`: questions to a server, one file a subject.

mod args;
mod audit;
mod doctor;
mod feeds;
mod findings;
mod nodes;
mod people;
mod policy;
mod policy_life;
mod policy_test;
mod replay;
mod report;
mod since;
mod verdicts;
mod workload;

use std::path::PathBuf;

use clap::CommandFactory as _;
use stella_api::client::{Client, ClientError, Credential, Settings};
use stella_service::telemetry;

use crate::client::{self, scans::ScanError};
use crate::exit::Outcome;
use crate::render;
use crate::stella::PolicyFileError;
use crate::terminal::{self, OutputError};

pub use args::Args;
use args::{
    AuditCommand, Command, Connection, FeedCommand, PolicyCommand, ReportCommand, RuntimeCommand, RuntimePolicyCommand,
    TenantCommand, VerdictsCommand,
};
use replay::ReplayError;
use report::ReportFileError;
use verdicts::{VerdictsError, Wanted};

/// Why `stellopsctl` has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CtlError {
    /// Logging cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The server cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The scan of a report's image ended without a result.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A policy file cannot be read.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// Cases of policies cannot be run.
    #[error(transparent)]
    PolicyTest(#[from] policy_test::PolicyTestError),
    /// A report file cannot be read.
    #[error(transparent)]
    Report(#[from] ReportFileError),
    /// The audit log cannot be read.
    #[error(transparent)]
    Audit(#[from] audit::AuditFileError),
    /// A password cannot be read.
    #[error("cannot read the password from '{path}'")]
    Password {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A bundle of verdicts cannot be made or taken in.
    #[error(transparent)]
    Verdicts(#[from] VerdictsError),
    /// Decisions cannot be made again.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The system gives no event loop.
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The answer cannot be written to a file.
    #[error("cannot write '{path}'")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Does what the flags say.
///
/// # Errors
/// Whatever keeps the question from an answer.
pub fn run(args: &Args) -> Result<Outcome, CtlError> {
    telemetry::install(args.verbose)?;
    let json = args.json;
    match &args.command {
        Command::Findings(wanted) => ask(args, async |client| findings::list(client, wanted, json).await),
        Command::Policy(PolicyCommand::Export { name }) => {
            ask(args, async |client| policy::export(client, name.as_deref()).await)
        }
        Command::Policy(PolicyCommand::History) => ask(args, async |client| policy::history(client, json).await),
        Command::Policy(PolicyCommand::Validate { file }) => policy::validate(file, json),
        Command::Policy(PolicyCommand::Import { file, if_match, description }) => ask(args, async |client| {
            policy_life::import(client, file, if_match.as_deref(), description.as_deref(), json).await
        }),
        Command::Policy(PolicyCommand::Diff { file, replaces }) => {
            ask(args, async |client| policy_life::diff(client, file, replaces.as_deref(), json).await)
        }
        Command::Policy(PolicyCommand::Rollback { revision, description }) => {
            ask(args, async |client| policy_life::rollback(client, revision, description.as_deref(), json).await)
        }
        Command::Policy(PolicyCommand::Test { folder, run }) => policy_test::run(folder, run.as_ref(), json),
        Command::Report(ReportCommand::Get { subject, output }) => {
            ask(args, async |client| report::get(client, subject, output.as_deref()).await)
        }
        Command::Report(ReportCommand::Verify { file, key }) => report::verify(file, key, json),
        Command::Report(ReportCommand::Show { file, format, output }) => report::show(file, *format, output.as_deref()),
        Command::Report(ReportCommand::Attach { report, image }) => {
            ask(args, async |client| report::attach(client, report, image.as_deref(), json).await)
        }
        Command::Report(ReportCommand::Keys) => ask(args, async |client| report::keys(client, json).await),
        Command::Feed(FeedCommand::Status) => ask(args, async |client| feeds::status(client, json).await),
        Command::Verdicts(VerdictsCommand::Export { key, valid_days, output }) => {
            let output = output.clone().unwrap_or_else(verdicts::default_output);
            let wanted = Wanted { key, valid_days: *valid_days, output: &output };
            ask(args, async |client| verdicts::export(client, &wanted, json).await)
        }
        Command::Verdicts(VerdictsCommand::Import { bundle, key, to }) => verdicts::import(bundle, key, to, json),
        Command::Runtime(RuntimeCommand::Policy(RuntimePolicyCommand::Replay(wanted))) => {
            let asked = if replay::asks_server(wanted) {
                ask(args, async |client| replay::fetch(client, wanted).await)?
            } else {
                replay::Fetched::default()
            };
            replay::run(wanted, &asked, json)
        }
        Command::Nodes => ask(args, async |client| nodes::list(client, json).await),
        Command::User(wanted) => ask(args, async |client| people::user(client, wanted, json).await),
        Command::Client(wanted) => ask(args, async |client| people::client(client, wanted, json).await),
        Command::Token(wanted) => ask(args, async |client| people::token(client, wanted, json).await),
        Command::Tenant(TenantCommand::List) => ask(args, async |client| people::tenants(client, json).await),
        Command::Audit(AuditCommand::Verify { paths, head }) => audit::verify(paths, head.as_deref(), json),
        Command::Doctor => ask(args, async |client| doctor::examine(client, json).await),
        Command::Completions { shell } => {
            terminal::print(&render::completions(*shell, &mut Args::command()))?;
            Ok(Outcome::Passed)
        }
        Command::Man => {
            terminal::print(&render::manual(Args::command())?)?;
            Ok(Outcome::Passed)
        }
    }
}

/// Puts a question to the server.
fn ask<T>(args: &Args, question: impl AsyncFnOnce(&Client) -> Result<T, CtlError>) -> Result<T, CtlError> {
    let client = client::connect(settings(&args.connection)?, true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CtlError::Runtime)?;
    runtime.block_on(question(&client))
}

fn settings(connection: &Connection) -> Result<Settings, CtlError> {
    let credential = match (&connection.token_file, &connection.token) {
        (Some(path), _) => Credential::File(path.clone()),
        (None, Some(token)) => Credential::Secret(token.clone()),
        (None, None) => Credential::None,
    };
    Ok(Settings { credential, tenant: connection.tenant.clone(), ..client::settings(&connection.server) })
}
