//! The certificate of the API, from files that may change under us.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use stella_service::tls::{CertificateSlot, TlsError, server_config};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Why the API cannot be served with TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read '{path}': {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// They are no certificate and its key.
    #[error("'{path}': {source}")]
    Pair {
        /// The file of the certificate.
        path: PathBuf,
        /// What is wrong.
        source: TlsError,
    },
}

/// A certificate and its key, in PEM files.
#[derive(Debug, Clone)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    slot: Arc<CertificateSlot>,
    held: (String, String),
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When they are not there, or no pair.
    pub fn read(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let slot = CertificateSlot::new();
        let mut certificate = Self { chain: chain.to_owned(), key: key.to_owned(), slot, held: Default::default() };
        certificate.look()?;
        Ok(certificate)
    }

    /// What a server needs to serve it.
    ///
    /// # Errors
    /// When the crypto provider lacks what TLS needs.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        server_config(Arc::clone(&self.slot))
    }

    /// Reads the files again. `true` when another certificate is served from now on; on an error the old one stays.
    fn look(&mut self) -> Result<bool, CertificateError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
        };
        let found = (read(&self.chain)?, read(&self.key)?);
        if found == self.held {
            return Ok(false);
        }
        let set = self.slot.set(&found.0, &found.1);
        set.map_err(|source| CertificateError::Pair { path: self.chain.clone(), source })?;
        self.held = found;
        Ok(true)
    }

    /// Looks at the files every few seconds, until told to stop.
    ///
    /// # Errors
    /// None: the old certificate is served until the files are good.
    pub async fn watch(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            match self.look() {
                Ok(true) => tracing::info!(file = %self.chain.display(), "another certificate is served"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the certificate that was served before goes on"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stella_service::certificates::{Keyring, Lifetimes};
    use stella_service::clock::Clock;

    use super::*;

    #[test]
    fn another_pair_is_taken_and_half_of_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let make = || Keyring::make(&["localhost".to_owned()], &Lifetimes::default(), Clock::system().now()).unwrap();
        let (one, other) = (make(), make());
        assert!(matches!(Certificate::read(&chain, &key), Err(CertificateError::Read { .. })));
        std::fs::write(&chain, &one.serving.certificate).unwrap();
        std::fs::write(&key, &one.serving.key).unwrap();
        let mut certificate = Certificate::read(&chain, &key).unwrap();
        assert!(!certificate.look().unwrap());
        std::fs::write(&chain, &other.serving.certificate).unwrap();
        assert!(matches!(certificate.look(), Err(CertificateError::Pair { .. })), "its key is not there yet");
        std::fs::write(&key, &other.serving.key).unwrap();
        assert!(certificate.look().unwrap() && certificate.config().is_ok());
    }
}
