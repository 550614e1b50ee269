//! From the documents of an archive or layout to the image: which configuration, which layers.

use stella_domain::Digest;

use crate::layer::{Budget, LayerDigests};
use crate::limits::Limits;

use super::file::ReadOptions;
use super::manifest::{ImageConfig, parse_config};
use super::source::check_counts;
use super::{ImageError, docker, legacy, oci};

/// The named documents of an image.
pub(super) trait Documents {
    fn has(&self, name: &str) -> bool;

    /// A document, whole, verified when its digest is known.
    fn document(&self, name: &str, digest: Option<Digest>) -> Result<Vec<u8>, ImageError>;

    /// The digest of a layer's uncompressed bytes, for archives that do not tell.
    fn diff_id(&self, name: &str, limits: &Limits, budget: &Budget) -> Result<Digest, ImageError>;
}

/// An image whose layers have not been looked at.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) digest: Digest,
    pub(super) names: Vec<String>,
    pub(super) config: ImageConfig,
    /// Path and digests of each layer, base first.
    pub(super) layers: Vec<(String, LayerDigests)>,
}

/// Finds the image, by `manifest.json` where there is one: archives of recent Docker have all three documents.
pub(super) fn resolve(documents: &dyn Documents, options: &ReadOptions) -> Result<Resolved, ImageError> {
    if documents.has(docker::MANIFEST) {
        return resolve_docker(documents, options);
    }
    if documents.has(oci::INDEX) {
        return resolve_oci(documents, options);
    }
    if documents.has(legacy::REPOSITORIES) {
        return legacy::resolve(documents, &options.limits);
    }
    Err(ImageError::NotAnImage { found: "neither manifest.json, index.json nor repositories in it".into() })
}

fn resolve_docker(documents: &dyn Documents, options: &ReadOptions) -> Result<Resolved, ImageError> {
    let saved = docker::parse_saved(&documents.document(docker::MANIFEST, None)?)?;
    let config_bytes = documents.document(&saved.config, digest_in_name(&saved.config))?;
    let config = parse_config(&config_bytes)?;
    check_counts(saved.layers.len(), &config, &options.limits)?;
    let layers = saved.layers.into_iter().zip(&config.rootfs.diff_ids);
    let layers = layers.map(|(path, diff_id)| {
        let blob = path.strip_prefix("blobs/").and_then(digest_in_name);
        (path, LayerDigests { blob, diff_id: *diff_id })
    });
    let layers = layers.collect();
    Ok(Resolved { digest: Digest::of(config_bytes), names: saved.repo_tags.unwrap_or_default(), config, layers })
}

fn resolve_oci(documents: &dyn Documents, options: &ReadOptions) -> Result<Resolved, ImageError> {
    let blob = |digest: &Digest| documents.document(&oci::blob_path(digest), Some(*digest));
    let index = documents.document(oci::INDEX, None)?;
    let selected = oci::select(&index, &options.platform, &options.limits, &blob)?;
    let config = parse_config(&blob(&selected.manifest.config.digest)?)?;
    check_counts(selected.manifest.layers.len(), &config, &options.limits)?;
    let layers = selected.manifest.layers.iter().zip(&config.rootfs.diff_ids);
    let layers = layers.map(|(blob, diff_id)| {
        (oci::blob_path(&blob.digest), LayerDigests { blob: Some(blob.digest), diff_id: *diff_id })
    });
    let layers = layers.collect();
    Ok(Resolved { digest: selected.digest, names: selected.names, config, layers })
}

/// The digest that a file of this name must have: `sha256/HEX`, `HEX.json`.
fn digest_in_name(name: &str) -> Option<Digest> {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let digits = last.strip_suffix(".json").unwrap_or(last);
    format!("sha256:{digits}").parse().ok()
}

/// Refuses a document that is not what its digest says.
pub(super) fn check(what: &str, expected: Option<Digest>, found: Digest) -> Result<(), ImageError> {
    match expected {
        Some(expected) if expected != found => Err(ImageError::Digest { what: what.to_owned(), expected, found }),
        _ => Ok(()),
    }
}
