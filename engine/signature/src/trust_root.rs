//! Whom keyless signatures are believed: a `trusted_root.json` (sigstore protobuf-specs, `dev.sigstore.trustroot.v1`).

use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use stella_domain::{Digest, Timestamp};

use crate::claim::cut;
use crate::key::{PublicKey, PublicKeyError, decoded};

/// Bytes of the file; that of the public instance has some 7,000.
const LONGEST: usize = 1 << 20;
/// Authorities or logs in it.
const MOST: usize = 64;
/// Bytes of a certificate.
pub(crate) const LONGEST_CERTIFICATE: usize = 32 << 10;
/// Certificates of an authority.
const LONGEST_CHAIN: usize = 8;
/// What its kind begins with.
const KIND: &str = "application/vnd.dev.sigstore.trustedroot";

/// Why a file is no trust root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustRootError {
    /// It is longer than any.
    #[error("a trust root has at most {LONGEST} bytes, this has {0}")]
    TooLong(usize),
    /// It is no JSON, or has fields of other types.
    #[error("it is no trusted_root.json: {0}")]
    Json(String),
    /// It is something else.
    #[error("mediaType is '{0}', expected {KIND}...")]
    Kind(String),
    /// A field cannot be used.
    #[error("{place}: {reason}")]
    Field {
        /// Which.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// There is nobody in it who could be believed.
    #[error("{0} is empty: there is nobody to believe")]
    Empty(&'static str),
}

/// Authorities that certificates come from, and logs that signatures stand in.
#[derive(Debug, Clone)]
pub struct TrustRoot {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) logs: Vec<Log>,
    digest: Digest,
}

/// One chain of an authority.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    pub(crate) root: CertificateDer<'static>,
    pub(crate) intermediates: Vec<CertificateDer<'static>>,
    pub(crate) valid: Period,
}

/// A transparency log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) id: Vec<u8>,
    pub(crate) key: PublicKey,
    pub(crate) valid: Period,
}

/// When something was in use. What has no end still is.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Period {
    #[serde(default)]
    start: Option<Timestamp>,
    #[serde(default)]
    end: Option<Timestamp>,
}

