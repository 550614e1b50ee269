//! Entries of a transparency log (Rekor, version 1): that the log promised to keep it and when, that it is in the log's tree, and
//! that it is of this signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use stella_attest::canonical;
use stella_domain::{Digest, Timestamp};
use x509_parser::pem::parse_x509_pem;

use crate::key::{PublicKey, decoded};
use crate::merkle;
use crate::trust_root::{LONGEST_CERTIFICATE, TrustRoot};

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
    /// The signed entry timestamp.
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
    /// Digest of the payload.
    pub(crate) payload: Digest,
    /// Whether the payload is in an envelope.
    pub(crate) in_envelope: bool,
}

impl Entry {
    /// When the log took in what `logged` says, by a log of `root`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn verify(&self, root: &TrustRoot, logged: &Logged<'_>) -> Result<Timestamp, String> {
        let at = Timestamp::from_millis(self.integrated.saturating_mul(1000));
        let known = root.logs.iter().filter(|log| log.is(&self.log));
        let log = known.clone().find(|log| log.valid.has(at)).ok_or_else(|| match known.count() {
            0 => format!("the log {} is none of the trust root", hex::encode(&self.log)),
            _ => format!("the log {} was not in use at {at}", hex::encode(&self.log)),
        })?;
        if !log.key.verifies(&self.promised()?, &self.promise) {
            return Err("its signed entry timestamp is not by the key of the log".to_owned());
        }
        if let Some(proof) = &self.proof {
            proof.verify(&self.body, &log.key)?;
        }
        self.is_of(logged)?;
        Ok(at)
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
        let (hash, signature, certificate) = match (body.kind.as_str(), body.api_version.as_str()) {
            ("hashedrekord", "0.0.1") if !logged.in_envelope => {
                let key = &spec["signature"]["publicKey"]["content"];
                (&spec["data"]["hash"], &spec["signature"]["content"], key)
            }
            ("dsse", "0.0.1") if logged.in_envelope => {
                let signatures = spec["signatures"].as_array().map(Vec::as_slice).unwrap_or_default();
                let [only] = signatures else { return Err(format!("it is of {} signatures", signatures.len())) };
                (&spec["payloadHash"], &only["signature"], &only["verifier"])
            }
            (kind, version) => {
                let kind: String = format!("{kind} {version}").chars().take(100).collect();
                return Err(format!(
                    "it is of the kind {kind}; hashedrekord 0.0.1 and dsse 0.0.1 are read, each of its own"
                ));
            }
        };
        if hash["algorithm"] != "sha256" || hash["value"] != Value::String(logged.payload.hex()) {
            return Err("it is of another payload".to_owned());
        }
        let bytes = |value: &Value| decoded(value.as_str()?, LONGEST_CERTIFICATE);
        if bytes(signature).as_deref() != Some(logged.signature) {
            return Err("it is of another signature".to_owned());
        }
        let pem = bytes(certificate).ok_or("its certificate is no base64")?;
        let (_, block) = parse_x509_pem(&pem).map_err(|_| "its certificate is no PEM")?;
        if block.label != "CERTIFICATE" || block.contents != logged.certificate {
            return Err("it is of another certificate".to_owned());
        }
        Ok(())
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
