//! `stella-zastava`, the node agent: which containers start here, and which libraries they really load.
//!
//! ```text
//!   source ──► observe ──► collect ──► record ──► outbox ──► send ──► server
//!   (bpf or     (drives)    (pure)     (hashes)   (spool)               │
//!    sweep)        │                                                    │
//!                  └── identity ◄── cri                        work ◄───┘ images to read
//! ```
#![deny(unsafe_code)]

mod agent;
mod backoff;
mod batch;
mod bpf;
mod cgroup;
mod cli;
mod clock;
mod collect;
mod containers;
mod control_group;
mod cri;
mod events;
mod failure;
mod host_process;
mod identity;
mod library;
mod lost_event;
mod metrics;
mod node_status;
mod observation;
mod observe;
mod opened;
mod outbox;
mod package_database;
mod pressure;
mod procfs;
mod read_image;
mod record;
mod rights;
mod send;
mod server;
mod source;
mod spool;
mod status;
mod sweep;
mod work;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let usual = ["info", "stella_zastava=debug,info", "debug", "trace"][usize::from(cli.verbose.min(3))];
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(std::io::stderr).init();
    // Only one provider is compiled in, and nothing else installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => ExitCode::from(130),
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::from(2)
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    if let Some(Command::ReadImage(flags)) = &cli.command {
        let threads = threads(2)?;
        let _inside = threads.enter();
        return Ok(read_image::run(flags)?);
    }
    threads(cli.watch.threads.into())?.block_on(agent::run(cli.watch))
}

fn threads(count: usize) -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(Failure::Threads)
}
