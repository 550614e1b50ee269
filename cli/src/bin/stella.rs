//! `stella`: finds the vulnerabilities of an image or SBOM and fails a pipeline that may not have them.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use stella_cli::stella::{Args, run};
use stella_cli::{exit, interrupt};

fn main() -> ExitCode {
    let args = Args::parse();
    interrupt::leave_on_interrupt();
    exit::conclude(run(&args))
}
