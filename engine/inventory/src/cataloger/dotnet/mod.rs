//! .NET: `*.deps.json` of what was published, `packages.lock.json` and `project.assets.json` of what was restored.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Cataloger, Findings, ParseError, Room, SourceFile};
use crate::{Package, PackageKind};

/// `*.deps.json` ("runtime configuration files", schema of the host).
pub(super) const PUBLISHED: Cataloger =
    Cataloger { name: "dotnet", wants: |path| path.ends_with(".deps.json"), parse: parse_published, is_database: true };

/// `packages.lock.json` (NuGet, "Locking dependencies").
pub(super) const LOCK: Cataloger = Cataloger {
    name: "nuget-lock",
    wants: |path| file_name(path) == "packages.lock.json",
    parse: parse_lock,
    is_database: true,
};

/// `project.assets.json`.
pub(super) const ASSETS: Cataloger = Cataloger {
    name: "nuget-assets",
    wants: |path| file_name(path) == "project.assets.json",
    parse: parse_assets,
    is_database: true,
};

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[derive(Deserialize)]
struct Published {
    #[serde(default)]
    targets: BTreeMap<String, BTreeMap<String, Target>>,
    #[serde(default)]
    libraries: BTreeMap<String, Library>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default)]
    runtime: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    native: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    runtime_targets: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Library {
    #[serde(rename = "type")]
    kind: String,
}

/// Packages, and the packs of the runtime itself in an application that brings its own.
fn parse_published(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let published: Published = read(file)?;
    let mut room = Room::default();
    for (key, library) in &published.libraries {
        let Some((name, version)) = key.split_once('/') else { continue };
        let name = match library.kind.as_str() {
            "package" => name,
            "runtimepack" => name.strip_prefix("runtimepack.").unwrap_or(name),
            _ => continue,
        };
        let targets = published.targets.values().filter_map(|target| target.get(key));
        let (mut files, mut has_more) = (BTreeSet::new(), false);
        for target in targets {
            // Files of a package land in the folder of the application, those of one platform below it.
            let flat = target.runtime.keys().chain(target.native.keys()).map(|path| file_name(path));
            let kept = target.runtime_targets.keys().map(String::as_str);
            for path in flat.chain(kept) {
                match room.join(file.folder(), path) {
                    Some(path) => drop(files.insert(path)),
                    None => has_more = true,
                }
            }
        }
        let mut files: Vec<String> = files.into_iter().collect();
        if has_more {
            findings.without_files(&mut files);
        }
        findings.add(Package { files, ..Package::new(PackageKind::Nuget, name, version, file.path) });
    }
    Ok(())
}

#[derive(Deserialize)]
struct Lock {
    /// By target, which is a framework with or without a runtime.
    #[serde(default)]
    dependencies: BTreeMap<String, BTreeMap<String, Locked>>,
    /// Since version 3, targets have names that the project gave them, and stand at the top.
    #[serde(flatten)]
    named: BTreeMap<String, Named>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Target { dependencies: BTreeMap<String, Locked> },
    Other(IgnoredAny),
}

impl Named {
    fn dependencies(&self) -> Option<&BTreeMap<String, Locked>> {
        match self {
            Self::Target { dependencies } => Some(dependencies),
            Self::Other(IgnoredAny) => None,
        }
    }
}

#[derive(Deserialize)]
struct Locked {
    resolved: Option<String>,
}

fn parse_lock(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let lock: Lock = read(file)?;
    // Projects of one's own have no resolved version.
    let all = lock.dependencies.values().chain(lock.named.values().filter_map(Named::dependencies)).flatten();
    let found: BTreeSet<(&str, &str)> = all.filter_map(|(name, it)| Some((&**name, it.resolved.as_deref()?))).collect();
    let packages = found.into_iter().map(|(name, version)| Package::new(PackageKind::Nuget, name, version, file.path));
    packages.for_each(|package| findings.add(package));
    Ok(())
}

#[derive(Deserialize)]
struct Assets {
    #[serde(default)]
    libraries: BTreeMap<String, Library>,
}

fn parse_assets(file: &SourceFile<'_>, findings: &mut Findings) -> Result<(), ParseError> {
    let assets: Assets = read(file)?;
    for (key, _) in assets.libraries.iter().filter(|(_, library)| library.kind == "package") {
        if let Some((name, version)) = key.split_once('/') {
            findings.add(Package::new(PackageKind::Nuget, name, version, file.path));
        }
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(file: &SourceFile<'_>) -> Result<T, ParseError> {
    serde_json::from_str(&file.text()).map_err(|error| ParseError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parse as read, shown};
    use super::*;

    #[test]
    fn published_applications() {
        let text = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v6.0/linux-x64"},"targets":{".NETCoreApp,Version=v6.0":{},
            ".NETCoreApp,Version=v6.0/linux-x64":{"App/1.0.0":{"dependencies":{"Newtonsoft.Json":"13.0.1"}},
            "Newtonsoft.Json/13.0.1":{"runtime":{"lib/net6.0/Newtonsoft.Json.dll":{"assemblyVersion":"13.0.0.0"}}},
            "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/6.0.1":{"native":{"libclrjit.so":{}}}}},
            "libraries":{"App/1.0.0":{"type":"project"},"Newtonsoft.Json/13.0.1":{"type":"package","path":"x"},
            "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/6.0.1":{"type":"runtimepack"}}}"#;
        let found = read(&PUBLISHED, "app/App.deps.json", text);
        assert_eq!(shown(&found), ["Newtonsoft.Json@13.0.1", "Microsoft.NETCore.App.Runtime.linux-x64@6.0.1"]);
        assert_eq!(found.packages[0].files, ["app/Newtonsoft.Json.dll"]);
        assert_eq!(found.packages[1].files, ["app/libclrjit.so"]);
    }

    #[test]
    fn restored_projects() {
        let text = r#"{"version":1,"dependencies":{"net6.0":{"A.B":{"type":"Direct","requested":"[1,)","resolved":"1.2.3"},
            "mine":{"type":"Project"}},"net7.0":{"A.B":{"type":"Transitive","resolved":"1.2.3"}}}}"#;
        assert_eq!(shown(&read(&LOCK, "app/packages.lock.json", text)), ["A.B@1.2.3"]);
        let text = r#"{"version":3,"net8.0":{"framework":"net8.0","dependencies":{"A.B":{"type":"Direct","resolved":"1.2.3"}}},
            "app/linux-x64":{"framework":"net8.0","dependencies":{"C":{"type":"Transitive","resolved":"2.0.0"}}},"x":{}}"#;
        assert_eq!(shown(&read(&LOCK, "app/packages.lock.json", text)), ["A.B@1.2.3", "C@2.0.0"]);
        let text = r#"{"version":3,"libraries":{"A.B/1.2.3":{"type":"package"},"mine/1.0.0":{"type":"project"}}}"#;
        assert_eq!(shown(&read(&ASSETS, "app/obj/project.assets.json", text)), ["A.B@1.2.3"]);
    }
}
