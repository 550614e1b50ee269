//! Reading Trivy's JSON report, schema version 2, as `trivy image --format json --list-all-pkgs` writes it.

use std::collections::HashSet;

use serde::Deserialize;
use stella_domain::Digest;

use crate::limits::Limits;
use crate::purl::Purl;
use crate::{OsRelease, SourcePackage};

use super::graph::RelationKind;
use super::listing::{Details, Listing, digest_in, joined_version};
use super::{Extent, SbomDocument, SbomError, SbomFormat, Subject, json};

/// Longest name of a result that stands for the path of its packages, in bytes.
const MAX_TARGET: usize = 512;
/// What is said of a result without a list of packages, as Trivy wrote it unless it was asked for one.
const NOT_LISTED: &str =
    "the report lists no packages here, so that only those with vulnerabilities are known ('trivy --list-all-pkgs')";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    schema_version: Option<u64>,
    #[serde(default)]
    artifact_name: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    results: Option<Vec<Outcome>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default, rename = "OS")]
    os: Option<Os>,
    #[serde(default, rename = "ImageID")]
    image_id: String,
    #[serde(default, rename = "DiffIDs")]
    diff_ids: Option<Vec<String>>,
    #[serde(default, rename = "RepoDigests")]
    repo_digests: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Os {
    #[serde(default)]
    family: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    #[serde(default)]
    target: String,
    #[serde(default)]
    class: String,
    #[serde(default, rename = "Type")]
    kind: String,
    #[serde(default)]
    packages: Option<Vec<Package>>,
    #[serde(default)]
    vulnerabilities: Option<Vec<Vulnerability>>,
}

/// A vulnerability, as much of it as names a package: all that there is of that where the packages are not listed.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Vulnerability {
    #[serde(rename = "PkgID")]
    pkg_id: String,
    pkg_name: String,
    pkg_path: String,
    pkg_identifier: Identifier,
    installed_version: String,
    layer: Layer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Package {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    version: String,
    release: String,
    epoch: u64,
    arch: String,
    src_name: String,
    src_version: String,
    src_release: String,
    src_epoch: u64,
    #[serde(rename = "Modularitylabel")]
    module: String,
    licenses: Option<Vec<String>>,
    layer: Layer,
    file_path: String,
    installed_files: Option<Vec<String>>,
    identifier: Identifier,
    dev: bool,
    depends_on: Option<Vec<String>>,
    digest: String,
}

#[derive(Default, Deserialize)]
struct Layer {
    #[serde(default, rename = "DiffID")]
    diff_id: String,
}

#[derive(Default, Deserialize)]
struct Identifier {
    #[serde(default, rename = "PURL")]
    purl: String,
}

pub(super) fn parse(text: &str, limits: &Limits, extent: Extent) -> Result<SbomDocument, SbomError> {
    let report: Report = json::read(SbomFormat::Trivy, text)?;
    match report.schema_version {
        Some(2) => {}
        Some(other) => return Err(SbomError::Version { format: SbomFormat::Trivy.name(), version: other.to_string() }),
        None => return Err(SbomError::NotAnSbom { found: "it has no SchemaVersion".into() }),
    }
    let mut listing = Listing::new(extent);
    let diff_ids = report.metadata.diff_ids.unwrap_or_default();
    if diff_ids.len() > limits.max_layers {
        return Err(SbomError::Limit { what: "layers", max: limits.max_layers });
    }
    for layer in &diff_ids {
        listing.layers.push(diff_id("Metadata.DiffIDs", layer)?);
    }
    if let Some(os) = report.metadata.os {
        listing.distribution(OsRelease { id: os_id(&os.family), version: os.name, ..OsRelease::default() });
    }
    for (index, outcome) in report.results.into_iter().flatten().enumerate() {
        // Every package of the result repeats it.
        let target = if outcome.target.len() > MAX_TARGET { "" } else { &outcome.target };
        let place = Place { index, target, class: &outcome.class, kind: &outcome.kind };
        let packages = match outcome.packages {
            Some(packages) => packages,
            None if matches!(outcome.class.as_str(), "os-pkgs" | "lang-pkgs") => {
                listing.problem(target, NOT_LISTED.to_owned());
                affected(outcome.vulnerabilities.unwrap_or_default())
            }
            None => Vec::new(),
        };
        for package in packages.into_iter().filter(|package| !package.dev) {
            take(package, &place, &mut listing)?;
        }
    }
    let digest = report.metadata.repo_digests.iter().flatten().find_map(|digest| digest_in(digest));
    let digest = digest.or_else(|| digest_in(&report.metadata.image_id));
    Ok(listing.into_document(SbomFormat::Trivy, Some(Subject { name: report.artifact_name, digest })))
}

/// The packages that vulnerabilities name, each once.
fn affected(vulnerabilities: Vec<Vulnerability>) -> Vec<Package> {
    let mut seen = HashSet::new();
    let packages = vulnerabilities.into_iter().map(|vulnerability| Package {
        id: vulnerability.pkg_id,
        name: vulnerability.pkg_name,
        version: vulnerability.installed_version,
        file_path: vulnerability.pkg_path,
        identifier: vulnerability.pkg_identifier,
        layer: vulnerability.layer,
        ..Package::default()
    });
    let key = |package: &Package| {
        let Package { name, version, file_path, identifier, layer, .. } = package;
        [name, version, file_path, &identifier.purl, &layer.diff_id].map(Clone::clone)
    };
    packages.filter(|package| !package.name.is_empty() && seen.insert(key(package))).collect()
}

