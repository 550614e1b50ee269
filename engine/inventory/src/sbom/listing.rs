//! What the formats have in common: components by package URL.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use stella_domain::Digest;

use crate::fold::order;
use crate::identity::{distribution_of, ecosystem_of, module_of, package_of, with_distribution};
use crate::purl::Purl;
use crate::{Component, Inventory, OsRelease, Package, PackageKind, Problem, Provenance, SourcePackage};

use super::graph::{Checksum, Checksums, MAX_REFERENCE, Reference, References, RelationKind};
use super::json::cut;
use super::{Extent, SbomDocument, SbomFormat, Subject};

/// Longest package URL that is taken, in bytes.
const MAX_PURL: usize = 4096;
/// Longest name and version of a distribution together, in bytes: each of its packages repeats them.
const MAX_DISTRIBUTION: usize = 512;

/// What a document says of a component besides its package URL.
#[derive(Debug, Default)]
pub(super) struct Details<'d> {
    /// The name that other parts of the document call it by; empty where it has none.
    pub(super) reference: Cow<'d, str>,
    pub(super) path: Cow<'d, str>,
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
    /// Bytes that the URL has in the document.
    length: usize,
    package: Package,
    layer: Option<Digest>,
    checksums: Vec<Checksum>,
}

/// The components of a document as they are met.
#[derive(Debug)]
pub(super) struct Listing<'d> {
    pub(super) os: Option<OsRelease>,
    pub(super) layers: Vec<Digest>,
    pub(super) problems: Vec<Problem>,
    extent: Extent,
    references: References<'d>,
    found: Vec<Found>,
}

impl<'d> Listing<'d> {
    /// An empty one, which will keep as much as is wanted.
    pub(super) fn new(extent: Extent) -> Self {
        Self {
            os: None,
            layers: Vec::new(),
            problems: Vec::new(),
            extent,
            references: References::default(),
            found: Vec::new(),
        }
    }

    /// Takes a component. Types of packages that nobody publishes advisories for are passed over.
    pub(super) fn add(&mut self, purl: &str, name: &str, details: Details<'d>) {
        if purl.len() > MAX_PURL {
            return self.oddity(name, format!("a package URL of more than {MAX_PURL} bytes"));
        }
        let length = purl.len();
        let purl: Purl = match purl.parse() {
            Ok(purl) => purl,
            Err(error) => return self.oddity(name, error.to_string()),
        };
        let Details { reference, path, licences, source, layer, files, linked, checksums } = details;
        let package = package_of(&purl);
        self.define(reference, name, package.as_ref().map(|_| self.found.len()));
        if let Some(package) = package {
            let mut source = source.or_else(|| package.source.clone());
            if let Some(source) = &mut source {
                source.module = source.module.take().or_else(|| module_of(&purl));
            }
            let package = Package { path: relative(&path), licences, source, files, linked, ..package };
            self.found.push(Found { purl, length, package, layer, checksums });
        }
    }

    /// Takes the reference of something that is no package.
    pub(super) fn pass(&mut self, reference: &'d str, name: &str) {
        self.define(reference.into(), name, None);
    }

