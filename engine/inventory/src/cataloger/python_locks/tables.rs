//! The locks of Poetry, PDM and uv, and `pylock.toml` (PEP 751): a table for each package.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::toml_lock::{Needed, read};
use super::super::{Cataloger, Findings, ParseError, SourceFile};
use super::{file_name, found, sort};

/// `poetry.lock`.
pub(in crate::cataloger) const POETRY_LOCK: Cataloger = Cataloger {
    name: "poetry-lock",
    wants: |path| file_name(path) == "poetry.lock",
    parse: parse_poetry,
    is_database: true,
};

/// `pdm.lock`.
pub(in crate::cataloger) const PDM_LOCK: Cataloger =
    Cataloger { name: "pdm-lock", wants: |path| file_name(path) == "pdm.lock", parse: parse_pdm, is_database: true };

/// `uv.lock`.
pub(in crate::cataloger) const UV_LOCK: Cataloger =
    Cataloger { name: "uv-lock", wants: |path| file_name(path) == "uv.lock", parse: parse_uv, is_database: true };

/// `pylock.toml` and `pylock.NAME.toml`.
pub(in crate::cataloger) const PYLOCK: Cataloger =
    Cataloger { name: "pylock", wants: is_pylock, parse: parse_pylock, is_database: true };

/// The group of what a project of Poetry needs to run; all others serve development ("Dependency groups").
const POETRY_MAIN: &str = "main";
/// Groups of dependencies that by custom serve development.
const DEVELOPMENT: [&str; 8] = ["dev", "test", "tests", "lint", "doc", "docs", "typing", "ci"];
/// Sources that are folders of the project itself.
const OWN: [&str; 4] = ["virtual", "editable", "directory", "path"];
/// How archives end that somebody may have got from elsewhere (PyPA specifications, "Source distribution format", "Binary
/// distribution format").
const ARCHIVES: [&str; 3] = [".whl", ".tar.gz", ".zip"];

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Entry>,
}

#[derive(Deserialize)]
struct PyLock {
    #[serde(default)]
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    name: String,
    version: Option<String>,
    /// Poetry before 1.5: `main`, or `dev`.
    category: Option<String>,
    /// PDM, and Poetry since 2.0.
    #[serde(default)]
    groups: Vec<String>,
    source: Option<BTreeMap<String, toml::Value>>,
    directory: Option<toml::Value>,
    /// PDM: a folder or an archive of the machine.
    path: Option<String>,
    #[serde(default)]
    dependencies: Option<toml::Value>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<Needed>>,
}

impl Entry {
    fn is_own(&self) -> bool {
        self.directory.is_some()
            || self.path.as_ref().is_some_and(|path| !ARCHIVES.iter().any(|ending| path.ends_with(ending)))
            || self.source.as_ref().is_some_and(|source| {
                OWN.iter().any(|kind| source.contains_key(*kind))
                    || source.get("type").and_then(toml::Value::as_str).is_some_and(|kind| kind == "directory")
            })
    }

    /// Whether all groups it is in serve development; of one without groups nothing is known.
    fn is_for_development(&self, serves_development: impl Fn(&str) -> bool) -> bool {
        !self.groups.is_empty() && self.groups.iter().all(|group| serves_development(group))
    }

    /// Names of what it needs, as uv lists them; Poetry's tables are not followed.
    fn needed(&self) -> Vec<String> {
        let direct: Vec<Needed> = self.dependencies.clone().and_then(|list| list.try_into().ok()).unwrap_or_default();
        direct.iter().chain(self.optional_dependencies.values().flatten()).map(|n| n.name().to_owned()).collect()
    }
}

fn parse_poetry(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    parse_grouped(file, findings, |entry| {
        entry.category.as_deref() == Some("dev") || entry.is_for_development(|group| group != POETRY_MAIN)
    })
}

/// The lock does not tell groups for development from those of optional features.
fn parse_pdm(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    parse_grouped(file, findings, |entry| entry.is_for_development(|group| DEVELOPMENT.contains(&group)))
}

fn parse_grouped(
    file: &SourceFile<'_>,
    findings: &mut Findings,
    is_for_development: impl Fn(&Entry) -> bool,
) -> Result<(), ParseError> {
    let lock: Lock = read(&file.text())?;
    for entry in lock.package.iter().filter(|entry| !entry.is_own() && !is_for_development(entry)) {
        found(file, findings, &entry.name, entry.version.as_deref().unwrap_or(""));
    }
    sort(findings);
    Ok(())
}

