//! Why the agent ends.

use std::path::PathBuf;

use crate::bpf::BpfError;
use crate::host_process::HostProcessError;
use crate::identity::IdentityFileError;
use crate::read_image::ReadImageError;
use crate::spool::SpoolError;
use stella_api::client::ClientError;
use stella_cri::CriError;

/// Anything that ends the process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The kernel side.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// The runtime named on the command line.
    #[error("the container runtime does not answer: {0}")]
    Cri(#[from] CriError),
    /// The file of identities.
    #[error(transparent)]
    Identities(#[from] IdentityFileError),
    /// A process named on the command line.
    #[error(transparent)]
    HostProcess(#[from] HostProcessError),
    /// An image that was to be read.
    #[error(transparent)]
    ReadImage(#[from] ReadImageError),
    /// The address of the server.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// The spool.
    #[error("{0} (--spool-dir must be a writable folder)")]
    Spool(#[from] SpoolError),
    /// The status address.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server did not take what `--once` reported.
    #[error("{0} events were not taken by the server; they stay in the spool")]
    NotSent(u64),
    /// `/proc` is not there.
    #[error("cannot read {path}: {source} (is a proc filesystem mounted there?)")]
    Proc {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Ctrl-C. Everything was handed on before.
    #[error("interrupted")]
    Interrupted,
    /// Nothing to do with the events.
    #[error("nowhere to send events: name a --server, or --output json")]
    NoDestination,
    /// The mode is not there yet.
    #[error("--mode enforce is not yet supported by this version; --mode listen reports only")]
    Enforce,
    /// A signal handler could not be installed.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// The asynchronous runtime could not be started.
    #[error("cannot start worker threads: {0}")]
    Threads(std::io::Error),
    /// A part of the agent ended on its own.
    #[error("{0} ended unexpectedly")]
    Died(&'static str),
    /// A part of the agent panicked.
    #[error("a part of the agent failed: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}
