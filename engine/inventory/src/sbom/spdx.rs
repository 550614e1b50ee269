//! Reading SPDX JSON, 2.2 and 2.3.

use serde::Deserialize;

use crate::limits::Limits;
use crate::purl::Purl;
use crate::{OsRelease, SourcePackage};

use super::listing::{Details, Listing, digest_in};
use super::{SbomDocument, SbomError, SbomFormat, Subject, malformed};

/// What texts beside a package say of its layer and its source, as Trivy words it.
pub(super) const LAYER: &str = "LayerDiffID: ";
pub(super) const BUILT_FROM: &str = "built package from: ";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    packages: Option<Vec<Package>>,
    #[serde(default)]
    document_describes: Option<Vec<String>>,
    #[serde(default)]
    relationships: Option<Vec<Relationship>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(default, rename = "SPDXID")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version_info: Option<String>,
    #[serde(default)]
    primary_package_purpose: Option<String>,
    #[serde(default)]
    license_concluded: Option<String>,
    #[serde(default)]
    license_declared: Option<String>,
    #[serde(default)]
    source_info: Option<String>,
    #[serde(default)]
    package_file_name: Option<String>,
    #[serde(default)]
    external_refs: Option<Vec<ExternalRef>>,
    #[serde(default)]
    attribution_texts: Option<Vec<String>>,
    #[serde(default)]
    annotations: Option<Vec<Annotation>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    #[serde(default)]
    reference_type: String,
    #[serde(default)]
    reference_locator: String,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    #[serde(default)]
    spdx_element_id: String,
    #[serde(default)]
    relationship_type: String,
    #[serde(default)]
    related_spdx_element: String,
}

impl Package {
    fn purl(&self) -> Option<&str> {
        let is_purl = |reference: &&ExternalRef| reference.reference_type.ends_with("purl");
        self.external_refs.iter().flatten().find(is_purl).map(|reference| reference.reference_locator.as_str())
    }

    fn note(&self, prefix: &str) -> Option<&str> {
        let texts = self.attribution_texts.iter().flatten().map(String::as_str);
        let comments = self.annotations.iter().flatten().map(|annotation| annotation.comment.as_str());
        texts.chain(comments).find_map(|text| text.strip_prefix(prefix)).map(str::trim)
    }

    fn source(&self) -> Option<SourcePackage> {
        let (name, version) = self.source_info.as_deref()?.strip_prefix(BUILT_FROM)?.split_once(' ')?;
        Some(SourcePackage::new(name, version.trim()))
    }

    fn licences(&self) -> Vec<String> {
        let told = |licence: &&str| !matches!(*licence, "" | "NOASSERTION" | "NONE");
        let both = [self.license_declared.as_deref(), self.license_concluded.as_deref()];
        both.into_iter().flatten().find(told).map(str::to_owned).into_iter().collect()
    }

    fn path(&self) -> &str {
        let file = self.package_file_name.as_deref().filter(|name| name.contains('/'));
        let database = || {
            self.source_info
                .as_deref()
                .filter(|info| info.starts_with("acquired"))
                .and_then(|info| info.split_once(": "))
        };
        file.or_else(|| database().map(|(_, path)| path.split(',').next().unwrap_or(path))).unwrap_or("")
    }
}

pub(super) fn parse(bytes: &[u8], _: &Limits) -> Result<SbomDocument, SbomError> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| malformed(SbomFormat::Spdx, &error))?;
    let version = document.spdx_version.ok_or(SbomError::NotAnSbom { found: "it has no spdxVersion".into() })?;
    if !version.starts_with("SPDX-2.") {
        return Err(SbomError::Version { format: SbomFormat::Spdx.name(), version });
    }
    let packages = document.packages.unwrap_or_default();
    let described = document.document_describes.into_iter().flatten().next().or_else(|| {
        let mut relationships = document.relationships.into_iter().flatten();
        let describes =
            |r: &Relationship| r.relationship_type == "DESCRIBES" && r.spdx_element_id == "SPDXRef-DOCUMENT";
        relationships.find(describes).map(|relationship| relationship.related_spdx_element)
    });
    let root = packages.iter().find(|package| described.as_ref() == Some(&package.id));
    let subject = root.map_or(Subject { name: document.name, digest: None }, subject_of);
    let mut listing = Listing::default();
    for package in &packages {
        if package.primary_package_purpose.as_deref() == Some("OPERATING-SYSTEM") {
            listing.os.get_or_insert(OsRelease {
                id: package.name.to_ascii_lowercase(),
                version: package.version_info.clone().unwrap_or_default(),
                ..OsRelease::default()
            });
        } else if let Some(purl) = package.purl() {
            let details = Details {
                path: package.path().to_owned(),
                licences: package.licences(),
                source: package.source(),
                layer: package.note(LAYER).and_then(|layer| layer.parse().ok()),
                files: Vec::new(),
            };
            listing.add(purl, &package.name, details);
        }
    }
    Ok(listing.into_document(SbomFormat::Spdx, Some(subject)))
}

fn subject_of(package: &Package) -> Subject {
    let purl = package.purl().and_then(|purl| purl.parse::<Purl>().ok());
    let of_purl = purl.filter(|purl| purl.kind == "oci").and_then(|purl| digest_in(purl.version.as_deref()?));
    let digest = of_purl.or_else(|| digest_in(package.version_info.as_deref()?)).or_else(|| digest_in(&package.name));
    Subject { name: package.name.clone(), digest }
}
