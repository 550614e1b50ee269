//! Java archives: what lies in them, archives in archives, and the artifacts that they name.
//!
//! ```text
//!   pom.properties (several when shaded) ─► one package each, licences from the pom.xml beside
//!   none that is the archive's own ──────► file name and manifest
//!   neither names it ────────────────────► the archive itself with its SHA-1, by which tables of artifacts know it, and a
//!                                          problem that says so; also a WAR or a shaded JAR of others' artifacts
//! ```

use std::collections::BTreeMap;

use sha1::{Digest as _, Sha1};

use super::identity::of_manifest;
use super::manifest::Manifest;
use super::project::{Coordinates, Project, properties};
use super::zip::{ZipEntry, entries};
use crate::cataloger::unpacking::Allowance;
use crate::cataloger::{Findings, ParseError, SourceFile};
use crate::{Limits, Package, PackageKind};

/// Endings of the names of Java archives, and of the plugins that are such.
const ENDINGS: [&str; 7] = [".jar", ".war", ".ear", ".sar", ".par", ".hpi", ".jpi"];
const MANIFEST: &str = "META-INF/MANIFEST.MF";
/// What is said of an archive of which no more is known; its SHA-1 follows.
pub(crate) const UNNAMED: &str = "it does not tell its Maven coordinates; its SHA-1 is";

/// Whether the name of a file is that of a Java archive.
pub(in crate::cataloger) fn is_archive(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    stem_of(name).is_some_and(|stem| !stem.is_empty())
}

fn stem_of(name: &str) -> Option<&str> {
    let (stem, ending) = name.split_at_checked(name.len().checked_sub(4)?)?;
    ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)).then_some(stem)
}

/// Bytes that may be unpacked at once while an archive is read, at most. What archives in it unpack to is not known before
/// they are unpacked: they may need all that is allowed.
pub(in crate::cataloger) fn unpacked_bytes(archive: &[u8], limits: &Limits) -> u64 {
    let Ok(listed) = entries(archive, &mut Allowance::within(limits)) else { return 0 };
    let needed = listed.iter().map(|entry| {
        let name = entry.name();
        if is_archive(&name) {
            limits.max_archive_bytes
        } else if name == MANIFEST || maven_file(&name).is_some() {
            // As bytes, as text, and what is understood of it.
            entry.size().saturating_mul(3)
        } else {
            0
        }
    });
    needed.fold(0, u64::saturating_add).min(limits.max_archive_bytes)
}

/// Reads an archive and all that lie in it.
pub(super) fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let limits = findings.limits;
    let mut walk = Walk { outer: file.path, left: Allowance::within(&limits), limits, findings };
    walk.archive(file.path, file.bytes, 0).map_err(ParseError)
}

struct Walk<'f> {
    outer: &'f str,
    left: Allowance,
    limits: Limits,
    findings: &'f mut Findings,
}

