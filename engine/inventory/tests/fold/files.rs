//! The files that generated layers are made of, and where they lie.

use stella_inventory::fold;

use super::read;
use super::support::*;

/// Where the changes of a stack happen: few places, so that layers meet.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    pub files: &'static [&'static str],
    pub folders: &'static [&'static str],
}

/// What most images have.
pub const COMMON: Places = Places {
    files: &[
        "var/lib/dpkg/status",
        "var/lib/dpkg/info/alpha.list",
        "var/lib/dpkg/info/beta.list",
        "var/lib/dpkg/info/alpha.md5sums",
        "var/lib/dpkg/info/beta.md5sums",
        "usr/share/doc/alpha/copyright",
        "usr/share/doc/beta/copyright",
        "lib/apk/db/installed",
        "site/alpha.dist-info/METADATA",
        "site/alpha.dist-info/RECORD",
        "site/beta.dist-info/METADATA",
        "app/node_modules/a/package.json",
        "app/node_modules/a/node_modules/b/package.json",
        "app/node_modules/@s/c/package.json",
        "var/lib/rpm/Packages.db",
        "usr/lib/sysimage/rpm/Packages.db",
        "etc/os-release",
        "usr/lib/os-release",
        "etc/redhat-release",
        "app/alpha",
        "lib/other",
        "usr/lib/thing",
        "opt/go-tool",
        "opt/rust-tool",
    ],
    folders: &[
        "var/lib/dpkg",
        "usr/share/doc/alpha",
        "usr/share/doc/beta",
        "var/lib/rpm",
        "usr/lib/sysimage/rpm",
        "var/lib",
        "var",
        "lib",
        "site",
        "site/alpha.dist-info",
        "app",
        "app/node_modules",
        "app/node_modules/a",
        "etc",
    ],
};

/// Every package database, and what its packages may own.
pub const DATABASES: Places = Places {
    files: &[
        "var/lib/dpkg/status",
        "var/lib/dpkg/status.d/alpha",
        "var/lib/dpkg/status.d/alpha.md5sums",
        "var/lib/dpkg/status.d/beta",
        "var/lib/dpkg/status.d/beta.md5sums",
        "var/lib/rpm/rpmdb.sqlite",
        "usr/share/rpm/rpmdb.sqlite",
        "var/lib/rpm/Packages",
        "usr/lib/sysimage/rpm/Packages",
        "usr/lib/sysimage/rpm/Packages.db",
        "usr/share/doc/alpha/copyright",
        "site/alpha.dist-info/METADATA",
        "site/beta.dist-info/METADATA",
        "srv/lib.jar",
        "usr/bin/go-tool",
        "etc/os-release",
    ],
    folders: &[
        "var/lib/dpkg/status.d",
        "var/lib/dpkg",
        "var/lib/rpm",
        "usr/lib/sysimage/rpm",
        "usr/lib/sysimage",
        "usr/share/rpm",
        "var/lib",
        "usr/share",
        "site",
        "srv",
        "usr",
    ],
};

/// Packages of languages: installed, in archives within archives and in unpacked ones, built into programs.
pub const LANGUAGES: Places = Places {
    files: &[
        "app/node_modules/a/package.json",
        "app/node_modules/@s/c/package.json",
        "site/alpha.dist-info/METADATA",
        "site/alpha.dist-info/RECORD",
        "site/gamma.egg-info/PKG-INFO",
        "site/gamma.egg-info/installed-files.txt",
        "srv/lib.jar",
        "srv/other.jar",
        "srv/lib.jar/META-INF/maven/g/alpha/pom.properties",
        "srv/app.war",
        "srv/app.war/WEB-INF/lib/lib.jar",
        "srv/app.war/META-INF/maven/g/alpha/pom.properties",
        "usr/bin/go-tool",
        "usr/bin/rust-tool",
        "usr/bin/second",
        "usr/bin/third",
        "var/lib/dpkg/status",
        "var/lib/dpkg/info/alpha.list",
    ],
    folders: &[
        "app/node_modules/a",
        "app",
        "site/gamma.egg-info",
        "site",
        "srv/lib.jar",
        "srv/app.war",
        "srv/app.war/WEB-INF",
        "srv",
        "usr/bin",
        "usr",
    ],
};

