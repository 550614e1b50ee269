//! Writing CycloneDX 1.6 JSON. No clock and no chance: the same inventory gives the same bytes.

use std::collections::HashMap;

use serde::Serialize;
use stella_domain::{Digest, Hasher};

use crate::identity::purl_of;
use crate::{Inventory, LayerInventory, OsRelease, Package};

use super::super::Subject;
use super::super::evidence::technique;
use super::super::layered::Facts;
use super::super::licences::is_identifier;
use super::super::listing::{sorted, sorted_components};
use super::property;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    tools: Tools,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<Component<'a>>,
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
}

#[derive(Serialize)]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenceChoice<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    purl: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence<'a>>,
}

#[derive(Serialize)]
struct LicenceChoice<'a> {
    license: Licence<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Licence<'a> {
    Id(&'a str),
    Name(&'a str),
}

#[derive(Serialize)]
struct Evidence<'a> {
    identity: [Identity<'a>; 1],
    occurrences: [Occurrence<'a>; 1],
}

#[derive(Serialize)]
struct Identity<'a> {
    field: &'static str,
    confidence: u8,
    methods: [Method<'a>; 1],
}

#[derive(Serialize)]
struct Method<'a> {
    technique: &'static str,
    confidence: u8,
    value: &'a str,
}

#[derive(Serialize)]
struct Occurrence<'a> {
    location: &'a str,
}

#[derive(Serialize)]
struct Property {
    name: String,
    value: String,
}

impl Property {
    fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    fn list<T: Serialize>(name: impl Into<String>, items: &[T]) -> Self {
        Self::new(name, json(&items))
    }
}

/// An inventory with the layer of origin of each component and how it was identified. The files of the packages are left
/// out, for a distribution has hundreds of thousands; everything else reads back. The order of components and problems
/// makes no difference.
#[must_use]
pub fn write_cyclonedx(inventory: &Inventory, subject: Option<&Subject>) -> Vec<u8> {
    let mut properties = Vec::new();
    if !inventory.layers.is_empty() {
        properties.push(Property::list(property::LAYERS, &inventory.layers));
        properties.push(Property::new(property::FOLDED, "true"));
    }
    for problem in sorted(&inventory.problems) {
        properties.push(Property::new(format!("{}{}", property::PROBLEM_PREFIX, problem.path), &problem.message));
    }
    let mut references = References::default();
    let mut components: Vec<Component<'_>> = inventory.os.iter().map(operating_system).collect();
    for component in sorted_components(inventory) {
        let mut written = library(&component.package, &component.purl, &mut references);
        written.properties.extend(component.layer.map(|layer| Property::new(property::LAYER, layer.to_string())));
        components.push(written);
    }
    finish(properties, components, subject)
}

/// Layers one by one: `order` names all layers of the image, base first, and `layers` are those described. Reads
/// back as the same [`LayerInventory`]s.
#[must_use]
pub fn write_layers(order: &[Digest], layers: &[&LayerInventory], subject: Option<&Subject>) -> Vec<u8> {
    let mut properties = vec![Property::list(property::LAYERS, order)];
    let os = layers.iter().rev().find_map(|layer| layer.os.as_ref());
    let purls_of = |layer: &&LayerInventory| layer.packages.iter().map(|package| purl_of(package, os)).collect();
    let purls: Vec<Vec<String>> = layers.iter().map(purls_of).collect();
    let mut references = References::default();
    let mut components = Vec::new();
    for (layer, purls) in layers.iter().zip(&purls) {
        properties.extend(layer_properties(layer));
        for (package, purl) in layer.packages.iter().zip(purls) {
            let mut written = library(package, purl, &mut references);
            written.properties.push(Property::new(property::LAYER, layer.diff_id.to_string()));
            if !package.files.is_empty() {
                written.properties.push(Property::list(property::FILES, &package.files));
            }
            components.push(written);
        }
    }
    finish(properties, components, subject)
}

