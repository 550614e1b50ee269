//! What a new image takes over from others of its repository. Pure.

use std::collections::BTreeMap;

use stella_api::finding::UseEvidence;
use stella_domain::{Digest, Reachability};
use stella_inventory::{Inventory, Package};

use super::compute::{MAX_EVIDENCE, Observation, Owners, level, use_evidence};

/// Another image of the repository, with what was observed of it.
#[derive(Debug, Clone)]
pub struct Ancestor {
    /// Its digest.
    pub image: Digest,
    /// What it contains.
    pub inventory: Inventory,
    /// What its containers loaded.
    pub observations: Vec<Observation>,
}

/// What one component inherits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherited {
    /// `runtime` or `entrypoint`.
    pub reach: Reachability,
    /// What shows it, in containers of the ancestors.
    pub evidence: Vec<UseEvidence>,
}

/// What the components of `heir` inherit, by their index.
///
/// A component inherits a loaded file when the file has the same path in both images and belongs to the same package in both, in
/// whatever version. That nothing was loaded is never inherited: the new image may well use what the old one did not.
#[must_use]
pub fn inherited(heir: &Inventory, ancestors: &[Ancestor]) -> BTreeMap<usize, Inherited> {
    let heirs = Owners::of(heir);
    let mut found: BTreeMap<usize, Inherited> = BTreeMap::new();
    for ancestor in ancestors {
        let owners = Owners::of(&ancestor.inventory);
        for observation in &ancestor.observations {
            for file in &observation.loaded {
                let path = file.path.trim_start_matches('/');
                let before = owners.of_path(path);
                for at in heirs.of_path(path) {
                    let component = &heir.components[at];
                    let same =
                        |old: &usize| same_package(&ancestor.inventory.components[*old].package, &component.package);
                    let Some(old) = before.iter().copied().find(same) else { continue };
                    let reach = level(&observation.container, path, &component.package);
                    let known = found.entry(at).or_insert(Inherited { reach, evidence: Vec::new() });
                    known.reach = known.reach.max(reach);
                    if known.evidence.len() < MAX_EVIDENCE {
                        let seen = use_evidence(&observation.container, file, &ancestor.inventory.components[old]);
                        known.evidence.push(UseEvidence { inherited_from: Some(ancestor.image), ..seen });
                    }
                }
            }
        }
    }
    found
}

fn same_package(old: &Package, new: &Package) -> bool {
    old.kind == new.kind && old.name == new.name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::compute::fixture::{component, observation};
    use stella_inventory::{PackageKind, Provenance};

    fn inventory(files: &[(&str, &[&str])]) -> Inventory {
        let components = files.iter().map(|(name, files)| component(PackageKind::Pypi, name, files)).collect();
        Inventory { provenance: Provenance::Layers, os: None, layers: Vec::new(), components, problems: Vec::new() }
    }

    fn ancestor(files: &[(&str, &[&str])], loaded: &[&str]) -> Ancestor {
        Ancestor {
            image: Digest::of("old"),
            inventory: inventory(files),
            observations: vec![observation(true, None, 100, loaded)],
        }
    }

    #[test]
    fn a_file_of_the_same_package_at_the_same_path_is_inherited() {
        let heir = inventory(&[("a", &["site/a/_c.so"]), ("b", &["site/b/_c.so"])]);
        let old = ancestor(&[("a", &["site/a/_c.so"]), ("b", &["site/b/_c.so"])], &["/site/a/_c.so"]);
        let found = inherited(&heir, &[old]);
        assert_eq!(found.keys().collect::<Vec<_>>(), [&0]);
        assert_eq!(found[&0].reach, Reachability::Runtime);
        assert_eq!(found[&0].evidence[0].inherited_from, Some(Digest::of("old")));
        assert_eq!(found[&0].evidence[0].path, "/site/a/_c.so");
    }

    #[test]
    fn another_package_at_the_path_or_another_path_of_the_package_is_not() {
        let heir = inventory(&[("a", &["opt/a/_c.so"]), ("c", &["site/a/_c.so"])]);
        let old = ancestor(&[("a", &["site/a/_c.so"])], &["/site/a/_c.so"]);
        assert!(inherited(&heir, &[old]).is_empty());
    }

    #[test]
    fn the_first_executable_stays_one() {
        let heir = inventory(&[("python", &["usr/bin/python3.11"])]);
        let old = ancestor(&[("python", &["usr/bin/python3.11"])], &["/usr/bin/python3.11"]);
        assert_eq!(inherited(&heir, &[old])[&0].reach, Reachability::Entrypoint);
    }

    #[test]
    fn what_is_linked_into_the_first_executable_is_inherited_as_in_use() {
        let program: &[(&str, &[&str])] = &[("app", &["usr/bin/python3.11"]), ("library", &["usr/bin/python3.11"])];
        let mut heir = inventory(program);
        heir.components[1].package.linked = true;
        let found = inherited(&heir, &[ancestor(program, &["/usr/bin/python3.11"])]);
        assert_eq!((found[&0].reach, found[&1].reach), (Reachability::Entrypoint, Reachability::Runtime));
    }
}
