//! What is read of CycloneDX, whether it came as JSON or as XML.

use serde::Deserialize;

use super::super::text::Text;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'d> {
    #[serde(borrow)]
    pub(super) bom_format: Option<Text<'d>>,
    pub(super) spec_version: Option<Text<'d>>,
    #[serde(default)]
    pub(super) metadata: Option<Metadata<'d>>,
    #[serde(default)]
    pub(super) components: Option<Vec<Component<'d>>>,
    #[serde(default)]
    pub(super) dependencies: Option<Vec<Dependency<'d>>>,
    #[serde(default)]
    pub(super) properties: Option<Vec<Property<'d>>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Metadata<'d> {
    #[serde(borrow, default)]
    pub(super) component: Option<Component<'d>>,
    #[serde(default)]
    pub(super) properties: Option<Vec<Property<'d>>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Component<'d> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Text<'d>>,
    #[serde(default, rename = "bom-ref")]
    pub(super) reference: Option<Text<'d>>,
    #[serde(default)]
    pub(super) name: Option<Text<'d>>,
    #[serde(default)]
    pub(super) version: Option<Text<'d>>,
    #[serde(default, rename = "versionRange")]
    pub(super) version_range: Option<Text<'d>>,
    #[serde(default, rename = "isExternal")]
    pub(super) is_external: Option<bool>,
    #[serde(default)]
    pub(super) description: Option<Text<'d>>,
    #[serde(default)]
    pub(super) scope: Option<Text<'d>>,
    #[serde(default)]
    pub(super) purl: Option<Text<'d>>,
    #[serde(default)]
    pub(super) hashes: Option<Vec<Hash<'d>>>,
    #[serde(default)]
    pub(super) licenses: Option<Vec<LicenceChoice<'d>>>,
    #[serde(default)]
    pub(super) properties: Option<Vec<Property<'d>>>,
    #[serde(default)]
    pub(super) evidence: Option<Evidence<'d>>,
    #[serde(default)]
    pub(super) components: Option<Vec<Component<'d>>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Hash<'d> {
    #[serde(borrow, default)]
    pub(super) alg: Text<'d>,
    #[serde(default)]
    pub(super) content: Text<'d>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct LicenceChoice<'d> {
    #[serde(borrow, default)]
    pub(super) license: Option<Licence<'d>>,
    #[serde(default)]
    pub(super) expression: Option<Text<'d>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Licence<'d> {
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'d>>,
    #[serde(default)]
    pub(super) name: Option<Text<'d>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Property<'d> {
    #[serde(borrow, default)]
    pub(super) name: Text<'d>,
    #[serde(default)]
    pub(super) value: Option<Text<'d>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Evidence<'d> {
    #[serde(borrow, default)]
    pub(super) occurrences: Option<Vec<Occurrence<'d>>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Occurrence<'d> {
    #[serde(borrow, default)]
    pub(super) location: Text<'d>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Dependency<'d> {
    #[serde(borrow, default, rename = "ref")]
    pub(super) reference: Text<'d>,
    #[serde(default, rename = "dependsOn")]
    pub(super) depends_on: Option<Vec<Text<'d>>>,
}
