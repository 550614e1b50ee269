//! How a package was identified, in the words of CycloneDX.

use crate::cataloger::Evidence;
use crate::{Package, PackageKind};

/// The technique: packages of compiled languages that were found elsewhere than in a lock file were read out of the
/// program itself, archives that say nothing are known by their SHA-1.
pub(super) fn technique(package: &Package) -> &'static str {
    let name = package.path.rsplit('/').next().unwrap_or("");
    let is_compiled = matches!(package.kind, PackageKind::Golang | PackageKind::Cargo);
    if is_compiled && !matches!(name, "go.mod" | "go.sum" | "Cargo.lock" | "Cargo.toml") {
        "binary-analysis"
    } else if package.evidence() == Evidence::Checksum {
        "hash-comparison"
    } else {
        "manifest-analysis"
    }
}
