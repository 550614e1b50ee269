//! Java: archives (JAR, WAR, EAR, SAR, PAR, plugins of Jenkins), unpacked ones, Gradle's and Maven's dependencies.

mod archive;
mod identity;
mod lock;
mod manifest;
mod project;
#[cfg(test)]
mod tests;
mod zip;

pub(crate) use archive::UNNAMED;
pub(super) use archive::{is_archive, unpacked_bytes};

use super::{Cataloger, Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// `*.jar` and its kin.
pub(super) const ARCHIVE: Cataloger =
    Cataloger { name: "java", wants: archive::is_archive, parse: archive::parse, is_database: true };

/// `META-INF/maven/GROUP/ARTIFACT/pom.properties` of an unpacked archive.
pub(super) const UNPACKED: Cataloger =
    Cataloger { name: "java-unpacked", wants: is_unpacked, parse: parse_unpacked, is_database: false };

/// `gradle.lockfile`.
pub(super) const GRADLE: Cataloger =
    Cataloger { name: "gradle-lock", wants: lock::is_gradle_lock, parse: lock::parse_gradle, is_database: true };

/// `pom.xml`.
pub(super) const PROJECT: Cataloger =
    Cataloger { name: "maven", wants: lock::is_project, parse: lock::parse_project, is_database: true };

fn is_unpacked(path: &str) -> bool {
    path.ends_with("/pom.properties") && (path.starts_with("META-INF/maven/") || path.contains("/META-INF/maven/"))
}

fn parse_unpacked(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let found = project::properties(&file.text());
    if found.is_complete() {
        let root = file.path.rfind("META-INF/maven/").map_or("", |at| &file.path[..at]);
        let files = if root.is_empty() { Vec::new() } else { vec![root.to_owned()] };
        findings
            .packages
            .push(Package { files, ..Package::new(PackageKind::Maven, found.name(), found.version, file.path) });
    }
    Ok(())
}

/// The file of the image that a path within an archive belongs to.
pub(super) fn outermost(path: &str) -> &str {
    let ends = path.match_indices('/').map(|(at, _)| at);
    ends.map(|at| &path[..at]).find(|outer| archive::is_archive(outer)).unwrap_or(path)
}
