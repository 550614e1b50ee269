//! Code that an interpreter or a virtual machine opens: which packages are made of it.

use stella_inventory::{Package, PackageKind};

/// Whether use of this package shows in what is opened: its code lies in files of its own that the agent watches for, and nowhere
/// else.
pub fn is_opened(package: &Package) -> bool {
    let has = |endings: &[&str]| package.files.iter().any(|file| endings.iter().any(|ending| file.ends_with(ending)));
    match package.kind {
        PackageKind::Pypi => has(&[".py"]),
        PackageKind::Npm | PackageKind::Gem | PackageKind::Composer => has(&["/"]),
        PackageKind::Maven => has(&[".jar", ".war", ".ear"]),
        PackageKind::Nuget => has(&[".dll"]),
        _ => false,
    }
}

/// The source of a compiled Python module: `pkg/__pycache__/a.cpython-311.pyc` is made from `pkg/a.py`. PEP 3147.
pub fn source_of(path: &str) -> Option<String> {
    let (folder, name) = path.strip_suffix(".pyc")?.rsplit_once('/')?;
    let folder = folder.strip_suffix("__pycache__")?;
    // What follows the module's name: `cpython-311`, `cpython-311.opt-1`.
    let module = name.split('.').next()?;
    Some(format!("{folder}{module}.py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_module_is_its_sources() {
        assert_eq!(source_of("a/__pycache__/x.cpython-311.opt-1.pyc").as_deref(), Some("a/x.py"));
        assert_eq!(source_of("__pycache__/six.cpython-312.pyc").as_deref(), Some("six.py"));
        assert_eq!(source_of("s/__pycache__/six.cpython-312.pyc").as_deref(), Some("s/six.py"));
        assert_eq!(source_of("a/x.pyc"), None, "legacy place: listed as it is");
        assert_eq!(source_of("a/x.py"), None);
    }

    #[test]
    fn packages_without_files_of_their_own_are_not_measured() {
        let package = |kind, file: &str| Package { files: vec![file.into()], ..Package::new(kind, "p", "1", "where") };
        assert!(is_opened(&package(PackageKind::Maven, "srv/a.jar")));
        assert!(is_opened(&package(PackageKind::Npm, "app/node_modules/a/")));
        assert!(!is_opened(&package(PackageKind::Golang, "usr/bin/app")));
        assert!(!is_opened(&package(PackageKind::Pypi, "s/p.dist-info/METADATA")));
        assert!(!is_opened(&Package::new(PackageKind::Npm, "p", "1", "package-lock.json")));
    }
}