fn layer_properties(layer: &LayerInventory) -> Vec<Property> {
    let name = |aspect: &str| format!("{}{}:{aspect}", property::LAYER_PREFIX, layer.diff_id);
    let facts = Facts {
        os: layer.os.clone(),
        os_path: layer.os_path.clone(),
        lesser_os: layer.lesser_os.clone(),
        links: layer.links.clone(),
        file_lists: layer.file_lists.clone(),
        lesser_lists: layer.lesser_lists.clone(),
        licences: layer.licences.clone(),
        entries: layer.entries.clone(),
        problems: layer.problems.clone(),
    };
    vec![
        Property::list(name("whiteouts"), &layer.whiteouts),
        Property::list(name("opaque"), &layer.opaque),
        Property::list(name("databases"), &layer.databases),
        Property::new(name("facts"), json(&facts)),
    ]
}

fn operating_system(os: &OsRelease) -> Component<'_> {
    let like = (!os.like.is_empty()).then(|| Property::new(property::OS_LIKE, os.like.join(" ")));
    Component {
        kind: "operating-system",
        reference: format!("os:{}@{}", os.id, os.version),
        name: &os.id,
        version: os.version.clone(),
        description: &os.name,
        licenses: Vec::new(),
        purl: "",
        properties: like.into_iter().collect(),
        evidence: None,
    }
}

fn library<'a>(package: &'a Package, purl: &'a str, references: &mut References<'a>) -> Component<'a> {
    let mut properties = Vec::new();
    if !package.path.is_empty() {
        properties.push(Property::new(property::PATH, &package.path));
    }
    if let Some(source) = &package.source {
        properties.push(Property::new(property::SOURCE_NAME, &source.name));
        properties.push(Property::new(property::SOURCE_VERSION, &source.version));
    }
    if package.linked {
        properties.push(Property::new(property::LINKED, "true"));
    }
    Component {
        kind: "library",
        reference: references.fresh(purl),
        name: &package.name,
        version: package.version.clone(),
        description: "",
        licenses: package.licences.iter().filter(|name| !name.is_empty()).map(|name| licence(name)).collect(),
        purl,
        properties,
        evidence: Some(evidence(package)).filter(|_| !package.path.is_empty()),
    }
}

fn licence(name: &str) -> LicenceChoice<'_> {
    LicenceChoice { license: if is_identifier(name) { Licence::Id(name) } else { Licence::Name(name) } }
}

fn evidence(package: &Package) -> Evidence<'_> {
    let method = Method { technique: technique(package), confidence: 1, value: &package.path };
    Evidence {
        identity: [Identity { field: "purl", confidence: 1, methods: [method] }],
        occurrences: [Occurrence { location: &package.path }],
    }
}

/// References have to be unique in a document, and one package may lie in several places.
#[derive(Default)]
struct References<'a>(HashMap<&'a str, usize>);

impl<'a> References<'a> {
    fn fresh(&mut self, purl: &'a str) -> String {
        let count = self.0.entry(purl).or_default();
        *count += 1;
        // No package URL has a semicolon unencoded, so this is none that another component has.
        if *count == 1 { purl.to_owned() } else { format!("{purl};{count}") }
    }
}

fn finish(properties: Vec<Property>, components: Vec<Component<'_>>, subject: Option<&Subject>) -> Vec<u8> {
    let component = subject.map(|subject| Component {
        kind: "container",
        reference: "subject".into(),
        name: &subject.name,
        version: subject.digest.map(|digest| digest.to_string()).unwrap_or_default(),
        description: "",
        licenses: Vec::new(),
        purl: "",
        properties: Vec::new(),
        evidence: None,
    });
    let mut document = Document {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: String::new(),
        version: 1,
        metadata: Metadata {
            tools: Tools { components: [Tool { kind: "application", name: "stella" }] },
            component,
            properties,
        },
        components,
    };
    let mut hasher = Hasher::new();
    hasher.field("stella cyclonedx 1");
    hasher.field(json(&document));
    document.serial_number = serial_number(hasher.finish());
    json(&document).into_bytes()
}

/// A UUID of version 8 (RFC 9562, section 5.8) made of the content.
fn serial_number(digest: Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Nothing that is written here can fail to be JSON.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
