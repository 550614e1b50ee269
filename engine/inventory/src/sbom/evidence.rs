//! How a package was identified, in the words of CycloneDX.

use crate::{Package, PackageKind};

/// The technique: packages of compiled languages that were found elsewhere than in a lock file were read out of the
/// program itself.
pub(super) fn technique(package: &Package) -> &'static str {
    let name = package.path.rsplit('/').next().unwrap_or("");
    let is_compiled = matches!(package.kind, PackageKind::Golang | PackageKind::Cargo);
    if is_compiled && !matches!(name, "go.mod" | "go.sum" | "Cargo.lock" | "Cargo.toml") {
        "binary-analysis"
    } else {
        "manifest-analysis"
    }
}
