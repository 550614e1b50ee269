//! Entries of a transparency log (Rekor): that the log promised to keep it and when (version 1), that it is in the log's tree, and
//! that it is of this signature. Entries of version 2 have neither promise nor time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use stella_attest::canonical;
use stella_domain::{Digest, Timestamp};
use x509_parser::pem::parse_x509_pem;

use crate::claim::cut;
use crate::key::{PublicKey, decoded};
use crate::merkle;
use crate::trust_root::{LONGEST_CERTIFICATE, TrustRoot, log_of};

/// Bytes of an entry's body: of a signature, a certificate and digests.
pub(crate) const LONGEST_BODY: usize = 256 << 10;
/// Bytes of a checkpoint.
const LONGEST_CHECKPOINT: usize = 16 << 10;
/// Signatures under a checkpoint.
const MOST_SIGNATURES: usize = 16;

/// An entry as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The body as the log holds it.
    pub(crate) body: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) integrated: i64,
    pub(crate) index: i64,
    pub(crate) log: Vec<u8>,
    /// The signed entry timestamp; empty where there is none.
    pub(crate) promise: Vec<u8>,
    pub(crate) proof: Option<Proof>,
}

/// That an entry is in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) root: [u8; 32],
    pub(crate) hashes: Vec<[u8; 32]>,
    pub(crate) checkpoint: String,
}

/// What an entry has to be of.
pub(crate) struct Logged<'a> {
    /// The certificate, DER.
    pub(crate) certificate: &'a [u8],
    /// The signature.
    pub(crate) signature: &'a [u8],
    /// Digest of what is signed.
    pub(crate) message: Digest,
    /// Digest of the payload of an envelope.
    pub(crate) payload: Option<Digest>,
}

impl Entry {
    /// When the log took the entry in, by its own word, which is still to be verified.
    pub(crate) fn promised_at(&self) -> Option<Timestamp> {
        (!self.promise.is_empty()).then(|| Timestamp::from_millis(self.integrated.saturating_mul(1000)))
    }

    /// That a log of `root`, in use at each of `times`, has what `logged` says: it signed the time of the entry, where there is
    /// one, and a checkpoint that the proof leads to. One of the two there has to be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn verify(&self, root: &TrustRoot, logged: &Logged<'_>, times: &[Timestamp]) -> Result<(), String> {
        let log = log_of(&root.logs, "tlogs", &self.log, times)?;
        let promised = self.promised_at().is_some();
        if promised && !log.key.verifies(&self.promised()?, &self.promise) {
            return Err("its signed entry timestamp is not by the key of the log".to_owned());
        }
        match &self.proof {
            Some(proof) => proof.verify(&self.body, &log.key)?,
            None if promised => {}
            None => return Err("it has neither a signed entry timestamp nor a proof of inclusion".to_owned()),
        }
        self.is_of(logged)
    }

    /// What the log signs when it promises to keep an entry.
    fn promised(&self) -> Result<Vec<u8>, String> {
        let body = STANDARD.encode(&self.body);
        let promised = json!({"body": body, "integratedTime": self.integrated, "logID": hex::encode(&self.log), "logIndex": self.index});
        canonical::to_vec(&promised).map_err(|error| format!("it has no canonical form: {error}"))
    }

    fn is_of(&self, logged: &Logged<'_>) -> Result<(), String> {
        let body: Body =
            serde_json::from_slice(&self.body).map_err(|error| format!("its body cannot be read: {error}"))?;
        let spec = &body.spec;
        // One of the kind `dsse` is of the payload, one of the kind `hashedrekord` of what is signed, which has the payload in it.
        let (said, digest) = match (body.kind.as_str(), body.api_version.as_str(), logged.payload) {
            ("hashedrekord", "0.0.1", _) => {
                let signature = &spec["signature"];
                (
                    Said::first(&spec["data"]["hash"], &signature["content"], &signature["publicKey"]["content"])?,
                    logged.message,
                )
            }
            ("dsse", "0.0.1", Some(payload)) => {
                let only = only(&spec["signatures"])?;
                (Said::first(&spec["payloadHash"], &only["signature"], &only["verifier"])?, payload)
            }
            ("hashedrekord", "0.0.2", _) => {
                let spec = &spec["hashedRekordV002"];
                (Said::second(&spec["data"], &spec["signature"])?, logged.message)
            }
            ("dsse", "0.0.2", Some(payload)) => {
                let spec = &spec["dsseV002"];
                (Said::second(&spec["payloadHash"], only(&spec["signatures"])?)?, payload)
            }
            (kind, version, _) => {
                let kind = cut(&format!("{kind} {version}"));
                return Err(format!(
                    "it is of the kind {kind}; hashedrekord and, of envelopes, dsse are read, 0.0.1 and 0.0.2 of each"
                ));
            }
        };
        if said.digest.as_deref() != Some(&digest.as_bytes()[..]) {
            return Err("it is of another payload".to_owned());
        }
        if said.signature.as_deref() != Some(logged.signature) {
            return Err("it is of another signature".to_owned());
        }
        if said.certificate != logged.certificate {
            return Err("it is of another certificate".to_owned());
        }
        Ok(())
    }
}

