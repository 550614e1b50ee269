//! Documents that describe an image layer by layer, so that the layers a server has need not be sent again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stella_domain::Digest;

use crate::limits::Limits;
use crate::{LayerInventory, OsRelease, PathSet, Problem, Provenance, fold};

use super::cyclonedx::property;
use super::json::cut;
use super::listing::Listing;
use super::{SbomDocument, SbomError, SbomFormat, Subject};

/// What the properties of a document say about layers.
#[derive(Debug, Default)]
pub(super) struct LayerProperties {
    /// All layers of the image, base first.
    pub(super) order: Vec<Digest>,
    folded: bool,
    layers: BTreeMap<Digest, LayerInventory>,
}

/// Facts about a layer that no property of the interface has a name for; written so that a layer reads back whole.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) os: Option<OsRelease>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) os_path: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lesser_os: BTreeMap<String, OsRelease>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) links: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) file_lists: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lesser_lists: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) licences: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "PathSet::is_empty")]
    pub(super) entries: PathSet,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<Problem>,
}

impl LayerProperties {
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<(), SbomError> {
        match name {
            property::LAYERS => {
                for layer in list(value) {
                    self.order.push(digest(name, &layer)?);
                }
            }
            property::FOLDED => self.folded = value == "true",
            _ => {
                let Some(rest) = name.strip_prefix(property::LAYER_PREFIX) else { return Ok(()) };
                let Some((layer, aspect)) = rest.rsplit_once(':') else { return Ok(()) };
                let layer = digest(name, layer)?;
                let inventory = self.layers.entry(layer).or_insert_with(|| LayerInventory::empty(layer));
                take_aspect(inventory, aspect, name, value)?;
            }
        }
        Ok(())
    }

    pub(super) fn check(&self, limits: &Limits) -> Result<(), SbomError> {
        if self.order.len() > limits.max_layers {
            return Err(SbomError::Limit { what: "layers", max: limits.max_layers });
        }
        Ok(())
    }
}

fn take_aspect(inventory: &mut LayerInventory, aspect: &str, name: &str, value: &str) -> Result<(), SbomError> {
    let paths = || list(value).iter().map(|path| crate::archive::join("", path)).collect::<Vec<_>>();
    match aspect {
        "whiteouts" => inventory.whiteouts.extend(paths()),
        "opaque" => inventory.opaque.extend(paths()),
        "databases" => inventory.databases.extend(paths()),
        "facts" => {
            let facts: Facts = serde_json::from_str(value).map_err(|error| SbomError::Malformed {
                format: SbomFormat::CycloneDx.name(),
                reason: format!("property {name}: {error}"),
            })?;
            inventory.os = facts.os;
            inventory.os_path = facts.os_path;
            inventory.lesser_os = facts.lesser_os;
            inventory.links = facts.links;
            inventory.file_lists = facts.file_lists;
            inventory.lesser_lists = facts.lesser_lists;
            inventory.licences = facts.licences;
            inventory.entries = facts.entries;
            inventory.problems = facts.problems;
        }
        _ => {}
    }
    Ok(())
}

/// The document, with its layers if it has them.
pub(super) fn finish(
    listing: Listing<'_>,
    properties: LayerProperties,
    format: SbomFormat,
    subject: Option<Subject>,
) -> Result<SbomDocument, SbomError> {
    if properties.order.is_empty() || properties.folded {
        return Ok(listing.into_document(format, subject));
    }
    if let Some(purl) = listing.without_layer() {
        return Err(SbomError::NoLayer { component: cut(&purl.to_string()), property: property::LAYER });
    }
    let LayerProperties { order, mut layers, .. } = properties;
    for layer in listing.layers_named() {
        layers.entry(layer).or_insert_with(|| LayerInventory::empty(layer));
    }
    if let Some(stranger) = layers.keys().find(|layer| !order.contains(layer)) {
        return Err(SbomError::Layer {
            place: "the document".into(),
            layer: stranger.to_string(),
            reason: "it is not in stella:layers",
        });
    }
    let mut described: Vec<LayerInventory> = Vec::new();
    for layer in &order {
        if let Some(mut inventory) = layers.remove(layer) {
            inventory.packages = listing.packages_of(*layer);
            described.push(inventory);
        }
    }
    // The operating system is told once for the document; the topmost layer that is described stands for it.
    if described.iter().all(|layer| layer.os.is_none())
        && let Some(last) = described.last_mut()
    {
        last.os.clone_from(&listing.os);
    }
    let mut document = listing.into_document(format, subject);
    let found: BTreeMap<Digest, &LayerInventory> = described.iter().map(|layer| (layer.diff_id, layer)).collect();
    let ordered: Option<Vec<&LayerInventory>> = order.iter().map(|layer| found.get(layer).copied()).collect();
    if let Some(ordered) = ordered {
        let of_document = std::mem::replace(&mut document.inventory, fold(&ordered));
        document.inventory.provenance = Provenance::Sbom;
        document.inventory.add_problems(of_document.problems);
    }
    document.layered = true;
    document.layers = described;
    Ok(document)
}

/// A digest that a document names at this place.
pub(super) fn digest(place: &str, layer: &str) -> Result<Digest, SbomError> {
    layer.parse().map_err(|_| SbomError::Layer {
        place: format!("property {}", place.chars().take(120).collect::<String>()),
        layer: layer.chars().take(100).collect(),
        reason: "it is not a digest",
    })
}

/// The items of a property: a JSON array, or text with an item a line or commas between them.
pub(super) fn list(value: &str) -> Vec<String> {
    let value = value.trim();
    if value.starts_with('[')
        && let Ok(items) = serde_json::from_str::<Vec<String>>(value)
    {
        return items;
    }
    let separator = if value.contains('\n') { '\n' } else { ',' };
    value.split(separator).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_in_three_spellings() {
        for text in ["[\"a\",\"b\"]", "a,b", " a\n b \n"] {
            assert_eq!(list(text), ["a", "b"]);
        }
        assert!(list("").is_empty());
    }
}
