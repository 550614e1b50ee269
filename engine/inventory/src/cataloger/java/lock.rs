//! What a Java project says it needs: Gradle's lock files and the dependencies of a Maven project.

use super::project::Project;
use crate::cataloger::{Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// Names of the locks of a project, of the plugins that build it, and of those that its settings apply.
const GRADLE_LOCKS: [&str; 3] = ["gradle.lockfile", "buildscript-gradle.lockfile", "settings-gradle.lockfile"];

/// `gradle.lockfile` and its kin, and the older `gradle/dependency-locks/*.lockfile`.
pub(super) fn is_gradle_lock(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    GRADLE_LOCKS.contains(&name)
        || (name.ends_with(".lockfile") && (folder == "dependency-locks" || folder.ends_with("/dependency-locks")))
}

/// A `pom.xml` of a project, not one that was left in an archive.
pub(super) fn is_project(path: &str) -> bool {
    path.rsplit_once('/').map_or(path, |(_, name)| name) == "pom.xml" && !path.contains("META-INF/maven/")
}

/// Lines `group:artifact:version=configurations` (Gradle, "Locking dependency versions"). The older files have one configuration each,
/// after which they are called.
pub(super) fn parse_gradle(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let name = file.path.rsplit_once('/').map_or(file.path, |(_, name)| name);
    let of_file = name.strip_suffix(".lockfile").filter(|_| !GRADLE_LOCKS.contains(&name)).unwrap_or("");
    for line in file.text().lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (coordinates, configurations) = line.split_once('=').unwrap_or((line, of_file));
        let mut parts = coordinates.split(':');
        let (Some(group), Some(artifact), Some(version)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let is_test = |name: &str| name.starts_with("test") || name.contains("Test");
        let only_tests = !configurations.is_empty() && configurations.split(',').all(is_test);
        if !only_tests && !group.is_empty() && !artifact.is_empty() && !version.is_empty() {
            let name = format!("{group}:{artifact}");
            findings.add(Package::new(PackageKind::Maven, name, version, file.path));
        }
    }
    Ok(())
}

/// Direct dependencies whose version the project itself states.
pub(super) fn parse_project(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let project = Project::parse(&file.text(), findings.limits.max_xml_depth)?;
    let needed = project.dependencies.iter().filter(|dependency| !matches!(&*dependency.scope, "test" | "provided"));
    for dependency in needed.filter(|dependency| dependency.coordinates.is_complete()) {
        let coordinates = &dependency.coordinates;
        findings.add(Package::new(PackageKind::Maven, coordinates.name(), &*coordinates.version, file.path));
    }
    Ok(())
}
