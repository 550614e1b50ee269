//! What an inventory is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stella_domain::{Digest, Hasher};

use crate::path_set::PathSet;

/// The family a package belongs to; decides its purl type, its advisories and the order of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// A Debian package (`pkg:deb`).
    Deb,
    /// An Alpine package (`pkg:apk`).
    Apk,
    /// An RPM package (`pkg:rpm`).
    Rpm,
    /// A Python distribution (`pkg:pypi`).
    Pypi,
    /// A Node package (`pkg:npm`).
    Npm,
    /// A Go module (`pkg:golang`).
    Golang,
    /// A Rust crate (`pkg:cargo`).
    Cargo,
    /// A Ruby gem (`pkg:gem`).
    Gem,
    /// A PHP package (`pkg:composer`).
    Composer,
    /// A Maven artifact (`pkg:maven`).
    Maven,
    /// A .NET package (`pkg:nuget`).
    Nuget,
    /// A package of a Conda environment (`pkg:conda`).
    Conda,
    /// A program of no ecosystem, such as an interpreter that was copied into an image (`pkg:generic`).
    Generic,
    /// A Swift package (`pkg:swift`).
    Swift,
    /// A Dart package (`pkg:pub`).
    Pub,
    /// An Erlang or Elixir package (`pkg:hex`).
    Hex,
    /// A C or C++ package of Conan (`pkg:conan`).
    Conan,
    /// An R package (`pkg:cran`).
    Cran,
    /// A Haskell package (`pkg:hackage`).
    Hackage,
}

impl PackageKind {
    /// Every family.
    pub const ALL: [Self; 19] = [
        Self::Deb,
        Self::Apk,
        Self::Rpm,
        Self::Pypi,
        Self::Npm,
        Self::Golang,
        Self::Cargo,
        Self::Gem,
        Self::Composer,
        Self::Maven,
        Self::Nuget,
        Self::Conda,
        Self::Generic,
        Self::Swift,
        Self::Pub,
        Self::Hex,
        Self::Conan,
        Self::Cran,
        Self::Hackage,
    ];

    /// The type in a package URL.
    #[must_use]
    pub const fn purl_type(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Golang => "golang",
            Self::Cargo => "cargo",
            Self::Gem => "gem",
            Self::Composer => "composer",
            Self::Maven => "maven",
            Self::Nuget => "nuget",
            Self::Conda => "conda",
            Self::Generic => "generic",
            Self::Swift => "swift",
            Self::Pub => "pub",
            Self::Hex => "hex",
            Self::Conan => "conan",
            Self::Cran => "cran",
            Self::Hackage => "hackage",
        }
    }

    /// Whether the operating system's package database lists it.
    #[must_use]
    pub const fn is_os(self) -> bool {
        matches!(self, Self::Deb | Self::Apk | Self::Rpm)
    }
}

/// The source package a binary package was built from; what distributions publish advisories for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Name of the source package.
    pub name: String,
    /// Version of the source package (a binNMU suffix is no part of it).
    pub version: String,
    /// The module it was built in, as RPM labels it: `name:stream:version:context`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

impl SourcePackage {
    /// One that belongs to no module.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), module: None }
    }
}

/// One package as one place of a layer declares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// The family.
    pub kind: PackageKind,
    /// Name as the ecosystem compares it (PyPI: PEP 503 normalised; Maven: `group:artifact`; npm: with `@scope/`;
    /// Swift: `host/owner/repository`).
    pub name: String,
    /// Version as found.
    pub version: String,
    /// Architecture, where the database names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Source package, for packages of an operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePackage>,
    /// The file that declares it, relative to the root, without leading slash. Within an archive the path goes on
    /// below the archive's own: `srv/app.war/WEB-INF/lib/a-1.0.jar/META-INF/MANIFEST.MF`.
    pub path: String,
    /// Licences as declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licences: Vec<String>,
    /// The files it installed, relative to the root as the image's own links resolve them, sorted. An entry
    /// that ends in `/` stands for everything below that folder but the folders of other packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Whether it was linked into the executable that is its only file, as a part of a program that is another package's:
    /// the dependencies of a Go or Rust program, but not the program's own module or crate. Inventories that were kept
    /// before this was told have it nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub linked: bool,
    /// SHA-1 in hexadecimal of a Java archive that does not tell what it is. Tables of what was published know archives by it
    /// ([`Inventory::name_archives`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
}

impl Package {
    /// One of which no more is known than its name, its version and the file that declares it.
    #[must_use]
    pub fn new(
        kind: PackageKind,
        name: impl Into<String>,
        version: impl Into<String>,
        path: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            version: version.into(),
            arch: None,
            source: None,
            path: path.into(),
            licences: Vec::new(),
            files: Vec::new(),
            linked: false,
            sha1: None,
        }
    }

    /// Bytes of memory it takes, near enough for a limit.
    pub(crate) fn held_bytes(&self) -> u64 {
        let text = |text: &String| text.len() + size_of::<String>();
        let source = self
            .source
            .iter()
            .map(|source| source.name.len() + source.version.len() + source.module.as_ref().map_or(0, String::len));
        let own = size_of::<Self>() + self.name.len() + self.version.len() + self.path.len();
        let lists = self.licences.iter().chain(&self.files).map(text);
        let options = [&self.arch, &self.sha1].into_iter().flatten().map(String::len).sum::<usize>();
        (own + options + source.chain(lists).sum::<usize>()) as u64
    }
}

