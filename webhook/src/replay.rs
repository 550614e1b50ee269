//! One review, or one recorded decision, on the command line.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use stella_api::client::ClientError;
use stella_service::clock::Clock;

use crate::cli::Review as Options;
use crate::decision::{RECORD_SCHEMA, Record, Undecided, decide};
use crate::review::{Review, ReviewError, answer};
use crate::verdicts::{self, DiskError, Held, StreamError};

/// Exit code when a replayed decision comes out other than it is recorded.
const DIFFERS: u8 = 1;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is neither a review nor a record.
    #[error(transparent)]
    Review(#[from] ReviewError),
    /// A record that cannot be read.
    #[error("the recorded decision cannot be read: {0}")]
    Record(serde_json::Error),
    /// The file with the verdicts cannot be used.
    #[error("--verdicts: {0}")]
    Verdicts(#[from] DiskError),
    /// There is no file with verdicts where one was named.
    #[error("--verdicts: there is no {0}")]
    NoFile(PathBuf),
    /// Neither a file nor a server was named.
    #[error("a review needs --verdicts or --server to judge by")]
    NoSource,
    /// The operator's address is wrong.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The verdicts could not be fetched.
    #[error("fetching verdicts failed")]
    Stream(#[from] StreamError),
    /// The verdicts are too old.
    #[error(transparent)]
    Undecided(#[from] Undecided),
    /// The answer cannot be printed.
    #[error("printing failed: {0}")]
    Print(io::Error),
}

/// Prints the answer to the review in the file, or whether the decision recorded in it comes out the same.
///
/// # Errors
/// An input that is missing or wrong.
pub async fn run(options: Options) -> Result<ExitCode, ReplayError> {
    let text = read(&options.file)?;
    if let Some(record) = record(&text)? {
        return replay(&record);
    }
    let review = Review::read(text.as_bytes())?;
    let clock = options.at.map_or_else(Clock::system, Clock::stopped);
    let held = held(&options, &clock).await?;
    let decision = decide(&review, &held, None, &options.rules.settings(None), clock.now())?;
    print(&answer(&review.uid, &decision))?;
    Ok(ExitCode::SUCCESS)
}

fn replay(record: &Record) -> Result<ExitCode, ReplayError> {
    let conclusion = record.replay();
    let same = conclusion == record.conclusion;
    print(&json!({"same": same, "recorded": record.conclusion, "replayed": conclusion}))?;
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

/// The record in a text that says it is one.
fn record(text: &str) -> Result<Option<Record>, ReplayError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Schema {
        #[serde(default)]
        schema_version: String,
    }
    match serde_json::from_str::<Schema>(text) {
        Ok(schema) if schema.schema_version == RECORD_SCHEMA => {
            serde_json::from_str(text).map(Some).map_err(ReplayError::Record)
        }
        _ => Ok(None),
    }
}

/// The verdicts to judge by. Those in a file were good when it was written, and are judged as of then.
async fn held(options: &Options, clock: &Clock) -> Result<Held, ReplayError> {
    if let Some(path) = &options.verdicts {
        let held = verdicts::load(path)?.ok_or_else(|| ReplayError::NoFile(path.clone()))?;
        return Ok(Held { heard_at: Some(clock.now()), ..held });
    }
    let url = options.server.as_ref().ok_or(ReplayError::NoSource)?;
    Ok(verdicts::fetch(&options.operator.at(url)?, clock).await?)
}

fn read(path: &Path) -> Result<String, ReplayError> {
    let read = || {
        if path == Path::new("-") {
            let mut text = String::new();
            return io::stdin().read_to_string(&mut text).map(|_| text);
        }
        std::fs::read_to_string(path)
    };
    read().map_err(|source| ReplayError::File { path: path.to_owned(), source })
}

fn print(value: &serde_json::Value) -> Result<(), ReplayError> {
    writeln!(io::stdout(), "{value:#}").map_err(ReplayError::Print)
}
