//! Manifests, indexes and configurations (OCI image specification; Docker image manifest version 2, schema 2).

use std::collections::BTreeMap;

use serde::Deserialize;
use stella_domain::Digest;

/// The system an image is made for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// Operating system, such as `linux`.
    pub os: String,
    /// Processor, in Go's spelling, such as `amd64`.
    pub architecture: String,
    /// Variant of the processor, such as `v7`.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on the processor this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    fn accepts(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && self.variant.as_ref().is_none_or(|variant| other.variant.as_ref() == Some(variant))
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl std::str::FromStr for Platform {
    type Err = ManifestError;

    /// Reads `os/architecture` or `os/architecture/variant`.
    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let mut parts = text.split('/');
        let wrong = || ManifestError::Platform { text: text.chars().take(100).collect() };
        let mut part = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let (os, architecture, variant) = (part().ok_or_else(wrong)?, part().ok_or_else(wrong)?, part());
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self { os, architecture, variant }) }
    }
}

/// Names a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type.
    #[serde(default)]
    pub media_type: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes; zero when not told.
    #[serde(default)]
    pub size: u64,
    /// The system it is for, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Free notes.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// One image: a configuration and layers from the base up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The configuration's blob.
    pub config: Descriptor,
    /// The layers' blobs, base first.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Whether it describes an image and not some other artifact, such as a signature: by the media types of its layers,
    /// which all speak of layers, in the words of OCI and of Docker.
    #[must_use]
    pub fn is_image(&self) -> bool {
        let is_layer =
            |kind: &str| kind.is_empty() || kind.contains(".image.layer.") || kind.contains(".image.rootfs.");
        self.config.media_type != EMPTY && self.layers.iter().all(|layer| is_layer(&layer.media_type))
    }
}

/// Configuration of an artifact that has none (OCI image specification, "Guidance for an Empty Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Images of several platforms under one name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Index {
    /// Manifests, or further indexes.
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// The entry for `platform`. One without a platform counts when no other fits: it is an image on its own.
    ///
    /// # Errors
    /// [`ManifestError::NoPlatform`] with the platforms there are.
    pub fn select(&self, platform: &Platform) -> Result<&Descriptor, ManifestError> {
        let fitting = self.manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(|p| platform.accepts(p)));
        let unnamed = || self.manifests.iter().find(|entry| entry.platform.is_none());
        fitting.or_else(unnamed).ok_or_else(|| {
            let there = self.manifests.iter().filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string);
            ManifestError::NoPlatform { wanted: platform.to_string(), there: there.collect::<Vec<_>>().join(", ") }
        })
    }
}

/// What a name or digest in a registry leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestOrIndex {
    /// An image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

/// How a container of the image starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// Program and first arguments.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Further arguments, or the program where there is no entry point.
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    /// Environment, `NAME=value`.
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// User, or user and group.
    #[serde(default)]
    pub user: Option<String>,
    /// Working folder.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
}

/// The layers as unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RootFs {
    /// Digests of the uncompressed layers, base first.
    #[serde(default)]
    pub diff_ids: Vec<Digest>,
}

/// The configuration of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageConfig {
    /// Processor, in Go's spelling.
    #[serde(default)]
    pub architecture: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Variant of the processor.
    #[serde(default)]
    pub variant: Option<String>,
    /// The layers as unpacked.
    pub rootfs: RootFs,
    /// How a container starts.
    #[serde(default)]
    pub config: Option<RunConfig>,
}

