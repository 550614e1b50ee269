//! Java archives that say nothing of themselves, named by their SHA-1.

use crate::cataloger::UNNAMED;
use crate::fold::sort_components;
use crate::identity::{ecosystem_of, purl_of};
use crate::{Inventory, Package, PackageKind};

/// What an archive was published as (Maven "POM Reference", coordinates).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The group.
    pub group: String,
    /// The artifact's own name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Inventory {
    /// How many archives in it are known by nothing but their SHA-1.
    #[must_use]
    pub fn unnamed_archives(&self) -> usize {
        self.components.iter().filter(|component| component.package.sha1.is_some()).count()
    }

    /// Calls such archives what `find` says they were published as, given their SHA-1 in hexadecimal; those it does not know stay
    /// as they are. Gives how many have a name now.
    ///
    /// # Errors
    /// Those of `find`; then nothing is changed.
    pub fn name_archives<E>(&mut self, mut find: impl FnMut(&str) -> Result<Option<Artifact>, E>) -> Result<usize, E> {
        let mut named = Vec::new();
        for (at, component) in self.components.iter().enumerate() {
            if let Some(sha1) = &component.package.sha1
                && let Some(artifact) = find(sha1)?
            {
                named.push((at, artifact));
            }
        }
        let count = named.len();
        for (at, artifact) in named {
            let component = &mut self.components[at];
            let said = component.package.sha1.take().map(|sha1| format!("{UNNAMED} {sha1}")).unwrap_or_default();
            component.package = Package {
                kind: PackageKind::Maven,
                name: format!("{}:{}", artifact.group, artifact.name),
                version: artifact.version,
                ..component.package.clone()
            };
            component.purl = purl_of(&component.package, self.os.as_ref());
            component.ecosystem = ecosystem_of(PackageKind::Maven, self.os.as_ref());
            self.problems.retain(|problem| !problem.message.ends_with(&said));
        }
        if count > 0 {
            sort_components(&mut self.components);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::cataloger::Evidence;
    use crate::{Component, Problem, Provenance};

    const KNOWN: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    const UNKNOWN: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

    fn inventory() -> Inventory {
        let component = |path: &str, sha1: &str| {
            let name = path.rsplit('/').next().unwrap();
            let package = Package { sha1: Some(sha1.into()), ..Package::new(PackageKind::Generic, name, "", path) };
            Component { purl: purl_of(&package, None), ecosystem: "generic".into(), layer: None, package }
        };
        let problem = |path: &str, sha1: &str| Problem { path: path.into(), message: format!("a: {UNNAMED} {sha1}") };
        Inventory {
            provenance: Provenance::Rootfs,
            os: None,
            layers: Vec::new(),
            components: vec![component("srv/app.war/a.jar", KNOWN), component("srv/b.jar", UNKNOWN)],
            problems: vec![problem("srv/app.war", KNOWN), problem("srv/b.jar", UNKNOWN)],
        }
    }

    #[test]
    fn what_a_table_knows_is_a_maven_artifact_and_no_problem_any_more() {
        let mut inventory = inventory();
        assert_eq!(inventory.components[1].purl, format!("pkg:generic/b.jar?checksum=sha1:{UNKNOWN}"));
        let artifact = || Artifact { group: "org.example".into(), name: "lib".into(), version: "1.0".into() };
        let named = inventory.name_archives(|sha1| Ok::<_, Infallible>((sha1 == KNOWN).then(artifact)));
        assert_eq!(named, Ok(1));
        let lib = inventory.components.iter().find(|component| component.ecosystem == "Maven").unwrap();
        assert_eq!(
            (lib.purl.as_str(), lib.package.name.as_str()),
            ("pkg:maven/org.example/lib@1.0", "org.example:lib")
        );
        assert_eq!((lib.package.path.as_str(), lib.package.evidence()), ("srv/app.war/a.jar", Evidence::Checksum));
        assert_eq!(inventory.problems.len(), 1);
        assert!(inventory.problems[0].message.ends_with(UNKNOWN));
        assert_eq!(inventory.unnamed_archives(), 1, "the other one");
    }

    #[test]
    fn a_table_that_fails_leaves_everything_as_it_was() {
        let mut changed = inventory();
        let failing = |sha1: &str| if sha1 == UNKNOWN { Err("broken") } else { Ok(None) };
        assert_eq!(changed.name_archives(failing), Err("broken"));
        assert_eq!(changed, inventory());
    }
}
