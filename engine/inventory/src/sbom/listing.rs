//! What the formats have in common: components by package URL.

use std::collections::BTreeSet;
use std::sync::Arc;

use stella_domain::Digest;

use crate::identity::{distribution_of, ecosystem_of, module_of, package_of, with_distribution};
use crate::purl::Purl;
use crate::{Component, Inventory, OsRelease, Package, Problem, Provenance, SourcePackage};

use super::graph::{Checksum, Checksums, MAX_REFERENCE, References, RelationKind};
use super::json::cut;
use super::{SbomDocument, SbomFormat, Subject};

/// Longest package URL that is taken, in bytes.
const MAX_PURL: usize = 4096;
/// Longest name and version of a distribution together, in bytes: each of its packages repeats them.
const MAX_DISTRIBUTION: usize = 512;

/// What a document says of a component besides its package URL.
#[derive(Debug, Default)]
pub(super) struct Details {
    /// The name that other parts of the document call it by; empty where it has none.
    pub(super) reference: String,
    pub(super) path: String,
    pub(super) licences: Vec<String>,
    pub(super) source: Option<SourcePackage>,
    pub(super) layer: Option<Digest>,
    pub(super) files: Vec<String>,
    pub(super) linked: bool,
    pub(super) checksums: Vec<Checksum>,
}

#[derive(Debug)]
struct Found {
    purl: Purl,
    package: Package,
    layer: Option<Digest>,
    checksums: Vec<Checksum>,
}

/// The components of a document as they are met.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) os: Option<OsRelease>,
    pub(super) layers: Vec<Digest>,
    pub(super) problems: Vec<Problem>,
    references: References,
    found: Vec<Found>,
}

impl Listing {
    /// Takes a component. Types of packages that nobody publishes advisories for are passed over.
    pub(super) fn add(&mut self, purl: &str, name: &str, details: Details) {
        if purl.len() > MAX_PURL {
            return self.oddity(name, format!("a package URL of more than {MAX_PURL} bytes"));
        }
        let purl: Purl = match purl.parse() {
            Ok(purl) => purl,
            Err(error) => return self.oddity(name, error.to_string()),
        };
        let Details { reference, path, licences, source, layer, files, linked, checksums } = details;
        let package = package_of(&purl);
        self.define(&reference, name, package.as_ref().map(|_| self.found.len()));
        if let Some(package) = package {
            let mut source = source.or_else(|| package.source.clone());
            if let Some(source) = &mut source {
                source.module = source.module.take().or_else(|| module_of(&purl));
            }
            let package = Package { path: relative(&path), licences, source, files, linked, ..package };
            self.found.push(Found { purl, package, layer, checksums });
        }
    }

    /// Takes the reference of something that is no package.
    pub(super) fn pass(&mut self, reference: &str, name: &str) {
        self.define(reference, name, None);
    }

    fn define(&mut self, reference: &str, name: &str, index: Option<usize>) {
        if reference.len() > MAX_REFERENCE {
            self.oddity(name, format!("a reference of more than {MAX_REFERENCE} bytes"));
        } else if !self.references.define(reference, index) {
            self.oddity(name, format!("the reference '{}' is given more than once", cut(reference)));
        }
    }

    /// Takes what the document says of the operating system, the first time.
    pub(super) fn distribution(&mut self, os: OsRelease) {
        if os.id.len() + os.version.len() > MAX_DISTRIBUTION {
            return self.oddity(&os.id, format!("a distribution of more than {MAX_DISTRIBUTION} bytes"));
        }
        self.os.get_or_insert(os);
    }

    /// Records what is odd about the component of this name.
    pub(super) fn oddity(&mut self, name: &str, message: String) {
        self.problem(&cut(name), message);
    }

    pub(super) fn problem(&mut self, path: &str, message: String) {
        self.problems.push(Problem { path: path.to_owned(), message });
    }

    /// Says which reference means the document's subject.
    pub(super) fn subject(&mut self, reference: &str) {
        self.references.set_subject(reference);
    }

    pub(super) fn relate(&mut self, from: &str, kind: RelationKind, to: &str) {
        self.references.relate(from, kind, to);
    }

    /// Packages of one layer, as the document gives them.
    pub(super) fn packages_of(&self, layer: Digest) -> Vec<Package> {
        let of_layer = self.found.iter().filter(|found| found.layer == Some(layer));
        let mut packages: Vec<Package> = of_layer.map(|found| found.package.clone()).collect();
        packages.sort_unstable();
        packages
    }

    /// Layers that components name.
    pub(super) fn layers_named(&self) -> BTreeSet<Digest> {
        self.found.iter().filter_map(|found| found.layer).collect()
    }

    /// The first component that names no layer.
    pub(super) fn without_layer(&self) -> Option<&Purl> {
        self.found.iter().find(|found| found.layer.is_none()).map(|found| &found.purl)
    }

    /// The flat reading of the document.
    pub(super) fn into_document(self, format: SbomFormat, subject: Option<Subject>) -> SbomDocument {
        let told = self.os;
        // A URL without a release tells the ecosystem, but not enough to call it the distribution of the image.
        let distribution_of =
            |purl: &Purl| distribution_of(purl).filter(|os| os.id.len() + os.version.len() <= MAX_DISTRIBUTION);
        let released = |purl: &Purl| distribution_of(purl).filter(|os| !os.version.is_empty());
        let os = told.clone().or_else(|| self.found.iter().find_map(|found| released(&found.purl)));
        let mut checksums = Checksums::new();
        let mut components: Vec<Component> = Vec::with_capacity(self.found.len());
        for Found { purl, package, layer, checksums: own } in self.found {
            let distribution = || released(&purl).or_else(|| os.clone()).or_else(|| distribution_of(&purl));
            let distribution = told.clone().or_else(distribution).filter(|_| package.kind.is_os());
            let complete = distribution.as_ref().filter(|os| told.is_some() || !os.version.is_empty());
            let ecosystem = ecosystem_of(package.kind, distribution.as_ref());
            let purl = with_distribution(purl, complete).to_string();
            if !own.is_empty() {
                checksums.entry(purl.clone()).or_default().extend(own);
            }
            components.push(Component { package, purl, ecosystem, layer });
        }
        let purls: Vec<Arc<str>> = components.iter().map(|component| component.purl.as_str().into()).collect();
        let relations = self.references.resolve(&purls);
        crate::fold::sort_components(&mut components);
        let mut problems = self.problems;
        problems.sort_unstable();
        problems.dedup();
        let inventory = Inventory { provenance: Provenance::Sbom, os, layers: self.layers, components, problems };
        SbomDocument { format, inventory, subject, layered: false, layers: Vec::new(), relations, checksums }
    }
}

/// Paths are relative to the root here, whatever the document's custom.
fn relative(path: &str) -> String {
    crate::archive::join("", path)
}

/// Items in the order in which they are written.
pub(super) fn sorted<T: Ord>(items: &[T]) -> Vec<&T> {
    let mut items: Vec<&T> = items.iter().collect();
    items.sort_unstable();
    items
}

/// Components in the order in which they are written.
pub(super) fn sorted_components(inventory: &Inventory) -> Vec<&Component> {
    let mut components: Vec<&Component> = inventory.components.iter().collect();
    components.sort_by(|a, b| {
        let key = |c: &Component| (c.layer, c.package.arch.clone());
        (&a.purl, &a.package.path)
            .cmp(&(&b.purl, &b.package.path))
            .then_with(|| key(a).cmp(&key(b)))
            .then_with(|| a.package.cmp(&b.package))
    });
    components
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
