//! What Python projects say they need: requirements, and the locks of Poetry, Pipenv, uv and PDM.

mod pipenv;
mod requirements;
mod tables;

pub(super) use pipenv::LOCK as PIPENV_LOCK;
pub(super) use requirements::REQUIREMENTS;
pub(super) use tables::{PDM_LOCK, POETRY_LOCK, PYLOCK, UV_LOCK};

use super::python::normalise_name;
use super::{Findings, SourceFile};
use crate::{Package, PackageKind};

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn found(file: &SourceFile<'_>, findings: &mut Findings, name: &str, version: &str) {
    let version = version.trim();
    if !name.is_empty()
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !version.contains(['*', ' ', ','])
    {
        findings.add(Package::new(PackageKind::Pypi, normalise_name(name), version, file.path));
    }
}

fn sort(findings: &mut Findings) {
    findings.packages.sort_unstable();
    findings.packages.dedup();
}
