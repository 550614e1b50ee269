//! Indexes that list an image, and whether they lead to it alone.

use std::collections::BTreeSet;

use serde_json::Value;
use stella_domain::Digest;
use stella_inventory::image::{Descriptor, Index, ManifestOrIndex, parse_manifest_or_index};

/// An index that lists an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// The index.
    pub digest: Digest,
    /// Whether it leads to that image and no other: its further entries are attestations, for the platform `unknown/unknown`, which
    /// nobody runs.
    pub alone: bool,
}

/// What else stands for an image, as its repository tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kin {
    /// Its configuration, where it was asked for.
    pub configuration: Option<Digest>,
    /// The indexes that list it.
    pub indexes: Vec<Listing>,
    /// Digests that nobody was asked about, as there are too many.
    pub unasked: usize,
}

/// The index that a document is, and nothing else. One that has the fields of a manifest, too, is what its reader takes it for
/// (CVE-2021-41190): a runtime would run what nobody signed.
pub(crate) fn plain_index(bytes: &[u8]) -> Option<Index> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let fields = document.as_object()?;
    let is_of_a_manifest = |name: &String| ["config", "layers", "fslayers"].contains(&name.to_lowercase().as_str());
    if fields.keys().any(is_of_a_manifest) || !reads_alike(&document) {
        return None;
    }
    match parse_manifest_or_index(bytes) {
        Ok(ManifestOrIndex::Index(index)) => Some(index),
        _ => None,
    }
}

/// Whether every reader finds the same in it: those of runtimes take `Digest` for `digest`, and of two the last (`encoding/json` of
/// Go). Of the very same name twice the reader of indexes here says that it is no index.
fn reads_alike(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            let names: BTreeSet<String> = fields.keys().map(|name| name.to_lowercase()).collect();
            names.len() == fields.len() && names.iter().all(|name| name.is_ascii()) && fields.values().all(reads_alike)
        }
        Value::Array(values) => values.iter().all(reads_alike),
        _ => true,
    }
}

/// Whether `index` leads to `manifest` alone; `None` where it does not list it.
pub(crate) fn leads_to(index: &Index, manifest: Digest) -> Option<bool> {
    let is_attestation = |entry: &Descriptor| {
        entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown")
    };
    let images = || index.manifests.iter().filter(|entry| !is_attestation(entry));
    images().any(|entry| entry.digest == manifest).then(|| images().all(|entry| entry.digest == manifest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(digest: Digest, platform: Option<(&str, &str)>) -> Value {
        let platform = platform.map(|(os, architecture)| json!({"os": os, "architecture": architecture}));
        json!({"mediaType": "m", "digest": digest, "size": 1, "platform": platform})
    }

    #[test]
    fn an_index_leads_to_one_image_alone_when_nothing_else_in_it_can_be_run() {
        let (image, other) = (Digest::of("image"), Digest::of("other"));
        let (amd, arm, unknown) = (Some(("linux", "amd64")), Some(("linux", "arm64")), Some(("unknown", "unknown")));
        for (entries, expected) in [
            (vec![entry(image, amd)], Some(true)),
            (vec![entry(image, None)], Some(true)),
            (vec![entry(image, amd), entry(other, unknown)], Some(true)),
            (vec![entry(image, amd), entry(image, arm)], Some(true)),
            (vec![entry(image, amd), entry(other, arm)], Some(false)),
            (vec![entry(image, amd), entry(other, None)], Some(false)),
            (vec![entry(image, amd), entry(other, Some(("unknown", "amd64")))], Some(false)),
            (vec![entry(other, amd), entry(image, unknown)], None),
            (vec![], None),
        ] {
            let text = json!({"schemaVersion": 2, "manifests": entries}).to_string();
            let index = plain_index(text.as_bytes()).unwrap();
            assert_eq!(leads_to(&index, image), expected, "{text}");
        }
    }

    #[test]
    fn what_is_a_manifest_and_an_index_at_once_is_neither() {
        let image = Digest::of("image");
        let index = json!({"schemaVersion": 2, "manifests": [entry(image, None)]});
        assert!(plain_index(index.to_string().as_bytes()).is_some());
        for (field, value) in [
            ("config", entry(Digest::of("evil"), None)),
            ("layers", json!([])),
            ("fsLayers", json!([{"blobSum": "sha256:0"}])),
            ("Config", json!({})),
            ("Manifests", json!([])),
            ("manife\u{17f}ts", json!([])),
        ] {
            let mut both = index.clone();
            both[field] = value;
            assert!(plain_index(both.to_string().as_bytes()).is_none(), "{field}");
        }
        let mut twice = index;
        twice["manifests"][0]["Digest"] = json!(Digest::of("evil"));
        assert!(plain_index(twice.to_string().as_bytes()).is_none());
        let text = format!(r#"{{"manifests": [], "manifests": [{}]}}"#, entry(image, None));
        assert!(plain_index(text.as_bytes()).is_none(), "the same name twice");
    }
}
