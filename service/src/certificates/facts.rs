//! What a stored certificate says of itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use stella_domain::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::X509Certificate;

use super::CertificateError;

/// The facts of one certificate that decisions rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Distinguished name of the holder, DER.
    pub subject: Vec<u8>,
    /// Distinguished name of the signer, DER.
    pub issuer: Vec<u8>,
    /// First instant of validity.
    pub not_before: Timestamp,
    /// Last instant of validity.
    pub not_after: Timestamp,
    /// DNS names and IP addresses it holds for.
    pub names: BTreeSet<String>,
}

impl CertificateFacts {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// No PEM, or no X.509 certificate in it.
    pub fn read(pem: &str) -> Result<Self, CertificateError> {
        let unreadable = |reason: String| CertificateError::Read { what: "certificate", reason };
        let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
        let certificate = block.parse_x509().map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            not_before: at(certificate.validity().not_before.timestamp()),
            not_after: at(certificate.validity().not_after.timestamp()),
            names: names(&certificate),
        })
    }

    /// Whether no more than a third of the validity is left at `now`.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> bool {
        self.not_after.seconds_since(now) * 3 <= self.not_after.seconds_since(self.not_before)
    }

    /// Whether it has ended at `now`.
    #[must_use]
    pub fn ended(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

fn names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