impl Walk<'_> {
    fn archive(&mut self, path: &str, bytes: &[u8], depth: usize) -> Result<(), String> {
        let listed = entries(bytes, &mut self.left).map_err(|error| error.to_string())?;
        let mut found = Found::default();
        for entry in &listed {
            let name = entry.name();
            if is_archive(&name) {
                self.inner(path, bytes, entry, depth);
            } else if name == MANIFEST {
                found.manifest = self.text(path, bytes, entry).map(|text| Manifest::parse(&text));
            } else if let Some((folder, file)) = maven_file(&name) {
                let Some(text) = self.text(path, bytes, entry) else { continue };
                let described = found.described.entry(folder.to_owned()).or_default();
                if file == "pom.properties" {
                    described.properties = Some(properties(&text));
                } else {
                    match Project::parse(&text, self.limits.max_xml_depth) {
                        Ok(project) => described.project = Some(project),
                        Err(error) => self.problem(path, &format!("{name}: {error}")),
                    }
                }
            }
        }
        self.identify(path, bytes, &found);
        Ok(())
    }

    fn inner(&mut self, path: &str, bytes: &[u8], entry: &ZipEntry<'_>, depth: usize) {
        let name = entry.name();
        let within = format!("{path}/{}", name.trim_start_matches('/'));
        if name.split('/').any(|part| part == "..") || within.len() > 4 * 4096 {
            return self.problem(path, &format!("the entry '{name}' leads out of the archive or is named too long"));
        }
        let most = self.limits.max_archive_depth;
        if depth + 1 >= most {
            return self.problem(&within, &format!("more than {most} archives in each other"));
        }
        let result = match entry.read(bytes, &mut self.left) {
            Ok(content) => self.archive(&within, &content, depth + 1),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = result {
            self.problem(&within, &reason);
        }
    }

    fn text(&mut self, path: &str, bytes: &[u8], entry: &ZipEntry<'_>) -> Option<String> {
        match entry.read(bytes, &mut self.left) {
            Ok(content) => Some(String::from_utf8_lossy(&content).into_owned()),
            Err(error) => {
                self.problem(path, &error.to_string());
                None
            }
        }
    }

    fn problem(&mut self, path: &str, reason: &str) {
        let within = path.strip_prefix(self.outer).unwrap_or(path).trim_start_matches('/');
        let message = if within.is_empty() { reason.to_owned() } else { format!("{within}: {reason}") };
        self.findings.problem(message);
    }

    fn identify(&mut self, path: &str, bytes: &[u8], found: &Found) {
        let stem = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let stem = stem_of(stem).unwrap_or(stem);
        let mut is_named = false;
        for (folder, described) in &found.described {
            let Some((coordinates, file)) = described.coordinates() else { continue };
            let licences = described.project.as_ref().map_or_else(Vec::new, |project| project.licences.clone());
            is_named |= found.described.len() == 1 || is_own(stem, &coordinates);
            self.package(&coordinates, licences, format!("{path}/{folder}/{file}"));
        }
        if is_named {
            return;
        }
        let nothing = Manifest::default();
        let manifest = found.manifest.as_ref().unwrap_or(&nothing);
        let coordinates = of_manifest(stem, manifest);
        if coordinates.is_complete() {
            let licences = manifest.get("bundle-license").map(str::to_owned).into_iter().collect();
            self.package(&coordinates, licences, format!("{path}/{MANIFEST}"));
        } else {
            self.unnamed(path, bytes);
        }
    }

    /// Neither what others left in it nor a file name without a version tells what an archive is: it may be published
    /// under coordinates that only a table of checksums knows.
    fn unnamed(&mut self, path: &str, bytes: &[u8]) {
        let sha1 = hex::encode(Sha1::digest(bytes));
        self.problem(path, &format!("{UNNAMED} {sha1}"));
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        self.findings.add(Package {
            files: vec![self.outer.to_owned()],
            sha1: Some(sha1),
            ..Package::new(PackageKind::Generic, name, "", path)
        });
    }

    fn package(&mut self, coordinates: &Coordinates, licences: Vec<String>, path: String) {
        self.findings.add(Package {
            licences,
            files: vec![self.outer.to_owned()],
            ..Package::new(PackageKind::Maven, coordinates.name(), coordinates.version.clone(), path)
        });
    }
}

/// What an archive says of itself and of what was packed into it.
#[derive(Default)]
struct Found {
    manifest: Option<Manifest>,
    described: BTreeMap<String, Described>,
}

/// The files in one folder of `META-INF/maven`.
#[derive(Default)]
struct Described {
    properties: Option<Coordinates>,
    project: Option<Project>,
}

impl Described {
    /// By `pom.properties`; what that leaves open or lacks, by `pom.xml`.
    fn coordinates(&self) -> Option<(Coordinates, &'static str)> {
        let complete = |coordinates: &Coordinates| coordinates.is_complete().then(|| coordinates.clone());
        if let Some(own) = self.properties.as_ref().and_then(complete) {
            return Some((own, "pom.properties"));
        }
        Some((self.project.as_ref().and_then(|project| complete(&project.own))?, "pom.xml"))
    }
}

/// The folder and the file of `META-INF/maven/GROUP/ARTIFACT/pom.properties` and `pom.xml`.
fn maven_file(name: &str) -> Option<(&str, &str)> {
    let (folder, file) = name.rsplit_once('/')?;
    let below = folder.strip_prefix("META-INF/maven/")?;
    (below.split('/').count() == 2 && matches!(file, "pom.properties" | "pom.xml")).then_some((folder, file))
}

/// Whether an archive of this name is the artifact itself and not one that contains it.
fn is_own(stem: &str, coordinates: &Coordinates) -> bool {
    let rest = stem.strip_prefix(coordinates.artifact.as_str());
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|v| v.starts_with(&coordinates.version))
    })
}
