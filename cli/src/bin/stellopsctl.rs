//! `stellopsctl`: asks a server what it knows.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use stella_cli::ctl::{Args, run};
use stella_cli::{exit, interrupt};

fn main() -> ExitCode {
    let args = Args::parse();
    interrupt::leave_on_interrupt();
    exit::conclude(run(&args))
}
