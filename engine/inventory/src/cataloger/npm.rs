//! Node packages: installed `package.json` and `package-lock.json` (npm-docs "package.json",
//! "package-lock.json", lockfile versions 1 to 3).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Cataloger, Findings, ParseError, SourceFile};
use crate::{Package, PackageKind};

/// `node_modules/NAME/package.json` and `node_modules/@SCOPE/NAME/package.json`.
pub(super) const INSTALLED: Cataloger =
    Cataloger { name: "npm", wants: is_installed, parse: parse_installed, is_database: false };

/// `package-lock.json` and `npm-shrinkwrap.json` outside of `node_modules`.
pub(super) const LOCK: Cataloger = Cataloger { name: "npm-lock", wants: is_lock, parse: parse_lock, is_database: true };

fn is_installed(path: &str) -> bool {
    let Some(folder) = path.strip_suffix("/package.json") else { return false };
    let Some((above, name)) = folder.rsplit_once('/') else { return false };
    let above = match above.rsplit_once('/') {
        Some((modules, scope)) if scope.starts_with('@') => modules,
        _ => above,
    };
    !name.starts_with('@') && (above == "node_modules" || above.ends_with("/node_modules"))
}

fn is_lock(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    matches!(name, "package-lock.json" | "npm-shrinkwrap.json")
        && !path.split('/').any(|component| component == "node_modules")
}

fn package(name: &str, version: &str, path: &str) -> Package {
    Package::new(PackageKind::Npm, name, version, path)
}

#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    license: Value,
    #[serde(default)]
    licenses: Value,
}

fn parse_installed(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| ParseError(error.to_string()))?;
    // Folders without these are parts of a package, not packages.
    let (Some(name), Some(version)) = (manifest.name, manifest.version) else { return Ok(()) };
    if name.is_empty() || version.is_empty() {
        return Ok(());
    }
    let mut licences = licences(&manifest.license);
    licences.extend(self::licences(&manifest.licenses));
    findings.add(Package {
        licences,
        files: vec![format!("{}/", file.folder())],
        ..package(&name, version.trim_start_matches(['v', '=']), file.path)
    });
    Ok(())
}

/// A text, an object with a `type`, or a list of these.
fn licences(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text.clone()],
        Value::Object(fields) => fields.get("type").and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
        Value::Array(items) => items.iter().filter(|item| !item.is_array()).flat_map(licences).collect(),
        _ => Vec::new(),
    }
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    packages: BTreeMap<String, LockedPackage>,
    #[serde(default)]
    dependencies: BTreeMap<String, LockedDependency>,
}

/// An entry of lockfile version 2 and 3, keyed by its folder.
#[derive(Deserialize)]
struct LockedPackage {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    license: Value,
}

/// An entry of lockfile version 1, keyed by name; those a package keeps for itself are inside of it.
#[derive(Deserialize)]
struct LockedDependency {
    version: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    dependencies: BTreeMap<String, LockedDependency>,
}

fn parse_lock(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let text = file.text();
    let lock: Lock = serde_json::from_str(&text).map_err(|error| ParseError(error.to_string()))?;
    if lock.packages.is_empty() {
        for (name, dependency) in &lock.dependencies {
            locked_dependency(name, dependency, file.path, findings);
        }
    }
    for (folder, locked) in &lock.packages {
        let Some((_, name)) = folder.rsplit_once("node_modules/") else { continue };
        let name = locked.name.as_deref().unwrap_or(name);
        let Some(version) = locked.version.as_deref().filter(|version| is_version(version)) else { continue };
        if !locked.dev && !locked.link {
            let licences = licences(&locked.license);
            findings.add(Package { licences, ..package(name, version, file.path) });
        }
    }
    findings.packages.sort_unstable();
    findings.packages.dedup();
    Ok(())
}

fn locked_dependency(name: &str, dependency: &LockedDependency, path: &str, findings: &mut Findings) {
    if let Some(version) = dependency.version.as_deref().filter(|_| !dependency.dev) {
        let alias = version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@'));
        let (name, version) = alias.unwrap_or((name, version));
        if is_version(version) {
            findings.add(package(name, version, path));
        }
    }
    for (name, dependency) in &dependency.dependencies {
        locked_dependency(name, dependency, path, findings);
    }
}

/// A release, not the address of a repository, an archive or a folder.
fn is_version(version: &str) -> bool {
    !version.is_empty() && !version.contains([':', '/'])
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    fn shown(found: &Findings) -> Vec<String> {
        found.packages.iter().map(|p| format!("{}@{} {}", p.name, p.version, p.licences.join(","))).collect()
    }

    #[test]
    fn installed_packages() {
        let found = parse(
            &INSTALLED,
            "app/node_modules/@babel/core/package.json",
            "\u{feff}{\"name\":\"@babel/core\",\"version\":\"v7.1.0\",\"licenses\":[{\"type\":\"MIT\"},\"ISC\"],\"x\":{}}",
        );
        assert_eq!(shown(&found), ["@babel/core@7.1.0 MIT,ISC"]);
        assert_eq!(found.packages[0].files, ["app/node_modules/@babel/core/"]);
        assert!(is_installed("node_modules/a/node_modules/b/package.json"));
        assert!(parse(&INSTALLED, "node_modules/a/package.json", "{\"type\":\"module\"}").packages.is_empty());
    }

    #[test]
    fn locks_of_every_version() {
        let found = parse(
            &LOCK,
            "app/package-lock.json",
            r#"{"lockfileVersion":3,"packages":{"":{"name":"app","version":"1.0.0"},
               "node_modules/a":{"version":"1.2.3","license":"MIT"},
               "node_modules/a/node_modules/@s/b":{"version":"2.0.0"},
               "node_modules/alias":{"name":"real","version":"3.0.0"},
               "node_modules/dev":{"version":"9.0.0","dev":true},
               "node_modules/work":{"resolved":"work","link":true}}}"#,
        );
        assert_eq!(shown(&found), ["@s/b@2.0.0 ", "a@1.2.3 MIT", "real@3.0.0 "]);
        let found = parse(
            &LOCK,
            "package-lock.json",
            r#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}},
               "c":{"version":"npm:d@4.0.0"},"git":{"version":"git+https://x/y#1"},"dev":{"version":"1.0.0","dev":true}}}"#,
        );
        assert_eq!(shown(&found), ["a@1.0.0 ", "b@2.0.0 ", "d@4.0.0 "]);
    }
}
