//! `pnpm-lock.yaml`, lockfile versions 5, 6 and 9.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::{Cataloger, Findings, ParseError, SourceFile, yaml};
use super::{found, is_lock, sort, split_at_version};

/// `pnpm-lock.yaml`.
pub(in crate::cataloger) const LOCK: Cataloger =
    Cataloger { name: "pnpm-lock", wants: |path| is_lock(path, "pnpm-lock.yaml"), parse, is_database: true };

#[derive(Deserialize)]
struct Lock {
    #[serde(rename = "lockfileVersion")]
    version: serde_json::Value,
    #[serde(default)]
    importers: BTreeMap<String, Importer>,
    #[serde(default)]
    packages: BTreeMap<String, Entry>,
    #[serde(default)]
    snapshots: BTreeMap<String, Snapshot>,
}

/// A project of the workspace; only versions 6 and later name the resolved version here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Importer {
    #[serde(default)]
    dependencies: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    dev: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, String>,
}

fn parse(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: Lock = yaml::read(&file.text())?;
    let version = lock.version.as_str().map_or_else(|| lock.version.to_string(), str::to_owned);
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let needed = if major >= 9 { Some(lock.needed()) } else { None };
    for (key, entry) in &lock.packages {
        if entry.dev || needed.as_ref().is_some_and(|needed| !needed.contains(key.as_str())) {
            continue;
        }
        let Some((name, version)) = (if major >= 6 { split(key) } else { split_5(key) }) else { continue };
        let name = entry.name.as_deref().unwrap_or(name);
        found(file, findings, name, entry.version.as_deref().unwrap_or(version));
    }
    sort(findings);
    Ok(())
}

impl Lock {
    /// Keys of what the projects need other than for development: version 9 has no mark for it, so the snapshots are
    /// followed. A lock without projects needs all.
    fn needed(&self) -> BTreeSet<&str> {
        if self.importers.is_empty() {
            return self.packages.keys().map(String::as_str).collect();
        }
        let mut open: Vec<String> = Vec::new();
        for importer in self.importers.values() {
            for (name, resolved) in importer.dependencies.iter().chain(&importer.optional_dependencies) {
                let version = resolved.get("version").or(Some(resolved)).and_then(serde_json::Value::as_str);
                open.extend(version.map(|version| snapshot_key(name, version)));
            }
        }
        let mut seen: BTreeSet<String> = BTreeSet::new();
        while let Some(key) = open.pop() {
            if let Some(snapshot) = self.snapshots.get(&key)
                && !seen.contains(&key)
            {
                let all = snapshot.dependencies.iter().chain(&snapshot.optional_dependencies);
                open.extend(all.map(|(name, version)| snapshot_key(name, version)));
            }
            seen.insert(key);
        }
        let seen: BTreeSet<&str> = seen.iter().map(|key| without_peers(key)).collect();
        self.packages.keys().map(String::as_str).filter(|key| seen.contains(without_peers(key))).collect()
    }
}

/// Aliases carry the whole key in place of the version.
fn snapshot_key(name: &str, version: &str) -> String {
    match split_at_version(without_peers(version)) {
        Some((_, resolved)) if resolved.starts_with(|c: char| c.is_ascii_digit()) => version.to_owned(),
        _ => format!("{name}@{version}"),
    }
}

fn without_peers(key: &str) -> &str {
    key.split('(').next().unwrap_or(key)
}

/// `/name@1.0.0(peer@2.0.0)` and, since version 9, the same without the slash.
fn split(key: &str) -> Option<(&str, &str)> {
    split_at_version(without_peers(key.strip_prefix('/').unwrap_or(key)))
}

/// `/name/1.0.0_peer@2.0.0`, with the host of a registry in front where it is not the usual one.
fn split_5(key: &str) -> Option<(&str, &str)> {
    let (_, path) = key.split_once('/')?;
    let slash = match path.strip_prefix('@') {
        Some(scoped) => 1 + scoped.match_indices('/').nth(1)?.0,
        None => path.find('/')?,
    };
    let version = &path[slash + 1..];
    Some((&path[..slash], version.split('_').next().unwrap_or(version)))
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn version_5() {
        let text = "lockfileVersion: 5.4\nspecifiers:\n  a: ^1.0.0\ndependencies:\n  a: 1.0.0\npackages:\n\n  \
            /a/1.0.0:\n    resolution: {integrity: sha512-x}\n    dev: false\n\n  \
            /@s/b/2.0.0_react@17.0.2:\n    resolution: {integrity: sha512-x}\n  /dev/1.0.0:\n    dev: true\n  \
            registry.example.org/c/3.0.0:\n    dev: false\n  github.com/o/r/abc:\n    name: r\n    version: 4.0.0\n";
        assert_eq!(shown(&read(&LOCK, "pnpm-lock.yaml", text)), ["@s/b@2.0.0", "a@1.0.0", "c@3.0.0", "r@4.0.0"]);
    }

    #[test]
    fn version_6() {
        let text = "lockfileVersion: '6.0'\npackages:\n  /a@1.0.0(b@2.0.0):\n    dev: false\n  \
            /@s/b@2.0.0:\n    dev: true\n  /@s/c@3.0.0-rc.1:\n    resolution: {integrity: x}\n";
        assert_eq!(shown(&read(&LOCK, "pnpm-lock.yaml", text)), ["@s/c@3.0.0-rc.1", "a@1.0.0"]);
    }

    #[test]
    fn version_9_follows_what_projects_need() {
        let text = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1\n        \
            version: 1.0.0(p@1.0.0)\n      alias:\n        specifier: npm:real@1\n        version: real@5.0.0\n    \
            devDependencies:\n      d:\n        specifier: ^1\n        version: 9.0.0\npackages:\n  \
            a@1.0.0:\n    resolution: {integrity: x}\n  '@s/b@2.0.0':\n    resolution: {integrity: x}\n  \
            d@9.0.0:\n    resolution: {integrity: x}\n  real@5.0.0:\n    resolution: {integrity: x}\n\
            snapshots:\n  a@1.0.0(p@1.0.0):\n    dependencies:\n      '@s/b': 2.0.0\n  '@s/b@2.0.0': {}\n  \
            d@9.0.0: {}\n  real@5.0.0: {}\n";
        assert_eq!(shown(&read(&LOCK, "pnpm-lock.yaml", text)), ["@s/b@2.0.0", "a@1.0.0", "real@5.0.0"]);
    }
}
