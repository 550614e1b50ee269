//! What the formats have in common: components by package URL.

use std::collections::BTreeSet;

use stella_domain::Digest;

use crate::identity::{distribution_of, ecosystem_of, module_of, package_of, with_distribution};
use crate::purl::Purl;
use crate::{Component, Inventory, OsRelease, Package, Problem, Provenance, SourcePackage};

use super::{SbomDocument, SbomFormat, Subject};

/// What a document says of a component besides its package URL.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) path: String,
    pub(super) licences: Vec<String>,
    pub(super) source: Option<SourcePackage>,
    pub(super) layer: Option<Digest>,
    pub(super) files: Vec<String>,
}

/// The components of a document as they are met.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) os: Option<OsRelease>,
    pub(super) layers: Vec<Digest>,
    pub(super) problems: Vec<Problem>,
    found: Vec<(Purl, Package, Option<Digest>)>,
}

impl Listing {
    /// Takes a component. Types of packages that nobody publishes advisories for are passed over.
    pub(super) fn add(&mut self, purl: &str, name: &str, details: Details) {
        let purl: Purl = match purl.parse() {
            Ok(purl) => purl,
            Err(error) => return self.problem(name, error.to_string()),
        };
        if let Some(package) = package_of(&purl) {
            let mut source = details.source.or_else(|| package.source.clone());
            if let Some(source) = &mut source {
                source.module = source.module.take().or_else(|| module_of(&purl));
            }
            let Details { path, licences, layer, files, .. } = details;
            self.found.push((purl, Package { path: relative(&path), licences, source, files, ..package }, layer));
        }
    }

    pub(super) fn problem(&mut self, path: &str, message: String) {
        self.problems.push(Problem { path: path.to_owned(), message });
    }

    /// Packages of one layer, as the document gives them.
    pub(super) fn packages_of(&self, layer: Digest) -> Vec<Package> {
        let mut packages: Vec<Package> =
            self.found.iter().filter(|(_, _, at)| *at == Some(layer)).map(|(_, package, _)| package.clone()).collect();
        packages.sort_unstable();
        packages
    }

    /// Layers that components name.
    pub(super) fn layers_named(&self) -> BTreeSet<Digest> {
        self.found.iter().filter_map(|(_, _, layer)| *layer).collect()
    }

    /// The flat reading of the document.
    pub(super) fn into_document(self, format: SbomFormat, subject: Option<Subject>) -> SbomDocument {
        let told = self.os;
        // A URL without a release tells the ecosystem, but not enough to call it the distribution of the image.
        let released = |purl: &Purl| distribution_of(purl).filter(|os| !os.version.is_empty());
        let os = told.clone().or_else(|| self.found.iter().find_map(|(purl, _, _)| released(purl)));
        let mut components: Vec<Component> = self
            .found
            .into_iter()
            .map(|(purl, package, layer)| {
                let own = || released(&purl).or_else(|| os.clone()).or_else(|| distribution_of(&purl));
                let distribution = told.clone().or_else(own).filter(|_| package.kind.is_os());
                let complete = distribution.as_ref().filter(|os| told.is_some() || !os.version.is_empty());
                Component {
                    ecosystem: ecosystem_of(package.kind, distribution.as_ref()),
                    purl: with_distribution(purl.clone(), complete).to_string(),
                    package,
                    layer,
                }
            })
            .collect();
        crate::fold::sort_components(&mut components);
        let mut problems = self.problems;
        problems.sort_unstable();
        problems.dedup();
        let inventory = Inventory { provenance: Provenance::Sbom, os, layers: self.layers, components, problems };
        SbomDocument { format, inventory, subject, layered: false, layers: Vec::new() }
    }
}

/// Paths are relative to the root here, whatever the document's custom.
fn relative(path: &str) -> String {
    crate::archive::join("", path)
}

/// The digest in `name@sha256:...`, or in `sha256:...` alone.
pub(super) fn digest_in(text: &str) -> Option<Digest> {
    text.rsplit_once('@').map_or(text, |(_, digest)| digest).parse().ok()
}

/// Joins what some documents keep apart: `[epoch:]version[-release]`.
pub(super) fn joined_version(epoch: &str, version: &str, release: &str) -> String {
    let epoch = if epoch.is_empty() || epoch == "0" { String::new() } else { format!("{epoch}:") };
    let release = if release.is_empty() { String::new() } else { format!("-{release}") };
    format!("{epoch}{version}{release}")
}
