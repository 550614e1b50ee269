//! `stella IMAGE_OR_SBOM`: the gate of a pipeline.

mod args;
mod declared;
mod gate;
mod image_store;
mod index_file;
mod inventory_cache;
mod local;
mod policy_file;
mod remote;
mod subject;
mod upload;
mod vex_file;

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use stella_api::finding::ScanDocument;
use stella_domain::Timestamp;
use stella_service::clock::Clock;
use stella_service::telemetry;

use crate::exit::Outcome;
use crate::render::{self, Format, RenderError};
use crate::terminal::{self, OutputError};

pub use args::{Args, SbomType, Threshold};
pub use gate::Gate;
pub use policy_file::{PolicyFile, PolicyFileError, PolicyText, context, repository};
pub use stella_judged::{is_hidden, status};
pub use vex_file::VexFileError;

use local::LocalError;
use remote::RemoteError;

/// Name and version of the engine in results.
const ENGINE: &str = concat!("stella ", env!("CARGO_PKG_VERSION"));

/// Why `stella` has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StellaError {
    /// Logging cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// The scan in this process failed.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The scan by the server failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The system gives no event loop.
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
    /// The result cannot be shown.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The result cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The result file cannot be written.
    #[error("cannot write '{path}'")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A result, with the CycloneDX or SPDX document of what was scanned where that is asked for.
#[derive(Debug)]
struct Scan {
    document: ScanDocument,
    bom: Option<Vec<u8>>,
}

/// Does what the flags say.
///
/// # Errors
/// Whatever keeps the scan from a result; that the result is bad is no error.
pub fn run(args: &Args) -> Result<Outcome, StellaError> {
    if let Some(page) = of_itself(args)? {
        terminal::print(&page)?;
        return Ok(Outcome::Passed);
    }
    let target = args.target.as_deref().unwrap_or_default();
    telemetry::install(args.verbose)?;
    let now = Clock::system().now();
    let policy = args.policy_file.as_deref().map(|path| PolicyFile::read(path, now)).transpose()?;
    let scan = match &args.feeds {
        Some(feeds) => local::scan(args, target, feeds, policy.as_ref(), now)?,
        None => by_server(args, target, policy.as_ref(), now)?,
    };
    report(args, &scan, now)
}

/// What the program says about itself, when it is asked to.
fn of_itself(args: &Args) -> Result<Option<Vec<u8>>, StellaError> {
    if let Some(shell) = args.completions {
        return Ok(Some(render::completions(shell, &mut Args::command())));
    }
    if args.man { Ok(Some(render::manual(Args::command())?)) } else { Ok(None) }
}

fn by_server(args: &Args, target: &str, policy: Option<&PolicyFile>, now: Timestamp) -> Result<Scan, StellaError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StellaError::Runtime)?;
    Ok(runtime.block_on(remote::scan(args, target, policy, now))?)
}

/// Writes the result wherever it is wanted.
fn report(args: &Args, scan: &Scan, now: Timestamp) -> Result<Outcome, StellaError> {
    let gate = Gate::of(&scan.document, args.threshold.severity());
    if let Some(path) = &args.output_json {
        write_file(path, &terminal::json(&scan.document)?)?;
    }
    let rendered = match args.output() {
        Format::Table => render::table(&scan.document, &gate, now),
        Format::Json => terminal::json(&scan.document)?,
        Format::Sarif => {
            let folder = std::env::current_dir().ok();
            let target = args.target.as_deref().unwrap_or_default();
            let places = declared::declared(target, folder.as_deref(), &scan.document.findings);
            render::sarif(&scan.document, folder.as_deref(), &places)?
        }
        Format::Cyclonedx => render::cyclonedx(scan.bom.as_deref().unwrap_or_default(), &scan.document.findings)?,
        Format::Html => render::page_of(&scan.document).html().into_bytes(),
        Format::Markdown => render::page_of(&scan.document).markdown().into_bytes(),
        Format::Spdx => scan.bom.clone().unwrap_or_default(),
    };
    terminal::print(&rendered)?;
    if args.output() != Format::Table {
        terminal::note(&gate);
    }
    Ok(gate.outcome())
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), StellaError> {
    std::fs::write(path, content).map_err(|source| StellaError::File { path: path.to_owned(), source })
}
