//! What is read of SPDX 2, whether it came as JSON or in tag-value form; SPDX 3 is brought into the same shape.

use serde::Deserialize;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) spdx_version: Option<String>,
    #[serde(default, rename = "SPDXID")]
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) packages: Option<Vec<Package>>,
    #[serde(default)]
    pub(super) document_describes: Option<Vec<String>>,
    #[serde(default)]
    pub(super) relationships: Option<Vec<Relationship>>,
    #[serde(default)]
    pub(super) annotations: Option<Vec<Annotation>>,
    #[serde(default)]
    pub(super) has_extracted_licensing_infos: Option<Vec<ExtractedLicence>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Package {
    #[serde(default, rename = "SPDXID")]
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) version_info: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) primary_package_purpose: Option<String>,
    #[serde(default)]
    pub(super) license_concluded: Option<String>,
    #[serde(default)]
    pub(super) license_declared: Option<String>,
    #[serde(default)]
    pub(super) source_info: Option<String>,
    #[serde(default)]
    pub(super) package_file_name: Option<String>,
    #[serde(default)]
    pub(super) checksums: Option<Vec<PackageChecksum>>,
    #[serde(default)]
    pub(super) external_refs: Option<Vec<ExternalRef>>,
    #[serde(default)]
    pub(super) attribution_texts: Option<Vec<String>>,
    #[serde(default)]
    pub(super) annotations: Option<Vec<Annotation>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PackageChecksum {
    #[serde(default)]
    pub(super) algorithm: String,
    #[serde(default)]
    pub(super) checksum_value: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalRef {
    #[serde(default)]
    pub(super) reference_type: String,
    #[serde(default)]
    pub(super) reference_locator: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Annotation {
    #[serde(default)]
    pub(super) comment: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExtractedLicence {
    #[serde(default)]
    pub(super) license_id: String,
    #[serde(default)]
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relationship {
    #[serde(default)]
    pub(super) spdx_element_id: String,
    #[serde(default)]
    pub(super) relationship_type: String,
    #[serde(default)]
    pub(super) related_spdx_element: String,
    #[serde(default)]
    pub(super) comment: Option<String>,
}