    fn define(&mut self, reference: Cow<'d, str>, name: &str, index: Option<usize>) {
        if reference.len() > MAX_REFERENCE {
            return self.oddity(name, format!("a reference of more than {MAX_REFERENCE} bytes"));
        }
        // What is borrowed is copied by its address alone.
        let shown = reference.clone();
        if !self.references.define(reference, index) {
            self.oddity(name, format!("the reference '{}' is given more than once", cut(&shown)));
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
    pub(super) fn subject(&mut self, reference: impl Into<Cow<'d, str>>) {
        self.references.set_subject(reference.into());
    }

    /// A reference that relations may name; `None` where no relations are wanted.
    pub(super) fn reference(&mut self, reference: impl Into<Cow<'d, str>>) -> Option<Reference> {
        match self.extent {
            Extent::Whole => self.references.number(reference.into()),
            Extent::Packages => None,
        }
    }

    pub(super) fn relate(&mut self, from: Option<Reference>, kind: RelationKind, to: Option<Reference>) {
        self.references.relate(from, kind, to);
    }

    /// The checksums of the component of this name, by algorithm and value as the document has them; none where they
    /// are not wanted. What is wrong with one is an oddity in either case.
    pub(super) fn checksums<'h>(
        &mut self,
        name: &str,
        told: impl Iterator<Item = (&'h str, &'h str)>,
    ) -> Vec<Checksum> {
        let mut found = Vec::new();
        for (algorithm, value) in told {
            let read = match self.extent {
                Extent::Whole => Checksum::new(algorithm, value).map(|checksum| found.push(checksum)),
                Extent::Packages => Checksum::check(algorithm, value).map(|_| ()),
            };
            if let Err(reason) = read {
                self.oddity(name, reason.into());
            }
        }
        found
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
        let mut ecosystems = Ecosystems::default();
        let mut components: Vec<Component> = Vec::with_capacity(self.found.len());
        for Found { purl, length, package, layer, checksums: own } in self.found {
            let own_distribution = || {
                let released: Option<Cow<'_, OsRelease>> = released(&purl).map(Cow::Owned);
                let released = released.or_else(|| os.as_ref().map(Cow::Borrowed));
                released.or_else(|| distribution_of(&purl).map(Cow::Owned))
            };
            let distribution: Option<Cow<'_, OsRelease>> = match &told {
                _ if !package.kind.is_os() => None,
                Some(told) => Some(Cow::Borrowed(told)),
                None => own_distribution(),
            };
            let distribution = distribution.as_deref();
            let complete = distribution.filter(|os| told.is_some() || !os.version.is_empty());
            let ecosystem = ecosystems.of(package.kind, distribution);
            let purl = written(&with_distribution(purl, complete), length);
            if !own.is_empty() {
                checksums.entry(purl.clone()).or_default().extend(own);
            }
            components.push(Component { package, purl, ecosystem, layer });
        }
        let relations = match self.extent {
            Extent::Whole => {
                let purls: Vec<Arc<str>> = components.iter().map(|component| component.purl.as_str().into()).collect();
                self.references.resolve(&purls)
            }
            Extent::Packages => Vec::new(),
        };
        crate::fold::sort_components(&mut components);
        let mut problems = self.problems;
        problems.sort_unstable();
        problems.dedup();
        let inventory = Inventory { provenance: Provenance::Sbom, os, layers: self.layers, components, problems };
        SbomDocument { format, inventory, subject, layered: false, layers: Vec::new(), relations, checksums }
    }
}

/// The ecosystem of the package before: those of one distribution follow each other.
#[derive(Default)]
struct Ecosystems(Option<(PackageKind, Option<OsRelease>, String)>);

impl Ecosystems {
    fn of(&mut self, kind: PackageKind, os: Option<&OsRelease>) -> String {
        if let Some((before, of, name)) = &self.0
            && *before == kind
            && of.as_ref() == os
        {
            return name.clone();
        }
        let name = ecosystem_of(kind, os);
        if kind.is_os() {
            self.0 = Some((kind, os.cloned(), name.clone()));
        }
        name
    }
}

/// The text of a URL that had this length before its distribution was told.
fn written(purl: &Purl, length: usize) -> String {
    let mut text = String::with_capacity(length + "?distro=".len() + 16);
    // Writing to a text does not fail.
    let _ = write!(text, "{purl}");
    text
}

/// Paths are relative to the root here, whatever the document's custom.
fn relative(path: &str) -> String {
    if path.is_empty() { String::new() } else { crate::archive::join("", path) }
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
    components.sort_by(|a, b| order(a, b).then_with(|| a.package.cmp(&b.package)));
    components
}

/// The digest in `name@sha256:...`, or in `sha256:...` alone.
pub(super) fn digest_in(text: &str) -> Option<Digest> {
    text.rsplit_once('@').map_or(text, |(_, digest)| digest).parse().ok()
}

/// Joins what some documents keep apart: `[epoch:]version[-release]`.
pub(super) fn joined_version(epoch: &str, version: &str, release: &str) -> String {
    let mut joined = String::with_capacity(epoch.len() + version.len() + release.len() + 2);
    if !epoch.is_empty() && epoch != "0" {
        joined.push_str(epoch);
        joined.push(':');
    }
    joined.push_str(version);
    if !release.is_empty() {
        joined.push('-');
        joined.push_str(release);
    }
    joined
}
