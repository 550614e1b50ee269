//! How a package was identified, which its declaring file gives away.

use serde::{Deserialize, Serialize};

use super::{LOCKS, NAMED};
use crate::{Package, PackageKind};

/// How a package was identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The operating system's package database lists it.
    Database,
    /// Metadata that its installation left, or that is packed with it.
    Metadata,
    /// File name and manifest of an archive that carries no coordinates.
    Manifest,
    /// The SHA-1 of an archive that says nothing of itself.
    Checksum,
    /// A lock file or list of requirements names it. It need not be installed.
    Lock,
    /// The executable it was built into names it.
    Executable,
    /// A document such as an SBOM names it, without a file of which we know more.
    Declared,
}

impl Package {
    /// How it was identified.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let file = super::declaring_file(self);
        let wants = |catalogers: &[super::Cataloger]| catalogers.iter().any(|cataloger| (cataloger.wants)(file));
        if self.path.is_empty() {
            Evidence::Declared
        } else if self.kind.is_os() {
            Evidence::Database
        } else if self.path.ends_with("/MANIFEST.MF") {
            Evidence::Manifest
        } else if matches!(self.kind, PackageKind::Maven | PackageKind::Generic) && super::java::is_archive(&self.path)
        {
            Evidence::Checksum
        } else if wants(NAMED) {
            Evidence::Metadata
        } else if wants(LOCKS) {
            Evidence::Lock
        } else if matches!(
            self.kind,
            PackageKind::Golang | PackageKind::Cargo | PackageKind::Pypi | PackageKind::Generic
        ) {
            Evidence::Executable
        } else {
            Evidence::Declared
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaring_file_tells() {
        for (kind, path, evidence) in [
            (PackageKind::Deb, "var/lib/dpkg/status", Evidence::Database),
            (PackageKind::Npm, "node_modules/a/package.json", Evidence::Metadata),
            (PackageKind::Npm, "app/package-lock.json", Evidence::Lock),
            (PackageKind::Golang, "usr/bin/app", Evidence::Executable),
            (PackageKind::Pypi, "usr/bin/app", Evidence::Executable),
            (PackageKind::Npm, "app/packages.txt", Evidence::Declared),
            (PackageKind::Maven, "a.war/b.jar/META-INF/MANIFEST.MF", Evidence::Manifest),
            (PackageKind::Maven, "a.war/b.jar/META-INF/maven/g/a/pom.xml", Evidence::Metadata),
            (PackageKind::Maven, "a.war/b.jar", Evidence::Checksum),
            (PackageKind::Generic, "a.war/b.jar", Evidence::Checksum),
            (PackageKind::Generic, "usr/bin/node", Evidence::Executable),
            (PackageKind::Maven, "app/pom.xml", Evidence::Lock),
            (PackageKind::Npm, "", Evidence::Declared),
        ] {
            assert_eq!(Package::new(kind, "a", "1", path).evidence(), evidence, "{path}");
        }
    }
}
