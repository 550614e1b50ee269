//! The certificate this process serves: from files someone else keeps, or from a Secret that the replicas keep together.

mod configurations;
mod files;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use stella_domain::Timestamp;
use stella_service::certificates::CertificateFacts;
use stella_service::clock::Clock;
use stella_service::health::Part;
use stella_service::supervise::chain;
use stella_service::tls::{CertificateSlot, TlsError};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

pub use configurations::Configurations;
pub use files::FilePair;
pub use secret::SharedSecret;

/// How often the source is looked at. Far below the overlap of a rotation, so that every replica serves a renewed
/// certificate long before the old one ends.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Why there is no certificate to serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cluster did not answer as needed.
    #[error("{object}: {source}")]
    Cluster {
        /// Kind and name of the object.
        object: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The cluster did not answer in time.
    #[error("{object}: no answer within {seconds} s")]
    Timeout {
        /// Kind and name of the object.
        object: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Other replicas changed the Secret each time.
    #[error("{0}: changed by others each time it was to be written")]
    Contended(String),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] stella_service::certificates::CertificateError),
    /// What was found cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A chain and its key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Served {
    /// The chain, leaf first.
    pub chain: String,
    /// The key.
    pub key: String,
}

/// Where the certificate comes from.
pub enum Source {
    /// Files that someone else renews.
    Files(FilePair),
    /// A Secret, and the configurations that have to trust it.
    Cluster(Box<SharedSecret>, Configurations),
}

/// Keeps a slot filled from a source.
pub struct CertificateTask {
    /// The source.
    pub source: Source,
    /// What is served.
    pub slot: Arc<CertificateSlot>,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// Ready while a certificate is served.
    pub ready: Part,
}

impl CertificateTask {
    /// Looks at the source again and again until `token` is cancelled. A failure is logged and leaves what is served.
    ///
    /// # Errors
    /// Never; the type is what a supervisor takes.
    pub async fn run(self, token: CancellationToken) -> Result<(), std::convert::Infallible> {
        let mut served = None;
        loop {
            if let Some(Err(error)) = token.run_until_cancelled(self.refresh(&mut served)).await {
                tracing::warn!(error = %chain(&error), "the certificate was not refreshed");
                if served.is_none() {
                    self.ready.not_ready(error.to_string());
                }
            }
            self.describe(served.as_ref());
            if token.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn refresh(&self, served: &mut Option<Served>) -> Result<(), SourceError> {
        match &self.source {
            Source::Files(files) => self.serve(files.read().await?, served),
            Source::Cluster(secret, configurations) => {
                let keyring = secret.current(self.clock.now()).await?;
                let pair = &keyring.serving;
                self.serve(Served { chain: pair.certificate.clone(), key: pair.key.clone() }, served)?;
                configurations.trust(&keyring.bundle()).await
            }
        }
    }

    fn serve(&self, found: Served, served: &mut Option<Served>) -> Result<(), SourceError> {
        if served.as_ref() != Some(&found) {
            self.slot.set(&found.chain, &found.key)?;
            tracing::info!("serving another certificate");
            *served = Some(found);
        }
        self.ready.ready();
        Ok(())
    }

    fn describe(&self, served: Option<&Served>) {
        let now: Timestamp = self.clock.now();
        if let Some(Ok(facts)) = served.map(|served| CertificateFacts::read(&served.chain)) {
            self.metrics.certificate_seconds_left.set(facts.not_after.seconds_since(now));
        }
    }
}
