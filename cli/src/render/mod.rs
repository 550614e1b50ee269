//! Results as people and other tools read them.

mod cyclonedx;
mod findings;
mod grid;
mod records;
mod sarif;

use clap::{Command, ValueEnum};
use clap_complete::Shell;

pub use cyclonedx::cyclonedx;
pub use findings::table;
pub use grid::Grid;
pub use records::records;
pub use sarif::sarif;

use crate::terminal::OutputError;

/// What is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// The result with its findings.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// CycloneDX 1.6 with vulnerabilities.
    Cyclonedx,
}

/// Why a result cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The document of what was scanned is no CycloneDX.
    #[error("the cyclonedx document of what was scanned cannot be read")]
    Bom(#[source] serde_json::Error),
    /// It cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// The script that completes the flags of `command` in `shell`.
#[must_use]
pub fn completions(shell: Shell, command: &mut Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    script
}
