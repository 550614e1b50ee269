//! Results as people and other tools read them.

mod cyclonedx;
mod findings;
mod grid;
mod page;
mod records;
mod sarif;

use clap::{Command, ValueEnum};
use clap_complete::Shell;

pub use cyclonedx::cyclonedx;
pub use findings::table;
pub use grid::Grid;
pub use page::page_of;
pub use records::records;
pub use sarif::{Place, sarif};

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
    /// One HTML file for people.
    Html,
    /// GitHub Flavored Markdown.
    Markdown,
    /// SPDX 2.3: what was scanned, without vulnerabilities.
    Spdx,
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

/// The manual page of `command`; one page holds its subcommands too.
///
/// # Errors
/// When it cannot be written.
pub fn manual(command: Command) -> Result<Vec<u8>, OutputError> {
    let mut pages = Vec::new();
    page(command, &mut pages).map_err(OutputError::Write)?;
    Ok(pages)
}

fn page(command: Command, pages: &mut Vec<u8>) -> std::io::Result<()> {
    let subcommands: Vec<Command> =
        command.get_subcommands().filter(|inner| inner.get_name() != "help").cloned().collect();
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    clap_mangen::Man::new(command).render(pages)?;
    for inner in subcommands {
        let full = format!("{name} {}", inner.get_name());
        page(inner.display_name(full), pages)?;
    }
    Ok(())
}

/// The script that completes the flags of `command` in `shell`.
#[must_use]
pub fn completions(shell: Shell, command: &mut Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    script
}