/// What an entry says it is of. A digest that is none of SHA-256 is left out, and so is what is no base64.
struct Said {
    digest: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    /// DER.
    certificate: Vec<u8>,
}

impl Said {
    /// By the fields of version 0.0.1.
    fn first(hash: &Value, signature: &Value, certificate: &Value) -> Result<Self, String> {
        let digest = hash["value"].as_str().filter(|_| hash["algorithm"] == "sha256");
        let pem = bytes(certificate).ok_or("its certificate is no base64")?;
        let (_, block) = parse_x509_pem(&pem).map_err(|_| "its certificate is no PEM")?;
        if block.label != "CERTIFICATE" {
            return Err("its certificate is no PEM of a certificate".to_owned());
        }
        let digest = digest.and_then(|hex| hex::decode(hex).ok());
        Ok(Self { digest, signature: bytes(signature), certificate: block.contents })
    }

    /// By the fields of version 0.0.2 (`dev.sigstore.rekor.v2`).
    fn second(hash: &Value, signature: &Value) -> Result<Self, String> {
        let digest = bytes(&hash["digest"]).filter(|_| hash["algorithm"] == "SHA2_256");
        let certificate = bytes(&signature["verifier"]["x509Certificate"]["rawBytes"]);
        let certificate = certificate.ok_or("it has no certificate in base64")?;
        Ok(Self { digest, signature: bytes(&signature["content"]), certificate })
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    decoded(value.as_str()?, LONGEST_CERTIFICATE)
}

/// The one signature that an entry of an envelope may have.
fn only(signatures: &Value) -> Result<&Value, String> {
    match signatures.as_array().map(Vec::as_slice).unwrap_or_default() {
        [only] => Ok(only),
        signatures => Err(format!("it is of {} signatures", signatures.len())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    kind: String,
    api_version: String,
    spec: Value,
}

impl Proof {
    fn verify(&self, body: &[u8], key: &PublicKey) -> Result<(), String> {
        let root = merkle::root(merkle::leaf(body), self.index, self.size, &self.hashes);
        if root != Some(self.root) {
            return Err("its proof of inclusion does not lead to the root that it names".to_owned());
        }
        let (size, root) = checkpoint(&self.checkpoint, key)?;
        if (size, root) != (self.size, self.root) {
            return Err("its proof of inclusion is of another tree than its checkpoint".to_owned());
        }
        Ok(())
    }
}

/// Size and root of the tree that a checkpoint is of, where `key` signed it (C2SP, `tlog-checkpoint` and `signed-note`).
fn checkpoint(text: &str, key: &PublicKey) -> Result<(u64, [u8; 32]), String> {
    if text.len() > LONGEST_CHECKPOINT {
        return Err(format!("its checkpoint is longer than {LONGEST_CHECKPOINT} bytes"));
    }
    let (note, signatures) = text.split_once("\n\n").ok_or("its checkpoint has no signatures")?;
    let note = format!("{note}\n");
    let signed = signatures.lines().take(MOST_SIGNATURES).any(|line| {
        let last = line.strip_prefix("\u{2014} ").and_then(|rest| rest.rsplit_once(' '));
        let bytes = last.and_then(|(_, encoded)| decoded(encoded, 4096));
        // The first four bytes are a hint which key it is.
        bytes
            .and_then(|bytes| bytes.get(4..).map(|signature| key.verifies(note.as_bytes(), signature)))
            .unwrap_or(false)
    });
    if !signed {
        return Err("its checkpoint is not signed by the key of the log".to_owned());
    }
    let mut lines = note.lines().skip(1);
    let size = lines.next().and_then(|line| line.parse().ok());
    let root = lines.next().and_then(|line| decoded(line, 32)).and_then(|bytes| bytes.try_into().ok());
    size.zip(root).ok_or_else(|| "its checkpoint names no size and root".to_owned())
}
