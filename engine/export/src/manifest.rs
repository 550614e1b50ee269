//! The list of a run's artifacts, its signed digest, and the checksums for `sha256sum -c`.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;
use stella_attest::{CanonicalError, Envelope, SigningKey, canonical};
use stella_domain::Digest;

use crate::artifact::Artifact;
use crate::run_id::RunId;

/// File name of the manifest.
pub const MANIFEST_NAME: &str = "manifest.json";
/// File name of the envelope with the manifest's signed digest.
pub const SIGNATURE_NAME: &str = "manifest.dsse.json";
/// File name of the checksums.
pub const CHECKSUMS_NAME: &str = "SHA256SUMS";
/// Payload type of the signed digest: `{"name","sha256","size"}` of the manifest, canonical.
pub const DIGEST_PAYLOAD_TYPE: &str = "application/vnd.stellaops.export.manifest-digest.v1+json";

/// What a run wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    version: &'static str,
    run_id: RunId,
    artifacts: Vec<Artifact>,
}

impl Manifest {
    /// The manifest of `run_id`; the artifacts are sorted by name.
    #[must_use]
    pub fn new(run_id: RunId, mut artifacts: Vec<Artifact>) -> Self {
        artifacts.sort_by(|a, b| a.name.cmp(&b.name));
        Self { version: "1.0", run_id, artifacts }
    }

    /// The artifacts, sorted by name.
    #[must_use]
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// The bytes of `manifest.json`, canonical.
    ///
    /// # Errors
    /// When an artifact is larger than 2^53 - 1 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_vec(self)
    }

    /// Signs the digest of `manifest.json`.
    ///
    /// # Errors
    /// As [`Manifest::to_bytes`].
    pub fn sign(&self, key: &SigningKey) -> Result<Envelope, CanonicalError> {
        let bytes = self.to_bytes()?;
        let subject = json!({"name": MANIFEST_NAME, "sha256": Digest::of(&bytes).hex(), "size": bytes.len()});
        Ok(Envelope::sign(DIGEST_PAYLOAD_TYPE, &canonical::to_vec(&subject)?, key))
    }

    /// The text of `SHA256SUMS`: artifacts by name, then the manifest; `sha256sum -c` in the folder agrees with it.
    ///
    /// # Errors
    /// As [`Manifest::to_bytes`].
    pub fn checksums(&self) -> Result<String, CanonicalError> {
        let manifest = Digest::of(self.to_bytes()?);
        let mut text = String::new();
        let rows = self.artifacts.iter().map(|artifact| (artifact.sha256, artifact.name.as_str()));
        for (digest, name) in rows.chain([(manifest, MANIFEST_NAME)]) {
            let _ = writeln!(text, "{}  {name}", digest.hex());
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use stella_domain::{Tenant, Timestamp};

    use super::*;
    use crate::artifact::{Target, write_ndjson};

    fn manifest() -> Manifest {
        let artifact = |name: &str| write_ndjson(name.parse().unwrap(), Target::Vex, [1], std::io::sink()).unwrap();
        let run = RunId::new(Tenant::default(), Timestamp::from_millis(0), 1);
        Manifest::new(run, vec![artifact("b.ndjson"), artifact("a.ndjson")])
    }

    #[test]
    fn it_is_sorted_and_canonical() {
        let sum = Digest::of("1\n").hex();
        let entry =
            |name: &str| format!(r#"{{"format":"ndjson","name":"{name}","sha256":"{sum}","size":2,"type":"vex"}}"#);
        let expected = format!(
            r#"{{"artifacts":[{},{}],"runId":"export-run::tenant-default::1970-01-01::0001","version":"1.0"}}"#,
            entry("a.ndjson"),
            entry("b.ndjson")
        );
        assert_eq!(String::from_utf8(manifest().to_bytes().unwrap()).unwrap(), expected);
        let lines = manifest().checksums().unwrap();
        assert!(lines.starts_with(&format!("{sum}  a.ndjson\n{sum}  b.ndjson\n")));
        assert!(lines.ends_with("  manifest.json\n"));
    }

    #[test]
    fn the_signed_digest_is_that_of_the_file() {
        let key = SigningKey::from_seed("exports", &[1; 32]);
        let payload = manifest().sign(&key).unwrap().verify(DIGEST_PAYLOAD_TYPE, &[&key.verifying()]).unwrap();
        let subject: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(subject["sha256"], Digest::of(manifest().to_bytes().unwrap()).hex());
    }
}
