//! Whom keyless signatures are believed: a `trusted_root.json` (sigstore protobuf-specs, `dev.sigstore.trustroot.v1`).

use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::Value;
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
/// What the details of keys begin with that are an RSAPublicKey in place of a SubjectPublicKeyInfo.
const PKCS1: &str = "PKCS1_";
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

/// Authorities that certificates and time stamps come from, and logs that signatures and certificates stand in.
#[derive(Debug, Clone)]
pub struct TrustRoot {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) logs: Vec<Log>,
    /// Logs of certificates. Where there is none, nobody has to have promised to list a certificate.
    pub(crate) ct_logs: Vec<Log>,
    /// Who says when something was.
    pub(crate) timestamp_authorities: Vec<Authority>,
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
    /// What it goes by: the digest of its key, the key ID of its checkpoints.
    ids: Vec<Vec<u8>>,
    pub(crate) key: PublicKey,
    pub(crate) valid: Period,
}

impl Log {
    pub(crate) fn is(&self, id: &[u8]) -> bool {
        self.ids.iter().any(|own| own == id)
    }
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
    #[serde(default)]
    ctlogs: Vec<WireLog>,
    #[serde(default)]
    timestamp_authorities: Vec<WireAuthority>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLog {
    #[serde(default)]
    base_url: Option<String>,
    public_key: WireKey,
    log_id: WireId,
    #[serde(default)]
    checkpoint_key_id: Option<WireId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireKey {
    raw_bytes: String,
    #[serde(default)]
    key_details: Value,
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
    /// Reads a `trusted_root.json`: its `certificateAuthorities` and `tlogs`, which it has to have, and its `ctlogs` and
    /// `timestampAuthorities`.
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
        Ok(Self {
            authorities: all("certificateAuthorities", &wire.certificate_authorities, authority)?,
            logs: all("tlogs", &wire.tlogs, log)?,
            ct_logs: all("ctlogs", &wire.ctlogs, log)?,
            timestamp_authorities: all("timestampAuthorities", &wire.timestamp_authorities, authority)?,
            digest: Digest::of(bytes),
        })
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

/// Each of a list, where there are not too many.
fn all<T, U>(
    place: &str,
    wire: &[T],
    read: impl Fn(&str, &T) -> Result<U, TrustRootError>,
) -> Result<Vec<U>, TrustRootError> {
    if wire.len() > MOST {
        return Err(field(place, format!("{} entries, at most {MOST} are read", wire.len())));
    }
    wire.iter().enumerate().map(|(n, wire)| read(&format!("{place}[{n}]"), wire)).collect()
}

fn log(place: &str, wire: &WireLog) -> Result<Log, TrustRootError> {
    let key_place = format!("{place}.publicKey.rawBytes");
    let der =
        decoded(&wire.public_key.raw_bytes, LONGEST_CERTIFICATE).ok_or_else(|| field(&key_place, "it is no base64"))?;
    let is_pkcs1 = wire.public_key.key_details.as_str().is_some_and(|details| details.starts_with(PKCS1));
    let key = if is_pkcs1 { PublicKey::from_pkcs1(&der) } else { PublicKey::from_der(&der) };
    let key = key.map_err(|error: PublicKeyError| field(&key_place, error.to_string()))?;
    let id = |name: &str, wire: &WireId| {
        let id = decoded(&wire.key_id, 64).filter(|id| !id.is_empty());
        id.ok_or_else(|| field(format!("{place}.{name}.keyId"), "it is no base64 of at most 64 bytes"))
    };
    let mut ids = vec![id("logId", &wire.log_id)?];
    if let Some(wire) = &wire.checkpoint_key_id {
        ids.push(id("checkpointKeyId", wire)?);
    }
    ids.extend(key.ed25519().zip(wire.base_url.as_deref()).and_then(|(key, url)| checkpoint_key_id(url, key)));
    Ok(Log { ids, key, valid: wire.public_key.valid_for })
}

/// The log of this ID that was in use at each of `times`, among those that `field` of the trust root lists.
pub(crate) fn log_of<'a>(logs: &'a [Log], field: &str, id: &[u8], times: &[Timestamp]) -> Result<&'a Log, String> {
    let mut reason = format!("the log {} is none of the trust root's {field}", hex::encode(id));
    for log in logs.iter().filter(|log| log.is(id)) {
        match times.iter().find(|at| !log.valid.has(**at)) {
            None => return Ok(log),
            Some(at) => reason = format!("the log {} was not in use at {at}", hex::encode(id)),
        }
    }
    Err(reason)
}

/// The ID of an Ed25519 key whose checkpoints have the log's URL without its scheme as their origin (C2SP, `signed-note`, not cut to
/// four bytes), by which entries of Rekor 2 name their log.
fn checkpoint_key_id(url: &str, key: &[u8]) -> Option<Vec<u8>> {
    let origin = url.split_once("://")?.1.trim_end_matches('/');
    Some(Digest::of([origin.as_bytes(), b"\n\x01", key].concat()).as_bytes().to_vec())
}

/// The last certificate is the root, the others lead to it.
fn authority(place: &str, wire: &WireAuthority) -> Result<Authority, TrustRootError> {
    let place = format!("{place}.certChain.certificates");
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
    use serde_json::json;

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
        let other = says(&|root| {
            root["ctlogs"] = json!([root["tlogs"][0].clone(), {"publicKey": {"rawBytes": "AAAA"},
                                                                              "logId": {"keyId": "AAAA"}}]);
        });
        assert!(other.starts_with("ctlogs[1].publicKey.rawBytes: "), "{other}");
        let stamps = says(&|root| root["timestampAuthorities"] = json!([{"certChain": {"certificates": []}}]));
        assert!(stamps.starts_with("timestampAuthorities[0].certChain.certificates: 0 certificates"), "{stamps}");
        let many = says(&|root| root["tlogs"] = json!(vec![root["tlogs"][0].clone(); 65]));
        assert!(many.starts_with("tlogs: 65 entries"), "{many}");
        assert!(TrustRoot::parse(&vec![b' '; LONGEST + 1]).is_err());
    }

    #[test]
    fn a_log_goes_by_its_key_and_by_the_key_of_its_checkpoints() {
        // The log and the ID that its entries have are those of sigstore's staging instance.
        let wire = json!({
            "baseUrl": "https://log2025-alpha1.rekor.sigstage.dev",
            "publicKey": {"rawBytes": "MCowBQYDK2VwAyEAPn+AREHoBaZ7wgS1zBqpxmLSGnyhxXj4lFxSdWVB8o8=", "keyDetails": "PKIX_ED25519"},
            "logId": {"keyId": "RycrnT/11WQ15JtgBXeYVLlFYMtbAka7+JnxUQaOX5E="},
            "checkpointKeyId": {"keyId": "AQID"},
        });
        let log = log("tlogs[0]", &serde_json::from_value(wire).unwrap()).unwrap();
        let id = |text: &str| decoded(text, 64).unwrap();
        assert!(log.is(&id("RycrnT/11WQ15JtgBXeYVLlFYMtbAka7+JnxUQaOX5E=")));
        assert!(log.is(&id("8w1amZ2S5mJIQkQmPxdMuOrL/oJkvFg9MnQXmeOCXck=")));
        assert!(log.is(&[1, 2, 3]), "what the root says itself");
        assert!(!log.is(&[]) && !log.is(&[0; 32]));
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
