//! A language package that a package of the operating system brought is told once.

mod support;

use std::io::Read as _;

use support::*;

const SITE: &str = "usr/lib/python3.9/site-packages";

/// A database that rpm made: `python3-demo` and `demo-npm` own what the tests below put beside it.
fn rpm_database() -> Vec<u8> {
    let packed = include_bytes!("../src/cataloger/rpm/testdata/rpmdb.sqlite.gz");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Python and Node packages: some that the databases below list, and one of each that nobody lists.
fn with_languages(layer: Layer) -> Layer {
    layer
        .file(&format!("{SITE}/demo-1.0.dist-info/METADATA"), "Name: demo\nVersion: 1.0\n")
        .file(&format!("{SITE}/own-1.0.dist-info/METADATA"), "Name: own\nVersion: 1.0\n")
        .file("usr/lib/node_modules/demo/package.json", r#"{"name":"demo","version":"9.1.0"}"#)
        .file("usr/lib/node_modules/demo/node_modules/inner/package.json", r#"{"name":"inner","version":"1.0.0"}"#)
        .file("usr/lib/node_modules/own/package.json", r#"{"name":"own","version":"1.0.0"}"#)
}

/// Names of the packages that are not the system's.
fn languages<const N: usize>(layers: [Layer; N]) -> Vec<String> {
    let layers = layers.map(Layer::build);
    let inventory = scan(&docker_archive(&layers)).unwrap();
    assert!(inventory.problems.is_empty(), "{:?}", inventory.problems);
    let others = inventory.components.iter().filter(|component| !component.package.kind.is_os());
    others.map(|component| component.purl.clone()).collect()
}

const OWN: [&str; 2] = ["pkg:npm/own@1.0.0", "pkg:pypi/own@1.0"];

#[test]
fn rpm_packages_own_their_files() {
    for path in ["var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite", "usr/share/rpm/rpmdb.sqlite"] {
        assert_eq!(languages([with_languages(Layer::new()).file(path, rpm_database())]), OWN);
    }
    // In whatever layer the files are.
    let layers = [with_languages(Layer::new()), Layer::new().file("var/lib/rpm/rpmdb.sqlite", rpm_database())];
    assert_eq!(languages(layers), OWN);
}

#[test]
fn apk_packages_own_their_files_in_either_place() {
    let installed = format!(
        "P:py3-demo\nV:1.0-r0\nF:{SITE}/demo-1.0.dist-info\nR:METADATA\n\n\
         P:demo-npm\nV:9.1.0-r0\nF:usr/lib/node_modules/demo\nR:package.json\n\
         F:usr/lib/node_modules/demo/node_modules/inner\nR:package.json\n\n"
    );
    for path in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        assert_eq!(languages([with_languages(Layer::new()).file(path, &installed)]), OWN);
    }
    // Where /lib is a link, both are one.
    let merged = Layer::new().symlink("lib", "usr/lib").file("lib/apk/db/installed", &installed);
    assert_eq!(languages([with_languages(merged)]), OWN);
}

#[test]
fn dpkg_packages_own_what_lists_and_sums_name() {
    let files = [
        format!("{SITE}/demo-1.0.dist-info/METADATA"),
        "usr/lib/node_modules/demo/package.json".to_owned(),
        "usr/lib/node_modules/demo/node_modules/inner/package.json".to_owned(),
    ];
    let list: String = files.iter().map(|file| format!("/{file}\n")).collect();
    let sums: String = files.iter().map(|file| format!("d41d8cd98f00b204e9800998ecf8427e  {file}\n")).collect();
    let status = dpkg(&[("demo", "1.0-1")]);
    let info = |name: &str, text: &str| {
        let layer = Layer::new().file("var/lib/dpkg/status", &status);
        with_languages(layer.file(&format!("var/lib/dpkg/info/{name}"), text))
    };
    assert_eq!(languages([info("demo.list", &list)]), OWN);
    assert_eq!(languages([info("demo:amd64.list", &list)]), OWN);
    assert_eq!(languages([info("demo.md5sums", &sums)]), OWN);
    assert_eq!(languages([info("other.list", &list)]).len(), 5, "nobody owns them");
    let distroless = Layer::new()
        .file("var/lib/dpkg/status.d/demo", "Package: demo\nVersion: 1.0-1\nArchitecture: amd64\n")
        .file("var/lib/dpkg/status.d/demo.md5sums", &sums);
    assert_eq!(languages([with_languages(distroless)]), OWN);
}

#[test]
fn a_package_that_is_removed_owns_nothing_any_more() {
    let installed = format!("P:py3-demo\nV:1.0-r0\nF:{SITE}/demo-1.0.dist-info\nR:METADATA\n\n");
    let lower = with_languages(Layer::new()).file("lib/apk/db/installed", installed);
    let upper = Layer::new().file("lib/apk/db/installed", "P:other\nV:1-r0\n\n");
    assert_eq!(languages([lower, upper]).len(), 5);
}

#[test]
fn folders_that_are_links_do_not_hide_the_owner() {
    let installed = "P:py3-demo\nV:1.0-r0\nF:python/demo-1.0.dist-info\nR:METADATA\n\n";
    let layer = Layer::new().symlink("python", &format!("/{SITE}")).file("lib/apk/db/installed", installed);
    assert!(!languages([with_languages(layer)]).contains(&"pkg:pypi/demo@1.0".to_owned()));
}
