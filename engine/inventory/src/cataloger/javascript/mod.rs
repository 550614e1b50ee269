//! Lock files of Node's other package managers: Yarn, pnpm and Bun.

mod bun;
mod bun_binary;
mod pnpm;
mod yarn;

pub(super) use bun::LOCK as BUN_LOCK;
pub(super) use bun_binary::LOCK as BUN_BINARY_LOCK;
pub(super) use pnpm::LOCK as PNPM_LOCK;
pub(super) use yarn::LOCK as YARN_LOCK;

use super::{Findings, SourceFile};
use crate::{Package, PackageKind};

/// Whether it is a file of this name and no part of an installed package.
fn is_lock(path: &str, name: &str) -> bool {
    path.rsplit_once('/').map_or(path, |(_, name)| name) == name && !path.split('/').any(|part| part == "node_modules")
}

/// Name and range or version of `name@range`, where the name may start with `@`.
fn split_at_version(text: &str) -> Option<(&str, &str)> {
    let at = text.get(1..)?.find('@')? + 1;
    Some((&text[..at], &text[at + 1..]))
}

/// A release, not the address of a repository, an archive or a folder.
fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains([':', '/', ' '])
}

fn found(file: &SourceFile<'_>, findings: &mut Findings, name: &str, version: &str) {
    if !name.is_empty() && is_version(version) {
        findings.add(Package::new(PackageKind::Npm, name, version, file.path));
    }
}

fn sort(findings: &mut Findings) {
    findings.packages.sort_unstable();
    findings.packages.dedup();
}
