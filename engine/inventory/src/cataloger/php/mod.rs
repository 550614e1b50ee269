//! PHP: what Composer installed, and `composer.lock`.

use serde::Deserialize;
use serde_json::Value;

use super::{Cataloger, Findings, ParseError, SourceFile};
use crate::archive::join;
use crate::{Package, PackageKind};

/// `vendor/composer/installed.json`, of Composer 1 and 2.
pub(super) const INSTALLED: Cataloger =
    Cataloger { name: "composer", wants: is_installed, parse: parse_installed, is_database: true };

/// `composer.lock`; what only development needs is left out.
pub(super) const LOCK: Cataloger =
    Cataloger { name: "composer-lock", wants: is_lock, parse: parse_lock, is_database: true };

fn is_installed(path: &str) -> bool {
    path.ends_with("/composer/installed.json")
}

fn is_lock(path: &str) -> bool {
    (path == "composer.lock" || path.ends_with("/composer.lock")) && !path.split('/').any(|part| part == "vendor")
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Installed {
    Two { packages: Vec<Entry> },
    One(Vec<Entry>),
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    name: String,
    version: String,
    #[serde(default)]
    license: Value,
    install_path: Option<String>,
}

impl Entry {
    fn package(&self, path: &str) -> Package {
        let licences = match &self.license {
            Value::String(licence) => vec![licence.clone()],
            Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let version = match self.version.strip_prefix(['v', 'V']) {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
            _ => &self.version,
        };
        Package { licences, ..Package::new(PackageKind::Composer, self.name.to_lowercase(), version, path) }
    }
}

fn parse_installed(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let installed = serde_json::from_str(&file.text()).map_err(|error| ParseError(error.to_string()))?;
    let (Installed::Two { packages } | Installed::One(packages)) = installed;
    for entry in packages {
        // Composer 1 does not say where; it is beside its own folder.
        let folder = entry.install_path.clone().unwrap_or_else(|| format!("../{}", entry.name));
        let files = vec![format!("{}/", join(file.folder(), &folder))];
        findings.add(Package { files, ..entry.package(file.path) });
    }
    Ok(())
}

fn parse_lock(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: Lock = serde_json::from_str(&file.text()).map_err(|error| ParseError(error.to_string()))?;
    lock.packages.iter().for_each(|entry| findings.add(entry.package(file.path)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn installed_by_composer_2() {
        let text = r#"{"packages":[{"name":"Monolog/Monolog","version":"v2.3.5","license":["MIT"],
            "install-path":"../monolog/monolog"}],"dev":true,"dev-package-names":[]}"#;
        let found = read(&INSTALLED, "srv/vendor/composer/installed.json", text);
        assert_eq!(shown(&found), ["monolog/monolog@2.3.5"]);
        assert_eq!(found.packages[0].files, ["srv/vendor/monolog/monolog/"]);
        assert_eq!(found.packages[0].licences, ["MIT"]);
    }

    /// A plain array, and nothing that says where a package lies.
    #[test]
    fn installed_by_composer_1() {
        let text = r#"[
            {"name": "monolog/monolog", "version": "1.25.3", "version_normalized": "1.25.3.0",
             "source": {"type": "git", "url": "https://git.example/monolog.git", "reference": "fa82921994db851a8becaf3787a9e73c5976b6f1"},
             "dist": {"type": "zip", "url": "https://dist.example/monolog.zip", "reference": "fa82921994db851a8becaf3787a9e73c5976b6f1", "shasum": ""},
             "require": {"php": ">=5.3.0", "psr/log": "~1.0"}, "time": "2019-12-20T14:15:16+00:00", "type": "library",
             "extra": {"branch-alias": {"dev-master": "2.0.x-dev"}}, "installation-source": "dist",
             "autoload": {"psr-4": {"Monolog\\": "src/Monolog"}}, "license": ["MIT"]},
            {"name": "psr/log", "version": "v1.1.2", "version_normalized": "1.1.2.0", "target-dir": "Psr/Log", "license": "MIT"}
        ]"#;
        let found = read(&INSTALLED, "srv/vendor/composer/installed.json", text);
        assert_eq!(shown(&found), ["monolog/monolog@1.25.3", "psr/log@1.1.2"]);
        assert_eq!(found.packages[0].files, ["srv/vendor/monolog/monolog/"]);
        assert_eq!(found.packages[1].files, ["srv/vendor/psr/log/"]);
        assert!(found.packages.iter().all(|package| package.licences == ["MIT"]), "{found:?}");
        assert_eq!(shown(&read(&INSTALLED, "srv/vendor/composer/installed.json", "[]")), Vec::<String>::new());
    }

    /// It differs from that of Composer 2 in what it says of itself, and may have nothing in place of a list.
    #[test]
    fn a_lock_of_composer_1() {
        for development in ["null", "[]"] {
            let text = format!(
                r#"{{"_readme": ["This file locks the dependencies"], "hash": "e5e3a8", "content-hash": "2c7a6d",
                "packages": [{{"name": "symfony/yaml", "version": "v3.4.36", "source": {{"type": "git", "reference": "dab657"}},
                "require": {{"php": "^5.5.9|>=7.0.8"}}, "license": ["MIT"], "time": "2019-10-24T15:33:53+00:00"}}],
                "packages-dev": {development}, "aliases": [], "minimum-stability": "stable", "stability-flags": [],
                "prefer-stable": false, "prefer-lowest": false, "platform": [], "platform-dev": []}}"#
            );
            let found = read(&LOCK, "srv/composer.lock", &text);
            assert_eq!(shown(&found), ["symfony/yaml@3.4.36"]);
            assert_eq!(found.packages[0].licences, ["MIT"]);
        }
    }

    #[test]
    fn locks_without_development() {
        let text = r#"{"packages":[{"name":"a/b","version":"1.0.0"},{"name":"a/c","version":"dev-main"}],
            "packages-dev":[{"name":"d/e","version":"1"}]}"#;
        assert_eq!(shown(&read(&LOCK, "srv/composer.lock", text)), ["a/b@1.0.0", "a/c@dev-main"]);
    }
}
