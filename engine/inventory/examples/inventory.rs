//! Writes the inventory of an image archive, a layout folder or a directory tree (`--rootfs`) as CycloneDX to the
//! standard output, and how long it took to the standard error.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use stella_inventory::image::{ReadOptions, read_image};
use stella_inventory::{Limits, rootfs, sbom};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let started = Instant::now();
    let inventory = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--rootfs", root] => rootfs(Path::new(root), &Limits::default()).map_err(|error| error.to_string()),
        [image] => read_image(Path::new(image), &ReadOptions::default()).map_err(|error| error.to_string()),
        _ => Err("usage: inventory IMAGE | --rootfs FOLDER".to_owned()),
    };
    let taken = started.elapsed();
    match inventory {
        Ok(inventory) => {
            let (components, problems) = (inventory.components.len(), inventory.problems.len());
            eprintln!("{components} components, {problems} problems in {taken:?}");
            let written = std::io::stdout().write_all(&sbom::write_cyclonedx(&inventory, None));
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