impl Period {
    pub(crate) fn has(&self, at: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRoot {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<WireLog>,
    #[serde(default)]
    certificate_authorities: Vec<WireAuthority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLog {
    public_key: WireKey,
    log_id: WireId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireKey {
    raw_bytes: String,
    #[serde(default)]
    valid_for: Period,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireId {
    pub(crate) key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAuthority {
    cert_chain: WireChain,
    #[serde(default)]
    valid_for: Period,
}

#[derive(Deserialize)]
struct WireChain {
    #[serde(default)]
    certificates: Vec<WireCertificate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireCertificate {
    pub(crate) raw_bytes: String,
}

impl TrustRoot {
    /// Reads a `trusted_root.json`: its `certificateAuthorities` and `tlogs`. Logs of certificates and authorities of time stamps are
    /// not used.
    ///
    /// # Errors
    /// [`TrustRootError`] naming the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustRootError> {
        if bytes.len() > LONGEST {
            return Err(TrustRootError::TooLong(bytes.len()));
        }
        let wire: WireRoot = serde_json::from_slice(bytes).map_err(|error| TrustRootError::Json(error.to_string()))?;
        if !wire.media_type.starts_with(KIND) {
            return Err(TrustRootError::Kind(cut(&wire.media_type)));
        }
        if wire.tlogs.is_empty() {
            return Err(TrustRootError::Empty("tlogs"));
        }
        if wire.certificate_authorities.is_empty() {
            return Err(TrustRootError::Empty("certificateAuthorities"));
        }
        for (place, count) in
            [("tlogs", wire.tlogs.len()), ("certificateAuthorities", wire.certificate_authorities.len())]
        {
            if count > MOST {
                return Err(field(place, format!("{count} entries, at most {MOST} are read")));
            }
        }
        let logs = wire.tlogs.iter().enumerate().map(|(n, wire)| log(n, wire)).collect::<Result<_, _>>()?;
        let authorities = wire.certificate_authorities.iter().enumerate();
        let authorities = authorities.map(|(n, wire)| authority(n, wire)).collect::<Result<_, _>>()?;
        Ok(Self { authorities, logs, digest: Digest::of(bytes) })
    }

    /// Digest of the file: what names it.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

fn field(place: impl Into<String>, reason: impl Into<String>) -> TrustRootError {
    TrustRootError::Field { place: place.into(), reason: reason.into() }
}

fn log(n: usize, wire: &WireLog) -> Result<Log, TrustRootError> {
    let place = format!("tlogs[{n}].publicKey.rawBytes");
    let der =
        decoded(&wire.public_key.raw_bytes, LONGEST_CERTIFICATE).ok_or_else(|| field(&place, "it is no base64"))?;
    let key = PublicKey::from_der(&der).map_err(|error: PublicKeyError| field(&place, error.to_string()))?;
    let id = decoded(&wire.log_id.key_id, 64).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| field(format!("tlogs[{n}].logId.keyId"), "it is no base64 of at most 64 bytes"))?;
    Ok(Log { id, key, valid: wire.public_key.valid_for })
}

/// The last certificate is the root, the others lead to it.
fn authority(n: usize, wire: &WireAuthority) -> Result<Authority, TrustRootError> {
    let place = format!("certificateAuthorities[{n}].certChain.certificates");
    let chain = &wire.cert_chain.certificates;
    if chain.is_empty() || chain.len() > LONGEST_CHAIN {
        return Err(field(place, format!("{} certificates; 1 to {LONGEST_CHAIN} are needed", chain.len())));
    }
    let mut certificates = Vec::new();
    for certificate in chain {
        let der =
            decoded(&certificate.raw_bytes, LONGEST_CERTIFICATE).ok_or_else(|| field(&place, "it is no base64"))?;
        certificates.push(CertificateDer::from(der));
    }
    let Some(root) = certificates.pop() else { return Err(field(place, "there is none")) };
    webpki::anchor_from_trusted_cert(&root).map_err(|error| field(place, format!("its root: {error}")))?;
    Ok(Authority { root, intermediates: certificates, valid: wire.valid_for })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::made::World;

    #[test]
    fn what_cannot_be_used_names_its_field() {
        let good: Value = serde_json::from_slice(&World::new().trust_root()).unwrap();
        assert!(TrustRoot::parse(good.to_string().as_bytes()).is_ok());
        let says = |change: &dyn Fn(&mut Value)| {
            let mut changed = good.clone();
            change(&mut changed);
            TrustRoot::parse(changed.to_string().as_bytes()).unwrap_err().to_string()
        };
        assert!(says(&|root| root["mediaType"] = json!("text/plain")).starts_with("mediaType is 'text/plain'"));
        assert!(says(&|root| root["tlogs"] = json!([])).starts_with("tlogs is empty"));
        assert!(
            says(&|root| root["certificateAuthorities"] = json!([])).starts_with("certificateAuthorities is empty")
        );
        let key = says(&|root| root["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA"));
        assert!(key.starts_with("tlogs[0].publicKey.rawBytes: "), "{key}");
        let chain = says(&|root| root["certificateAuthorities"][0]["certChain"]["certificates"] = json!([]));
        assert!(chain.starts_with("certificateAuthorities[0].certChain.certificates: 0 certificates"), "{chain}");
        let many = says(&|root| root["tlogs"] = json!(vec![root["tlogs"][0].clone(); 65]));
        assert!(many.starts_with("tlogs: 65 entries"), "{many}");
        assert!(TrustRoot::parse(&vec![b' '; LONGEST + 1]).is_err());
    }

    #[test]
    fn a_period_without_an_end_goes_on() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let period: Period = serde_json::from_str(r#"{"start": "1970-01-01T00:00:10Z"}"#).unwrap();
        assert!(!period.has(at(9)) && period.has(at(10)) && period.has(at(1_000_000)));
        let period = Period { end: Some(at(20)), ..period };
        assert!(period.has(at(20)) && !period.has(at(21)));
    }
}
