//! Artifacts: rows streamed into canonical JSON, counted and hashed on the way.

use std::io::{self, Write};

use serde::{Deserialize, Serialize, Serializer};
use stella_attest::{CanonicalError, canonical};
use stella_domain::{Digest, Hasher};

use crate::name::ArtifactName;

/// What an export can contain (export-center.md, "targets").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// VEX statements.
    Vex,
    /// Merged advisories.
    Advisory,
    /// Policy revisions.
    Policy,
    /// Findings.
    Findings,
    /// Inventories.
    Sbom,
    /// Signed reports.
    Reports,
    /// Runtime events.
    Runtime,
    /// The Trivy database.
    TrivyDb,
}

/// How an artifact is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactFormat {
    /// One array in canonical form.
    Json,
    /// A row in canonical form and a line feed, again and again.
    Ndjson,
}

/// What is known of a finished artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// File name.
    pub name: ArtifactName,
    /// What it contains.
    #[serde(rename = "type")]
    pub target: Target,
    /// How it is written.
    pub format: ArtifactFormat,
    /// SHA-256 of its bytes; bare hex on the wire.
    #[serde(serialize_with = "bare_hex")]
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

fn bare_hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&digest.hex())
}

/// Why an artifact cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A row has no canonical form.
    #[error("artifact '{name}', row {row}: {error}")]
    Row {
        /// The artifact.
        name: ArtifactName,
        /// Position of the row, from 0.
        row: u64,
        /// What is wrong.
        error: CanonicalError,
    },
    /// The place it is written to failed.
    #[error("artifact '{name}' cannot be written: {error}")]
    Io {
        /// The artifact.
        name: ArtifactName,
        /// What happened.
        error: io::Error,
    },
}

/// Writes one artifact, holding one row at a time.
pub struct ArtifactWriter<W> {
    name: ArtifactName,
    target: Target,
    format: ArtifactFormat,
    out: W,
    hasher: Hasher,
    size: u64,
    rows: u64,
}

impl<W: Write> ArtifactWriter<W> {
    /// Begins an artifact. `out` should buffer: every row is one write.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn new(name: ArtifactName, target: Target, format: ArtifactFormat, out: W) -> Result<Self, ArtifactError> {
        let mut writer = Self { name, target, format, out, hasher: Hasher::new(), size: 0, rows: 0 };
        if format == ArtifactFormat::Json {
            writer.write(b"[")?;
        }
        Ok(writer)
    }

    /// Writes the next row.
    ///
    /// # Errors
    /// When the row has no canonical form or `out` fails; the artifact is then worthless.
    pub fn row<T: Serialize + ?Sized>(&mut self, row: &T) -> Result<(), ArtifactError> {
        let canonical = canonical::to_vec(row);
        let mut bytes =
            canonical.map_err(|error| ArtifactError::Row { name: self.name.clone(), row: self.rows, error })?;
        match self.format {
            ArtifactFormat::Ndjson => bytes.push(b'\n'),
            ArtifactFormat::Json if self.rows > 0 => bytes.insert(0, b','),
            ArtifactFormat::Json => {}
        }
        self.rows += 1;
        self.write(&bytes)
    }

    /// How many rows were written.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends the artifact and hands back `out`, flushed.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> Result<(Artifact, W), ArtifactError> {
        if self.format == ArtifactFormat::Json {
            self.write(b"]")?;
        }
        if let Err(error) = self.out.flush() {
            return Err(ArtifactError::Io { name: self.name, error });
        }
        let Self { name, target, format, out, hasher, size, .. } = self;
        Ok((Artifact { name, target, format, sha256: hasher.finish(), size }, out))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.out.write_all(bytes).map_err(|error| ArtifactError::Io { name: self.name.clone(), error })?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}

/// Writes `rows`, which are sorted, as canonical JSON, one a line.
///
/// # Errors
/// As [`ArtifactWriter::row`].
pub fn write_ndjson<T: Serialize>(
    name: ArtifactName,
    target: Target,
    rows: impl IntoIterator<Item = T>,
    out: impl Write,
) -> Result<Artifact, ArtifactError> {
    write(ArtifactWriter::new(name, target, ArtifactFormat::Ndjson, out)?, rows)
}

/// Writes `rows`, which are sorted, as one canonical JSON array.
///
/// # Errors
/// As [`ArtifactWriter::row`].
pub fn write_json<T: Serialize>(
    name: ArtifactName,
    target: Target,
    rows: impl IntoIterator<Item = T>,
    out: impl Write,
) -> Result<Artifact, ArtifactError> {
    write(ArtifactWriter::new(name, target, ArtifactFormat::Json, out)?, rows)
}

fn write<T: Serialize>(
    mut writer: ArtifactWriter<impl Write>,
    rows: impl IntoIterator<Item = T>,
) -> Result<Artifact, ArtifactError> {
    for row in rows {
        writer.row(&row)?;
    }
    writer.finish().map(|(artifact, _)| artifact)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name() -> ArtifactName {
        "findings.ndjson".parse().unwrap()
    }

    #[test]
    fn lines_are_canonical_and_counted() {
        let mut bytes = Vec::new();
        let rows = [json!({"b": 1.0, "a": "x"}), json!({"a": null})];
        let artifact = write_ndjson(name(), Target::Findings, rows, &mut bytes).unwrap();
        assert_eq!(bytes, b"{\"a\":\"x\",\"b\":1}\n{\"a\":null}\n");
        assert_eq!((artifact.sha256, artifact.size), (Digest::of(&bytes), bytes.len() as u64));
        let shown = serde_json::to_value(&artifact).unwrap();
        assert_eq!((&shown["type"], &shown["format"]), (&json!("findings"), &json!("ndjson")));
        assert_eq!(shown["sha256"], Digest::of(&bytes).hex());
    }

    #[test]
    fn a_streamed_array_is_the_canonical_array() {
        for rows in [vec![], vec![json!(1)], vec![json!({"b": 2, "a": 1}), json!([]), json!("x")]] {
            let mut bytes = Vec::new();
            write_json(name(), Target::Vex, &rows, &mut bytes).unwrap();
            assert_eq!(bytes, canonical::to_vec(&rows).unwrap());
        }
    }

    #[test]
    fn a_row_without_canonical_form_is_named() {
        let error = write_ndjson(name(), Target::Vex, [json!(1), json!(u64::MAX)], io::sink()).unwrap_err();
        assert!(error.to_string().starts_with("artifact 'findings.ndjson', row 1: "), "{error}");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut room = [0_u8; 4];
        let error = write_ndjson(name(), Target::Vex, [json!("long enough")], &mut room[..]).unwrap_err();
        assert!(matches!(error, ArtifactError::Io { .. }));
    }
}