/// Why a manifest, index or configuration is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not the JSON it should be.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A format that is not read.
    #[error("unsupported manifest: {found}")]
    Unsupported {
        /// What it is.
        found: String,
    },
    /// No image for the platform.
    #[error("no image for {wanted}; there are: {there}")]
    NoPlatform {
        /// The platform asked for.
        wanted: String,
        /// Those in the index.
        there: String,
    },
    /// Not a platform.
    #[error("'{text}' is not a platform: expected os/architecture[/variant]")]
    Platform {
        /// What was given.
        text: String,
    },
    /// Manifest and configuration disagree.
    #[error("the manifest names {blobs} layers and the configuration {diff_ids}")]
    LayerCount {
        /// Layers in the manifest.
        blobs: usize,
        /// DiffIDs in the configuration.
        diff_ids: usize,
    },
    /// More than allowed.
    #[error("the image has {found} layers, more than the limit of {max}")]
    TooManyLayers {
        /// Layers it has.
        found: usize,
        /// Layers allowed.
        max: usize,
    },
}

/// Reads a manifest or an index, of OCI or Docker, told apart by their content.
///
/// # Errors
/// [`ManifestError`] when it is neither.
pub fn parse_manifest_or_index(bytes: &[u8]) -> Result<ManifestOrIndex, ManifestError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(default)]
        schema_version: u64,
        #[serde(default)]
        manifests: Option<Vec<Descriptor>>,
        #[serde(default)]
        config: Option<Descriptor>,
        #[serde(default)]
        layers: Option<Vec<Descriptor>>,
    }
    let shape: Shape = json("manifest", bytes)?;
    match shape {
        Shape { manifests: Some(manifests), .. } => Ok(ManifestOrIndex::Index(Index { manifests })),
        Shape { config: Some(config), layers: Some(layers), .. } => {
            Ok(ManifestOrIndex::Manifest(Manifest { config, layers }))
        }
        Shape { schema_version: 1, .. } => {
            Err(ManifestError::Unsupported { found: "Docker image manifest version 2, schema 1".into() })
        }
        _ => Err(ManifestError::Unsupported { found: "neither config and layers nor manifests".into() }),
    }
}

/// Reads an image's configuration.
///
/// # Errors
/// [`ManifestError::Malformed`] when it is none.
pub fn parse_config(bytes: &[u8]) -> Result<ImageConfig, ManifestError> {
    json("image configuration", bytes)
}

pub(super) fn json<T: for<'de> Deserialize<'de>>(what: &'static str, bytes: &[u8]) -> Result<T, ManifestError> {
    serde_json::from_slice(bytes).map_err(|error| ManifestError::Malformed { what, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text)
    }

    #[test]
    fn manifests_and_indexes_are_told_apart() {
        let config = digest("config");
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{config}","size":3}},"layers":[{{"digest":"{config}"}}]}}"#
        );
        assert!(
            matches!(parse_manifest_or_index(manifest.as_bytes()), Ok(ManifestOrIndex::Manifest(m)) if m.layers.len() == 1)
        );
        let index = format!(r#"{{"manifests":[{{"digest":"{config}","mediaType":"x"}}]}}"#);
        assert!(matches!(parse_manifest_or_index(index.as_bytes()), Ok(ManifestOrIndex::Index(_))));
        let old = r#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(matches!(parse_manifest_or_index(old.as_bytes()), Err(ManifestError::Unsupported { .. })));
        assert!(parse_manifest_or_index(b"[]").is_err());
    }

    #[test]
    fn the_platform_decides() {
        let entry = |name: &str, platform: Option<&str>| Descriptor {
            media_type: String::new(),
            digest: digest(name),
            size: 0,
            platform: platform.map(|platform| platform.parse().unwrap()),
            annotations: BTreeMap::new(),
        };
        let index = Index {
            manifests: vec![
                entry("att", Some("unknown/unknown")),
                entry("arm", Some("linux/arm/v7")),
                entry("amd", Some("linux/amd64")),
            ],
        };
        let select = |platform: &str| index.select(&platform.parse().unwrap()).map(|entry| entry.digest);
        assert_eq!(select("linux/amd64"), Ok(digest("amd")));
        assert_eq!(select("linux/arm"), Ok(digest("arm")));
        assert!(matches!(select("linux/arm/v6"), Err(ManifestError::NoPlatform { .. })));
        assert!("linux".parse::<Platform>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse_manifest_or_index(&bytes);
            let _ = parse_config(&bytes);
        }
    }
}
