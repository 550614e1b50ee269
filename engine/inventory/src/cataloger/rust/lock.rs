//! `Cargo.lock`, of every version.

use serde::Deserialize;

use super::super::toml_lock::read;
use super::super::{Cataloger, Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// `Cargo.lock` of a project, not of a crate in Cargo's cache of sources.
pub(in crate::cataloger) const LOCK: Cataloger =
    Cataloger { name: "cargo-lock", wants: is_lock, parse, is_database: true };

fn is_lock(path: &str) -> bool {
    (path == "Cargo.lock" || path.ends_with("/Cargo.lock")) && !path.contains("/registry/src/")
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    /// Absent for the crates of the workspace itself.
    source: Option<String>,
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: Lock = read(&file.text())?;
    for entry in lock.package.into_iter().filter(|entry| entry.source.is_some()) {
        findings.add(Package::new(PackageKind::Cargo, entry.name, entry.version, file.path));
    }
    findings.packages.sort_unstable();
    findings.packages.dedup();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn crates_of_the_workspace_are_left_out() {
        let text = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\"serde\"]\n\n\
            [[package]]\nname = \"serde\"\nversion = \"1.0.1\"\n\
            source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"x\"\n";
        assert_eq!(shown(&read(&LOCK, "app/Cargo.lock", text)), ["serde@1.0.1"]);
        assert!(!is_lock("root/.cargo/registry/src/x/serde-1/Cargo.lock"));
    }

    #[test]
    fn the_lock_of_this_workspace() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));
        let found = read(&LOCK, "Cargo.lock", text);
        assert!(found.packages.iter().any(|package| package.name == "serde_json"));
        assert!(found.packages.iter().all(|package| !package.name.starts_with("stella-")));
    }
}
