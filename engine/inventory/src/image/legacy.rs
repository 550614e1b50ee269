//! Archives of `docker save` from before manifests (Docker image specification v1.0): a file `repositories` names the
//! topmost layer of each tag, and each layer names the one below it. Nothing in them says what the layers' bytes are,
//! so their diffIDs are worked out.

use std::collections::BTreeMap;

use serde::Deserialize;
use stella_domain::Hasher;

use crate::layer::{Budget, LayerDigests};
use crate::limits::Limits;

use super::ImageError;
use super::manifest::{ImageConfig, ManifestError, RootFs, RunConfig, json};
use super::resolve::{Documents, Resolved};

/// Its name in the archive.
pub(super) const REPOSITORIES: &str = "repositories";

/// By repository and tag, the id of the topmost layer.
type Repositories = BTreeMap<String, BTreeMap<String, String>>;

/// What a layer says about itself, and the topmost one about the image.
#[derive(Deserialize)]
struct V1 {
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RunConfig>,
}

/// The image, whatever it is called.
pub(super) fn resolve(documents: &dyn Documents, limits: &Limits) -> Result<Resolved, ImageError> {
    let repositories: Repositories = json(REPOSITORIES, &documents.document(REPOSITORIES, None)?)?;
    let mut images: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, tags) in &repositories {
        for (tag, id) in tags {
            images.entry(id).or_default().push(format!("{name}:{tag}"));
        }
    }
    if images.len() > 1 {
        let names = images.into_values().filter_map(|names| names.into_iter().next()).collect();
        return Err(ImageError::SeveralImages { names });
    }
    let Some((top, names)) = images.into_iter().next() else {
        return Err(ManifestError::Unsupported { found: "a repositories file without an image".into() }.into());
    };

    // Ids are made up by whoever built the image, so the image is named by what it consists of.
    let mut hasher = Hasher::new();
    hasher.field("docker image specification v1");
    let budget = Budget::new(limits);
    let (mut image, mut layers) = (None, Vec::new());
    let mut next = Some(top.to_owned());
    while let Some(id) = next {
        if layers.len() == limits.max_layers {
            return Err(ManifestError::TooManyLayers { found: layers.len() + 1, max: limits.max_layers }.into());
        }
        let id = checked(id)?;
        let bytes = documents.document(&format!("{id}/json"), None)?;
        let v1: V1 = json("layer description", &bytes)?;
        let path = format!("{id}/layer.tar");
        let diff_id = documents.diff_id(&path, limits, &budget)?;
        hasher.field(diff_id.as_bytes());
        layers.push((path, LayerDigests { blob: None, diff_id }));
        next = v1.parent.clone().filter(|parent| !parent.is_empty());
        if image.is_none() {
            hasher.field(&bytes);
            image = Some(v1);
        }
    }
    layers.reverse();
    let diff_ids = layers.iter().map(|(_, layer)| layer.diff_id).collect();
    let image = image.ok_or(ImageError::Missing { what: top.to_owned() })?;
    let config = ImageConfig {
        architecture: image.architecture,
        os: image.os,
        variant: None,
        rootfs: RootFs { diff_ids },
        config: image.config,
    };
    Ok(Resolved { digest: hasher.finish(), names, config, layers })
}

/// Ids become paths.
fn checked(id: String) -> Result<String, ManifestError> {
    if (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(id);
    }
    let reason = format!("'{}' is not the id of a layer", id.chars().take(100).collect::<String>());
    Err(ManifestError::Malformed { what: "layer description", reason })
}
