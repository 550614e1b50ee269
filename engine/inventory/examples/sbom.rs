//! Reads an SBOM of any format and tells what it found, how long it took and how much memory it needed; with
//! `--to cyclonedx-json` or `--to spdx-json` it writes the same inventory to the standard output.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use stella_inventory::{Limits, sbom};

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let (file, to) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [file] => (file.to_owned(), None),
        [file, "--to", to] => (file.to_owned(), Some(to.to_owned())),
        _ => return Err("usage: sbom FILE [--to cyclonedx-json | spdx-json]".into()),
    };
    let bytes = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let started = Instant::now();
    let document = sbom::parse(&bytes, &Limits::default()).map_err(|error| format!("{file}: {error}"))?;
    let taken = started.elapsed();
    let inventory = &document.inventory;
    eprintln!(
        "{}, {} bytes: {} components, {} relations, {} problems in {taken:?}; {}",
        document.format.name(),
        bytes.len(),
        inventory.components.len(),
        document.relations.len(),
        inventory.problems.len(),
        peak()
    );
    let subject = document.subject.as_ref();
    let written = match to.as_deref() {
        None => return Ok(()),
        Some("cyclonedx-json") => sbom::write_cyclonedx(inventory, subject),
        Some("spdx-json") => sbom::write_spdx(inventory, subject),
        Some(other) => return Err(format!("'{other}' is not written")),
    };
    std::io::stdout().write_all(&written).map_err(|error| error.to_string())
}

/// The most memory the process had at once, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown");
    line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
