//! What is installed, and which packages of lock files it stands for.

use std::collections::{BTreeSet, HashSet};

use crate::cataloger::Evidence;
use crate::{Package, PackageKind};

/// The language packages of an image that are there and not only asked for.
#[derive(Default)]
pub(super) struct Installed<'a> {
    names: HashSet<(PackageKind, &'a str)>,
    /// Without those that a package of the operating system stands for: they are not reported themselves.
    versions: HashSet<(PackageKind, &'a str, &'a str)>,
    places: BTreeSet<(PackageKind, &'a str, &'a str)>,
}

impl<'a> Installed<'a> {
    /// Those among all visible packages; `owned` are the paths of those that the operating system installed.
    pub(super) fn among(packages: impl Iterator<Item = &'a Package>, owned: &HashSet<&str>) -> Self {
        let mut installed = Self::default();
        for package in packages.filter(|package| !package.kind.is_os() && package.evidence() != Evidence::Lock) {
            let (kind, name) = (package.kind, package.name.as_str());
            installed.names.insert((kind, name));
            if is_apart(kind) {
                installed.places.insert((kind, name, package.path.as_str()));
                if !owned.contains(package.path.as_str()) {
                    installed.versions.insert((kind, name, package.version.as_str()));
                }
            }
        }
        installed
    }

    /// Whether a lock's package need not be told beside what is installed.
    ///
    /// Node, Composer and .NET install below the application that asked: a package of another application says nothing of
    /// this one, whose own may be older and lie in an archive we do not see. So one of the same name has to lie below the
    /// folder of the lock, or else be of the same version, which loses nothing. All others install into places that
    /// applications share (`site-packages`, gems, executables), far from the lock: what is installed by that name is what
    /// runs, and the lock is what somebody once wished for.
    pub(super) fn stands_for(&self, locked: &Package) -> bool {
        let (kind, name) = (locked.kind, locked.name.as_str());
        if !is_apart(kind) {
            return self.names.contains(&(kind, name));
        }
        self.versions.contains(&(kind, name, locked.version.as_str())) || self.is_below(kind, name, &locked.path)
    }

    /// Whether a package of this name is installed in the application that the lock belongs to.
    fn is_below(&self, kind: PackageKind, name: &str, lock: &str) -> bool {
        let application = application_of(kind, lock);
        let mut from = self.places.range((kind, name, application)..);
        from.next()
            .is_some_and(|(other, called, path)| *other == kind && *called == name && path.starts_with(application))
    }
}

/// Whether packages of this kind lie below the application that asked for them.
const fn is_apart(kind: PackageKind) -> bool {
    matches!(kind, PackageKind::Npm | PackageKind::Composer | PackageKind::Nuget)
}

/// How the paths begin of what is installed for the application of a lock. Everything lies below the root, also what
/// comes with Node itself: of a lock in the root only the folder counts that its tool fills.
fn application_of(kind: PackageKind, lock: &str) -> &str {
    let folder = lock.rfind('/').map_or("", |end| &lock[..=end]);
    match kind {
        PackageKind::Npm if folder.is_empty() => "node_modules/",
        PackageKind::Composer if folder.is_empty() => "vendor/",
        PackageKind::Nuget => project_of(folder),
        _ => folder,
    }
}

/// What is restored for a project of .NET is written to its folder `obj`, what is built of it lies beside.
fn project_of(folder: &str) -> &str {
    let project = folder.strip_suffix("obj/").filter(|project| project.is_empty() || project.ends_with('/'));
    project.unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(installed: &[Package], owned: &[&str], locked: &Package) -> bool {
        Installed::among(installed.iter(), &owned.iter().copied().collect()).stands_for(locked)
    }

    fn npm(version: &str, path: &str) -> Package {
        Package::new(PackageKind::Npm, "ms", version, path)
    }

    #[test]
    fn only_the_application_of_the_lock_counts() {
        let installed = [npm("2.0.0", "srv/app/node_modules/debug/node_modules/ms/package.json")];
        for (version, lock, expected) in [
            ("1.0.0", "srv/app/package-lock.json", true),
            ("1.0.0", "srv/package-lock.json", true),
            ("1.0.0", "srv/ap/package-lock.json", false),
            ("1.0.0", "srv/app2/package-lock.json", false),
            ("1.0.0", "package-lock.json", false),
            ("2.0.0", "srv/app2/package-lock.json", true),
        ] {
            assert_eq!(stands(&installed, &[], &npm(version, lock)), expected, "{version} {lock}");
        }
        assert!(stands(&[npm("2.0.0", "node_modules/ms/package.json")], &[], &npm("1.0.0", "package-lock.json")));
        let other = Package::new(PackageKind::Npm, "msx", "1.0.0", "srv/app/package-lock.json");
        assert!(!stands(&installed, &[], &other));
    }

    #[test]
    fn what_the_operating_system_installed_does_not_speak_for_other_applications() {
        let path = "usr/share/nodejs/node_modules/ms/package.json";
        let locked = npm("2.0.0", "srv/app/package-lock.json");
        assert!(stands(&[npm("2.0.0", path)], &[], &locked));
        assert!(!stands(&[npm("2.0.0", path)], &[path], &locked));
    }

    #[test]
    fn shared_places_speak_for_every_lock() {
        let django = |version: &str, path: &str| Package::new(PackageKind::Pypi, "django", version, path);
        let installed = [django("4.2", "usr/lib/python3/Django-4.2.dist-info/METADATA")];
        assert!(stands(&installed, &[], &django("3.2", "srv/a/requirements.txt")));
        assert!(stands(&installed, &[], &django("3.2", "srv/b/poetry.lock")));
        let lock = [django("4.2", "srv/a/requirements.txt")];
        assert!(!stands(&lock, &[], &django("3.2", "srv/b/requirements.txt")), "another lock is nothing installed");
    }
}