fn parse_pylock(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: PyLock = read(&file.text())?;
    for entry in lock.packages.iter().filter(|entry| !entry.is_own()) {
        found(file, findings, &entry.name, entry.version.as_deref().unwrap_or(""));
    }
    sort(findings);
    Ok(())
}

fn is_pylock(path: &str) -> bool {
    let kind = file_name(path).strip_prefix("pylock").and_then(|rest| rest.strip_suffix("toml"));
    kind.is_some_and(|kind| kind.starts_with('.') && kind.ends_with('.'))
}

/// What the projects of the lock need; their `dev-dependencies` are not followed. A lock without a project lists
/// nothing but what is needed.
fn parse_uv(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: Lock = read(&file.text())?;
    let mut by_name: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &lock.package {
        by_name.entry(&entry.name).or_default().push(entry);
    }
    let mut open: Vec<String> = lock.package.iter().filter(|entry| entry.is_own()).map(|e| e.name.clone()).collect();
    let is_all = open.is_empty();
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if let Some(entries) = by_name.get(name.as_str())
            && seen.insert(name.clone())
        {
            open.extend(entries.iter().flat_map(|entry| entry.needed()));
        }
    }
    for entry in lock.package.iter().filter(|entry| !entry.is_own() && (is_all || seen.contains(&entry.name))) {
        found(file, findings, &entry.name, entry.version.as_deref().unwrap_or(""));
    }
    sort(findings);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read_with, shown};
    use super::*;

    #[test]
    fn poetry_and_pdm_leave_development_out() {
        let text = "[[package]]\nname = \"Django\"\nversion = \"3.2\"\ndescription = \"x\"\n[package.dependencies]\n\
            pytz = \"*\"\n\n[[package]]\nname = \"old\"\nversion = \"1\"\ncategory = \"dev\"\n\n[[package]]\n\
            name = \"pytest\"\nversion = \"7\"\ngroups = [\"dev\"]\n\n[[package]]\nname = \"both\"\nversion = \"2\"\n\
            groups = [\"main\", \"dev\"]\n\n[[package]]\nname = \"checker\"\nversion = \"3\"\n\
            groups = [\"checks\"]\n\n[[package]]\nname = \"mine\"\nversion = \"0\"\n[package.source]\n\
            type = \"directory\"\nurl = \".\"\n\n[metadata]\nlock-version = \"2.0\"\n";
        assert_eq!(shown(&read_with(&POETRY_LOCK, "app/poetry.lock", text)), ["both@2", "django@3.2"]);
        let text = "[metadata]\ngroups = [\"default\"]\n[[package]]\nname = \"a\"\nversion = \"1\"\n\
            groups = [\"default\"]\ndependencies = [\"b>=1\"]\n";
        assert_eq!(shown(&read_with(&PDM_LOCK, "pdm.lock", text)), ["a@1"]);
    }

    #[test]
    fn uv_follows_what_projects_need() {
        let text = "version = 1\n[[package]]\nname = \"app\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\n\
            dependencies = [{ name = \"a\" }]\n[package.optional-dependencies]\nx = [{ name = \"c\" }]\n\
            [package.dev-dependencies]\ndev = [{ name = \"d\" }]\n\
            [[package]]\nname = \"a\"\nversion = \"1\"\nsource = { registry = \"https://x\" }\n\
            dependencies = [{ name = \"b\", marker = \"x\" }]\n[[package]]\nname = \"b\"\nversion = \"2\"\n\
            [[package]]\nname = \"c\"\nversion = \"3\"\n[[package]]\nname = \"d\"\nversion = \"4\"\n";
        assert_eq!(shown(&read_with(&UV_LOCK, "uv.lock", text)), ["a@1", "b@2", "c@3"]);
    }

    #[test]
    fn pylock() {
        let text = "lock-version = \"1.0\"\n[[packages]]\nname = \"attrs\"\nversion = \"25.1.0\"\n\
            [[packages]]\nname = \"mine\"\ndirectory = { path = \".\" }\n";
        assert_eq!(shown(&read_with(&PYLOCK, "x/pylock.prod.toml", text)), ["attrs@25.1.0"]);
        assert!(is_pylock("pylock.toml") && !is_pylock("pylocktoml") && !is_pylock("pylock-x.toml"));
    }
}
