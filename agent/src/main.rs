//! `stella-zastava`, the node agent: which containers start here, and which libraries they really load.
//!
//! ```text
//!   source ──► observe ──► collect ──► record ──► outbox ──► send ──► server
//!   (bpf or     (drives)    (pure)     (hashes)   (spool)               │
//!    sweep)        │                                                    │
//!                  └── identity ◄── cri                        work ◄───┘ images to read
//! ```
#![forbid(unsafe_code)]

mod agent;
mod bpf;
mod cgroup;
mod cli;
mod clock;
mod collect;
mod containers;
mod cri;
mod events;
mod failure;
mod host_process;
mod identity;
mod library;
mod metrics;
mod observation;
mod observe;
mod outbox;
mod procfs;
mod record;
mod source;
mod spool;
mod sweep;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::Cli;
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Only one provider is compiled in, and nothing else installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::from(2)
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cli.watch.threads.into())
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(Failure::Threads)?;
    threads.block_on(agent::run(cli.watch))
}
