//! Serving TLS with a certificate that can be swapped while connections stand.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The chain is not PEM.
    #[error("the certificate chain is not PEM: {0}")]
    Chain(rustls::pki_types::pem::Error),
    /// The chain holds no certificate.
    #[error("the certificate chain holds no certificate")]
    EmptyChain,
    /// The key is not PEM.
    #[error("the private key is not PEM: {0}")]
    Key(rustls::pki_types::pem::Error),
    /// Certificate and key do not go together, or the key's kind is not supported.
    #[error("the certificate and its key cannot be used: {0}")]
    Pair(rustls::Error),
    /// The crypto provider lacks what TLS 1.2 and 1.3 need.
    #[error("tls versions: {0}")]
    Versions(rustls::Error),
}

/// Holds the certificate that new connections are served with. Empty at first: handshakes are refused until [`set`].
///
/// [`set`]: CertificateSlot::set
#[derive(Debug, Default)]
pub struct CertificateSlot(RwLock<Option<Arc<CertifiedKey>>>);

impl CertificateSlot {
    /// An empty slot.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Serves this chain (leaf first) and key from the next handshake on. On an error the old one stays.
    ///
    /// # Errors
    /// Not PEM, or a key that is not the leaf's.
    pub fn set(&self, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        let certified = certified_key(chain_pem, key_pem)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// Whether there is a certificate to serve.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// A server configuration (TLS 1.2 and 1.3, HTTP/1.1 by ALPN, no client certificates) that serves what `slot` holds.
///
/// # Errors
/// A crypto provider without the needed suites.
pub fn server_config(slot: Arc<CertificateSlot>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .with_no_client_auth()
        .with_cert_resolver(slot);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certified_key(chain_pem: &str, key_pem: &str) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>().map_err(TlsError::Chain)?;
    if chain.is_empty() {
        return Err(TlsError::EmptyChain);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(TlsError::Key)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(TlsError::Pair)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::{Keyring, Lifetimes};
    use stella_domain::Timestamp;

    fn keyring() -> Keyring {
        Keyring::make(&["localhost".to_owned()], &Lifetimes::default(), Timestamp::from_millis(1_800_000_000_000))
            .unwrap()
    }

    #[test]
    fn a_wrong_pair_leaves_the_old_one_in_place() {
        let slot = CertificateSlot::new();
        assert!(!slot.is_set());
        let (one, other) = (keyring(), keyring());
        slot.set(&one.serving.certificate, &one.serving.key).unwrap();
        let before = slot.current().unwrap();
        assert!(matches!(slot.set(&one.serving.certificate, &other.serving.key), Err(TlsError::Pair(_))));
        assert!(matches!(slot.set("", &one.serving.key), Err(TlsError::EmptyChain)));
        assert!(matches!(slot.set(&one.serving.certificate, "no key"), Err(TlsError::Key(_))));
        assert!(Arc::ptr_eq(&before, &slot.current().unwrap()));
    }
}
