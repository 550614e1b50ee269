//! Certificates of identities, as Fulcio issues them.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use stella_domain::Timestamp;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::asn1::{self, Item};
use crate::key::PublicKey;
use crate::trust_root::{Authority, TrustRoot};

/// What certificates may be signed with.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
    webpki::ring::ED25519,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
];
/// The extended key usage "code signing", 1.3.6.1.5.5.7.3.3.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// The issuer of the identity (Fulcio, "OID information"): a UTF8String, and in older certificates the bare text.
const ISSUER: &str = "1.3.6.1.4.1.57264.1.8";
const OLD_ISSUER: &str = "1.3.6.1.4.1.57264.1.1";
/// Bytes of an issuer or a subject.
const LONGEST_NAME: usize = 4096;

/// Who a certificate is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// An address or a URI.
    pub(crate) subject: String,
    /// Who vouches for it.
    pub(crate) issuer: String,
    pub(crate) key: PublicKey,
}

/// Who the certificate is of, without any look at who issued it.
pub(crate) fn identity(der: &[u8]) -> Result<Identity, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate")?;
    if !rest.is_empty() {
        return Err("there are bytes behind it".to_owned());
    }
    let usage = certificate.extended_key_usage().map_err(|error| format!("its extended key usage: {error}"))?;
    if !usage.is_some_and(|usage| usage.value.code_signing) {
        return Err("it is not for code signing".to_owned());
    }
    let names = certificate.subject_alternative_name().map_err(|error| format!("its subject: {error}"))?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let subject = match names {
        [GeneralName::RFC822Name(name) | GeneralName::URI(name)] => (*name).to_owned(),
        [_] => return Err("its subject is neither an e-mail address nor a URI".to_owned()),
        _ => return Err(format!("it has {} subjects in place of one", names.len())),
    };
    let issuer = issuer(&certificate)?;
    if subject.is_empty() || subject.len() > LONGEST_NAME {
        return Err("its subject is empty or too long".to_owned());
    }
    let key = PublicKey::of(certificate.public_key()).map_err(|error| format!("its key: {error}"))?;
    Ok(Identity { subject, issuer, key })
}

fn issuer(certificate: &X509Certificate<'_>) -> Result<String, String> {
    let values = |oid: &str| -> Vec<&[u8]> {
        let extensions = certificate.extensions().iter().filter(|extension| extension.oid.to_id_string() == oid);
        extensions.map(|extension| extension.value).collect()
    };
    let bytes = match (&values(ISSUER)[..], &values(OLD_ISSUER)[..]) {
        ([value], _) => {
            let text = Item::only(value).ok().filter(|item| item.has_tag(asn1::UTF8_STRING));
            text.ok_or("its issuer is no UTF8String")?.content
        }
        ([], [value]) => *value,
        ([], []) => return Err("it names no issuer of the identity".to_owned()),
        _ => return Err("it names several issuers of the identity".to_owned()),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| "its issuer is no UTF-8")?;
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err("its issuer is empty or too long".to_owned());
    }
    Ok(text.to_owned())
}

/// That an authority of `root` issued the certificate, and that it held at `at`. The key of who issued it, as a
/// SubjectPublicKeyInfo.
pub(crate) fn verify(der: &[u8], root: &TrustRoot, at: Timestamp) -> Result<Vec<u8>, String> {
    issued(der, &root.authorities, KeyUsage::required_if_present(CODE_SIGNING), at)
}

/// That one of `authorities` issued the certificate for this use, and that it held at `at`. The key of who issued it.
pub(crate) fn issued(der: &[u8], authorities: &[Authority], usage: KeyUsage, at: Timestamp) -> Result<Vec<u8>, String> {
    let certificate = CertificateDer::from(der);
    let leaf = EndEntityCert::try_from(&certificate).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(at.as_millis() / 1000).map_err(|_| "its time is before 1970")?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let mut reason = format!("no authority of the trust root was in use at {at}");
    for authority in authorities.iter().filter(|authority| authority.valid.has(at)) {
        let anchors = [webpki::anchor_from_trusted_cert(&authority.root).map_err(|error| error.to_string())?];
        let path = leaf.verify_for_usage(ALGORITHMS, &anchors, &authority.intermediates, time, usage, None, None);
        match path.map(|path| path.issuer_spki().to_vec()) {
            Ok(issuer) => return Ok(issuer),
            Err(error) => reason = format!("at {at}, by the trust root: {error}"),
        }
    }
    Err(reason)
}