/// The distribution, from `os-release`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OsRelease {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12` or `3.18.4`; empty on rolling releases.
    pub version: String,
    /// `ID_LIKE`, split at white space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub like: Vec<String>,
    /// `PRETTY_NAME`.
    #[serde(default)]
    pub name: String,
}

/// What one layer adds and takes away. Kept by its diffID, so the diffID must have been verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInventory {
    /// SHA-256 of the uncompressed layer.
    pub diff_id: Digest,
    /// Packages this layer declares, sorted.
    pub packages: Vec<Package>,
    /// `os-release`, when this layer brings one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsRelease>,
    /// Paths this layer removes from those below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whiteouts: Vec<String>,
    /// Directories whose lower content this layer hides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<String>,
    /// Files and links of this layer that replace a file of a lower layer which may have declared packages:
    /// package databases, metadata files, and anything that turned into something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// Symbolic links that may lead to directories: path to target, both relative to the root.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// Which of `etc/os-release` and `usr/lib/os-release` `os` was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_path: Option<String>,
    /// Other files of the layer that tell of a distribution. They count where an upper layer takes that of `os` away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lesser_os: BTreeMap<String, OsRelease>,
    /// File lists kept beside a package database (`info/*.list`, `RECORD`): the list's path to the installed
    /// files, relative to the root, one a line. A layer may bring packages without lists and lists without
    /// packages, so they meet only in the fold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub file_lists: BTreeMap<String, String>,
    /// Lists that a fuller one of the same layer stands for (`info/*.md5sums` beside `info/*.list`): the list's path to the files
    /// of the fuller one that it leaves out, one a line. They count where an upper layer takes the fuller one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lesser_lists: BTreeMap<String, String>,
    /// Licences told beside a package database (`usr/share/doc/PACKAGE/copyright`): the path of the file to what it names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub licences: BTreeMap<String, Vec<String>>,
    /// Every path of the layer and whether it is a directory: tells what it replaces below. Empty for a layer
    /// that an SBOM describes; `databases` alone speaks there.
    #[serde(default, skip_serializing_if = "PathSet::is_empty")]
    pub entries: PathSet,
    /// What could not be read, with the place; such a part is missing from `packages`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl LayerInventory {
    /// A layer that brings and removes nothing.
    #[must_use]
    pub fn empty(diff_id: Digest) -> Self {
        Self {
            diff_id,
            packages: Vec::new(),
            os: None,
            whiteouts: Vec::new(),
            opaque: Vec::new(),
            databases: Vec::new(),
            links: BTreeMap::new(),
            os_path: None,
            lesser_os: BTreeMap::new(),
            file_lists: BTreeMap::new(),
            lesser_lists: BTreeMap::new(),
            licences: BTreeMap::new(),
            entries: PathSet::default(),
            problems: Vec::new(),
        }
    }
}

/// A file that looked like something we read and could not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    pub path: String,
    /// What was wrong with it.
    pub message: String,
}

/// Where an inventory comes from, and so how much it can be trusted to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// Folded from verified layers.
    Layers,
    /// Read through the root of a running container, as one flat tree.
    Rootfs,
    /// Declared by an SBOM.
    Sbom,
}

/// One package of an image, with the layer it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// The package.
    pub package: Package,
    /// Its package URL (purl-spec), complete with distribution qualifiers.
    pub purl: String,
    /// Its ecosystem in OSV's spelling, with the release where there is one: `PyPI`, `Debian:12`, `Alpine:v3.18`.
    pub ecosystem: String,
    /// The layer that declares it; absent for a flat inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
}

/// Bytes that the JSON of a component without files has, about.
const JSON_OF_COMPONENT: usize = 512;
/// Bytes of memory that are taken for JSON before it is known how long it gets, at most.
const MOST_EXPECTED: usize = 1 << 20;

/// Everything known of the contents of one image or SBOM. The same input gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsRelease>,
    /// DiffIDs from the base up; empty for a flat inventory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Digest>,
    /// Components sorted by purl, then path.
    pub components: Vec<Component>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl Inventory {
    /// SHA-256 of the canonical bytes: a domain separator and the compact JSON of every field in the order
    /// declared here.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Self::digest_of(&self.to_json())
    }

    /// The compact JSON of every field in the order declared here.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let expected = JSON_OF_COMPONENT.saturating_mul(1 + self.components.len()).min(MOST_EXPECTED);
        let mut json = Vec::with_capacity(expected);
        // Texts, numbers and lists always have a JSON form, and writing to memory does not fail.
        let _ = serde_json::to_writer(&mut json, self);
        json
    }

    /// The [`Self::digest`] of an inventory by its [`Self::to_json`].
    #[must_use]
    pub fn digest_of(json: &[u8]) -> Digest {
        let mut hasher = Hasher::new();
        hasher.field("stella inventory 1");
        hasher.field(json);
        hasher.finish()
    }

    /// Adds what else could not be read; what is told already stays told once.
    pub fn add_problems(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
        self.problems.sort_unstable();
        self.problems.dedup();
    }
}