/// A file as its path wants it: of a few packages, in a few versions.
pub fn content_of(path: &str, seed: u8) -> Vec<u8> {
    let version = format!("1.{}", seed % 4);
    let name = ["alpha", "beta", "gamma"][usize::from(seed / 4 % 3)];
    let header = |folder: &str, file: &str| rpm_header(name, &version, "1", folder, file);
    if path.ends_with(".md5sums") {
        let sum = "d41d8cd98f00b204e9800998ecf8427e";
        format!("{sum}  site/{name}.dist-info/METADATA\n{sum}  lib/{name}.so\n{sum}  srv/lib.jar\n").into_bytes()
    } else if path.contains("status.d/") {
        format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n").into_bytes()
    } else if path.ends_with("var/lib/dpkg/status") {
        let packages = [("alpha", version.as_str()), ("beta", "2.0"), ("gamma", "3.0")];
        dpkg(&packages[..usize::from(seed % 4)]).into_bytes()
    } else if path.ends_with(".list") {
        // With the library it has all that the sums beside it have.
        let library = if seed.is_multiple_of(2) { "/srv\n/srv/lib.jar\n" } else { "" };
        format!("/.\n/lib\n/lib/{name}.so\n/site/{name}.dist-info/METADATA\n/app/{name}/file\n{library}").into_bytes()
    } else if path.ends_with("copyright") {
        format!("see /usr/share/common-licenses/{name}\n").into_bytes()
    } else if path.ends_with("installed") {
        format!("P:{name}\nV:{version}\nF:lib\nR:{name}.so\n\n").into_bytes()
    } else if path.ends_with("METADATA") || path.ends_with("PKG-INFO") {
        format!("Name: {name}\nVersion: {version}\n").into_bytes()
    } else if path.ends_with("RECORD") {
        format!("{name}/__init__.py,,\n../lib/{name}.py,,\n").into_bytes()
    } else if path.ends_with("installed-files.txt") {
        format!("../{name}/__init__.py\nPKG-INFO\n").into_bytes()
    } else if path.ends_with("pom.properties") {
        pom(name, &version).into_bytes()
    } else if path.ends_with(".jar") {
        library(name, &version, seed)
    } else if path.ends_with(".war") {
        let inner = library(name, &version, seed);
        let own = pom("app", &version);
        jar(&[("WEB-INF/lib/lib.jar", &inner), ("META-INF/maven/g/app/pom.properties", own.as_bytes())])
    } else if path.ends_with("go-tool") {
        go_program(&format!("example.org/{name}"), &format!("v{version}.0"))
    } else if path.ends_with("rust-tool") {
        rust_program(name, &format!("{version}.0"))
    } else if path.ends_with("package.json") {
        format!(r#"{{"name":"{name}","version":"{version}"}}"#).into_bytes()
    } else if path.ends_with("Packages.db") {
        ndb(&[header("/lib/", &format!("{name}.so"))])
    } else if path.ends_with("rpmdb.sqlite") {
        let headers = [header("/srv/", "lib.jar"), rpm_header("delta", "2", "1", "/usr/bin/", "go-tool")];
        sqlite(&headers[..usize::from(seed % 3)])
    } else if path.ends_with("rpm/Packages") {
        let headers =
            [header(&format!("/site/{name}.dist-info/"), "METADATA"), rpm_header("epsilon", "1", "1", "/lib/", "b")];
        berkeley_db(&headers[..usize::from(seed % 3)])
    } else if path.ends_with("os-release") {
        format!("ID=debian\nVERSION_ID={}\n", 10 + seed % 3).into_bytes()
    } else if path.ends_with("redhat-release") {
        format!("CentOS release {}.1 (Final)\n", 5 + seed % 2).into_bytes()
    } else {
        vec![seed]
    }
}

fn pom(artifact: &str, version: &str) -> String {
    format!("groupId=g\nartifactId={artifact}\nversion={version}\n")
}

/// An archive that tells what it is by `pom.properties` or by its manifest, or does not.
fn library(artifact: &str, version: &str, seed: u8) -> Vec<u8> {
    let manifest = format!("Bundle-SymbolicName: org.{artifact}\nImplementation-Version: {version}\n");
    match seed % 4 {
        0 => jar(&[("a.class", &[seed])]),
        1 => jar(&[("META-INF/MANIFEST.MF", manifest.as_bytes())]),
        _ => {
            let properties = format!("META-INF/maven/g/{artifact}/pom.properties");
            jar(&[(&properties, pom(artifact, version).as_bytes())])
        }
    }
}

/// A generator of what no reader understands would show nothing.
#[test]
fn generated_files_declare_packages() {
    for (path, expected) in [
        ("var/lib/dpkg/status.d/alpha", &["alpha 1.2"][..]),
        ("var/lib/rpm/rpmdb.sqlite", &["alpha 1.2-1", "delta 2-1"]),
        ("var/lib/rpm/Packages", &["alpha 1.2-1", "epsilon 1-1"]),
        ("site/gamma.egg-info/PKG-INFO", &["alpha 1.2"]),
        ("srv/lib.jar", &["g:alpha 1.2"]),
        ("srv/app.war", &["g:alpha 1.2", "g:app 1.2"]),
        ("srv/app.war/META-INF/maven/g/alpha/pom.properties", &["g:alpha 1.2"]),
        ("usr/bin/go-tool", &["example.org/alpha v1.2.0", "example.org/lib v1.2.0", "stdlib 1.22.1"]),
        ("usr/bin/rust-tool", &["alpha 1.2.0", "tool 1.2.0"]),
    ] {
        let inventory = fold(&[&read(&Layer::new().file(path, content_of(path, 2)).build())]);
        assert_eq!(inventory.problems, [], "{path}");
        let packages = inventory.components.iter().map(|component| &component.package);
        let mut found: Vec<String> = packages.map(|package| format!("{} {}", package.name, package.version)).collect();
        found.sort();
        assert_eq!(found, expected, "{path}");
    }
}