/// The result that packages stand in. Their ids are its own: two results may use the same.
struct Place<'r> {
    index: usize,
    target: &'r str,
    class: &'r str,
    kind: &'r str,
}

impl Place<'_> {
    fn reference(&self, id: &str) -> String {
        if id.is_empty() { String::new() } else { format!("Results[{}] {id}", self.index) }
    }
}

fn take(package: Package, place: &Place<'_>, listing: &mut Listing<'_>) -> Result<(), SbomError> {
    let Place { target, class, kind, .. } = *place;
    let layer = Some(package.layer.diff_id.as_str()).filter(|layer| !layer.is_empty());
    let layer = layer.map(|layer| diff_id(&format!("package {}", json::cut(&package.name)), layer)).transpose()?;
    let source = (!package.src_name.is_empty()).then(|| {
        let version = joined_version(&package.src_epoch.to_string(), &package.src_version, &package.src_release);
        let module = Some(package.module.clone()).filter(|module| !module.is_empty());
        SourcePackage { module, ..SourcePackage::new(&package.src_name, version) }
    });
    let is_os = class == "os-pkgs";
    let path = match package.file_path.as_str() {
        "" if is_os => "",
        "" => target,
        path => path,
    };
    let purl = match package.identifier.purl.as_str() {
        "" => match built_purl(&package, kind, listing.os.as_ref()) {
            Some(purl) => purl,
            None => return Ok(()),
        },
        purl => purl.to_owned(),
    };
    let reference = place.reference(&package.id);
    if let Some(needed) = package.depends_on.as_ref().filter(|_| !reference.is_empty()) {
        let from = listing.reference(reference.clone());
        for needed in needed {
            let needed = listing.reference(place.reference(needed));
            listing.relate(from, RelationKind::DependsOn, needed);
        }
    }
    let checksums = listing.checksums(&package.name, package.digest.split_once(':').into_iter());
    let details = Details {
        reference: reference.into(),
        checksums,
        path: path.to_owned().into(),
        licences: package.licenses.unwrap_or_default(),
        source: source.filter(|_| is_os),
        layer,
        files: package.installed_files.unwrap_or_default().iter().map(|path| crate::archive::join("", path)).collect(),
        linked: false,
    };
    listing.add(&purl, &package.name, details);
    Ok(())
}

/// Reports of before Trivy 0.50 carry no package URLs.
fn built_purl(package: &Package, kind: &str, os: Option<&OsRelease>) -> Option<String> {
    let purl_type = match kind {
        "npm" | "node-pkg" | "yarn" | "pnpm" | "bun" => "npm",
        "pip" | "pipenv" | "poetry" | "uv" | "python-pkg" | "conda-pkg" => "pypi",
        "gobinary" | "gomod" => "golang",
        "jar" | "pom" | "gradle" | "sbt" => "maven",
        "bundler" | "gemspec" => "gem",
        "cargo" | "rustbinary" => "cargo",
        "composer" | "composer-vendor" => "composer",
        "nuget" | "dotnet-core" | "packages-props" => "nuget",
        "swift" => "swift",
        "pub" => "pub",
        "hex" => "hex",
        "conan" => "conan",
        "debian" | "ubuntu" => "deb",
        "alpine" | "wolfi" | "chainguard" => "apk",
        _ if os.is_some_and(|os| os_id(kind) == os.id) => "rpm",
        _ => return None,
    };
    let separator = if purl_type == "maven" { ':' } else { '/' };
    let named = package.name.rsplit_once(separator).map_or((None, &*package.name), |(group, name)| (Some(group), name));
    if !matches!(purl_type, "deb" | "apk" | "rpm") {
        return Purl::new(purl_type, named.0, named.1, Some(&package.version)).ok().map(|purl| purl.to_string());
    }
    let version = joined_version(&package.epoch.to_string(), &package.version, &package.release);
    let purl = Purl::new(purl_type, os.map(|os| os.id.as_str()), &package.name, Some(&version)).ok()?;
    purl.with("arch", &package.arch).ok().map(|purl| purl.to_string())
}

fn os_id(family: &str) -> String {
    match family {
        "redhat" => "rhel",
        "amazon" => "amzn",
        "oracle" => "ol",
        "alma" => "almalinux",
        "suse linux enterprise server" => "sles",
        "opensuse.leap" | "opensuse-leap" => "opensuse-leap",
        "opensuse.tumbleweed" => "opensuse-tumbleweed",
        "cbl-mariner" => "mariner",
        other => return other.to_ascii_lowercase(),
    }
    .to_owned()
}

fn diff_id(place: &str, layer: &str) -> Result<Digest, SbomError> {
    layer.parse().map_err(|_| SbomError::Layer {
        place: place.to_owned(),
        layer: layer.chars().take(100).collect(),
        reason: "it is not a digest",
    })
}
