//! Making keys and certificates.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use stella_domain::Timestamp;
use time::OffsetDateTime;

use super::facts::CertificateFacts;
use super::{CertificateError, Lifetimes, Pair};

/// How far clocks of clients may lag: certificates are valid from that long before they are made.
pub(super) const SKEW_SECONDS: i64 = 3600;

/// A self-signed authority. Its name holds the instant it was made, so that two of them are told apart.
pub(super) fn authority(lifetimes: &Lifetimes, now: Timestamp) -> Result<Pair, CertificateError> {
    let failed = |source| CertificateError::Make { what: "authority", source };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(format!("stella authority {now}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = instant(now.plus_seconds(-SKEW_SECONDS));
    params.not_after = instant(now.plus_seconds(seconds(lifetimes.authority)));
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A serving certificate for `names`, signed by `authority`.
pub(super) fn serving(
    authority: &Pair,
    names: &[String],
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Pair, CertificateError> {
    let failed = |source| CertificateError::Make { what: "serving certificate", source };
    let signer = KeyPair::from_pem(&authority.key).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, signer).map_err(failed)?;
    let end =
        now.plus_seconds(seconds(lifetimes.serving)).min(CertificateFacts::read(&authority.certificate)?.not_after);
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = common_name("stella".to_owned());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = instant(now.plus_seconds(-SKEW_SECONDS));
    params.not_after = instant(end);
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn common_name(name: String) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Certificates count whole seconds. Every [`Timestamp`] lies within the years that `time` knows.
fn instant(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.as_millis().div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
