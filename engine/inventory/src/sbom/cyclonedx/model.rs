//! What is read of CycloneDX, whether it came as JSON or as XML.

use serde::Deserialize;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) bom_format: Option<String>,
    pub(super) spec_version: Option<String>,
    #[serde(default)]
    pub(super) metadata: Option<Metadata>,
    #[serde(default)]
    pub(super) components: Option<Vec<Component>>,
    #[serde(default)]
    pub(super) dependencies: Option<Vec<Dependency>>,
    #[serde(default)]
    pub(super) properties: Option<Vec<Property>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) component: Option<Component>,
    #[serde(default)]
    pub(super) properties: Option<Vec<Property>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Component {
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default, rename = "bom-ref")]
    pub(super) reference: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) version: Option<String>,
    #[serde(default, rename = "versionRange")]
    pub(super) version_range: Option<String>,
    #[serde(default, rename = "isExternal")]
    pub(super) is_external: Option<bool>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) scope: Option<String>,
    #[serde(default)]
    pub(super) purl: Option<String>,
    #[serde(default)]
    pub(super) hashes: Option<Vec<Hash>>,
    #[serde(default)]
    pub(super) licenses: Option<Vec<LicenceChoice>>,
    #[serde(default)]
    pub(super) properties: Option<Vec<Property>>,
    #[serde(default)]
    pub(super) evidence: Option<Evidence>,
    #[serde(default)]
    pub(super) components: Option<Vec<Component>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Hash {
    #[serde(default)]
    pub(super) alg: String,
    #[serde(default)]
    pub(super) content: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct LicenceChoice {
    #[serde(default)]
    pub(super) license: Option<Licence>,
    #[serde(default)]
    pub(super) expression: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Licence {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Property {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Evidence {
    #[serde(default)]
    pub(super) occurrences: Option<Vec<Occurrence>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Occurrence {
    #[serde(default)]
    pub(super) location: String,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Dependency {
    #[serde(default, rename = "ref")]
    pub(super) reference: String,
    #[serde(default, rename = "dependsOn")]
    pub(super) depends_on: Option<Vec<String>>,
}
