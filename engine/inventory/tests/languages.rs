//! Language packages of whole images: locks that the tools themselves wrote, archives, and who wins over whom.

mod support;

use std::collections::BTreeSet;
use std::io::Write;

use stella_inventory::cataloger::Evidence;
use stella_inventory::{Inventory, Limits, rootfs};
use support::*;

fn image(files: &[(&str, &[u8])]) -> Inventory {
    let layer = files.iter().fold(Layer::new(), |layer, (path, content)| layer.file(path, content));
    scan(&docker_archive(&[layer.build()])).unwrap()
}

fn purls(inventory: &Inventory) -> BTreeSet<String> {
    assert_eq!(inventory.problems, []);
    inventory.components.iter().map(|component| component.purl.clone()).collect()
}

/// One project, locked by seven tools at the same time.
#[test]
fn locks_of_all_package_managers_of_node_agree() {
    let npm = purls(&image(&[("app/package-lock.json", include_bytes!("locks/npm.json"))]));
    assert!(npm.contains("pkg:npm/%40babel/code-frame@7.12.11") && npm.contains("pkg:npm/ms@2.0.0"));
    assert!(!npm.iter().any(|purl| purl.contains("minimist")));
    let locks: [(&str, &[u8], bool); 6] = [
        ("app/pnpm-lock.yaml", include_bytes!("locks/pnpm-5.yaml"), false),
        ("app/pnpm-lock.yaml", include_bytes!("locks/pnpm-6.yaml"), false),
        ("app/pnpm-lock.yaml", include_bytes!("locks/pnpm-9.yaml"), false),
        ("app/yarn.lock", include_bytes!("locks/yarn-1.lock"), true),
        ("app/yarn.lock", include_bytes!("locks/yarn-berry.lock"), true),
        ("app/bun.lock", include_bytes!("locks/bun.lock"), true),
    ];
    for (index, (path, content, has_development)) in locks.into_iter().enumerate() {
        let mut expected = npm.clone();
        if has_development {
            expected.insert("pkg:npm/minimist@1.2.5".to_owned());
        }
        assert_eq!(purls(&image(&[(path, content)])), expected, "lock {index}: {path}");
    }
}

#[test]
fn locks_of_python_agree() {
    let uv = purls(&image(&[("app/uv.lock", include_bytes!("locks/uv.lock"))]));
    assert!(uv.contains("pkg:pypi/zope-interface@5.4.0") && uv.contains("pkg:pypi/requests@2.26.0"));
    assert!(!uv.iter().any(|purl| purl.contains("iniconfig") || purl.contains("sample")));
    assert_eq!(purls(&image(&[("app/requirements.txt", include_bytes!("locks/requirements.txt"))])), uv);
    let pylock = purls(&image(&[("app/pylock.toml", include_bytes!("locks/pylock.toml"))]));
    assert!(pylock.is_superset(&uv));
    let pipenv = purls(&image(&[("app/Pipfile.lock", include_bytes!("locks/Pipfile.lock"))]));
    assert!(pipenv.contains("pkg:pypi/requests@2.26.0") && !pipenv.iter().any(|purl| purl.contains("iniconfig")));
}

#[test]
fn what_is_installed_wins_over_locks() {
    let inventory = image(&[
        ("app/requirements.txt", b"django==3.2\nflask==1.0\n"),
        ("usr/lib/python3/Django-4.2.dist-info/METADATA", b"Name: Django\nVersion: 4.2\n"),
    ]);
    assert_eq!(
        shown(&inventory),
        [
            "pkg:pypi/django@4.2 usr/lib/python3/Django-4.2.dist-info/METADATA",
            "pkg:pypi/flask@1.0 app/requirements.txt"
        ]
    );
    assert_eq!(named(&inventory, "flask").package.evidence(), Evidence::Lock);
    assert_eq!(named(&inventory, "django").package.evidence(), Evidence::Metadata);
}

fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn library(version: &str) -> Vec<u8> {
    let properties = format!("groupId=org.example\nartifactId=lib\nversion={version}\n");
    jar(&[("META-INF/maven/org.example/lib/pom.properties", properties.as_bytes())])
}

#[test]
fn a_replaced_or_removed_archive_takes_all_it_held_with_it() {
    let war = |version: &str| jar(&[("WEB-INF/lib/lib.jar", &library(version))]);
    let base = Layer::new().file("srv/app.war", war("1.0")).file("srv/lib.jar", library("0.1")).build();
    let upper = Layer::new().file("srv/app.war", war("2.0")).file("srv/.wh.lib.jar", "").build();
    let inventory = scan(&docker_archive(&[base, upper])).unwrap();
    let path = "srv/app.war/WEB-INF/lib/lib.jar/META-INF/maven/org.example/lib/pom.properties";
    assert_eq!(shown(&inventory), [format!("pkg:maven/org.example/lib@2.0 {path}")]);
}

#[test]
fn an_archive_of_an_operating_system_package_is_not_reported_twice() {
    let layer = Layer::new()
        .file("var/lib/dpkg/status", dpkg(&[("libexample-java", "1.0-1")]))
        .file("var/lib/dpkg/info/libexample-java.list", "/.\n/usr/share/java/lib.jar\n")
        .file("usr/share/java/lib.jar", library("1.0"))
        .file("srv/lib.jar", library("1.0"))
        .build();
    let inventory = scan(&docker_archive(&[layer])).unwrap();
    let maven: Vec<_> = inventory.components.iter().filter(|c| c.purl.starts_with("pkg:maven")).collect();
    assert_eq!(maven.len(), 1);
    assert_eq!(maven[0].package.files, ["srv/lib.jar"]);
}

#[test]
fn a_damaged_archive_costs_only_itself() {
    let mut broken = library("1.0");
    broken.truncate(40);
    let inventory = image(&[("srv/broken.jar", &broken), ("srv/lib.jar", &library("1.0"))]);
    assert_eq!(inventory.components.len(), 1);
    assert_eq!(inventory.problems.len(), 1);
    assert_eq!(inventory.problems[0].path, "srv/broken.jar");
}

/// Archives and executables as published, in the folders `jars` and `executables` below `languages` of the public data, where
/// somebody put them.
#[test]
fn published_archives_and_executables() {
    let Some(folder) = test_data("").map(|data| data.join("languages")) else { return };
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is not there", folder.display());
        return;
    }
    let inventory = rootfs(&folder, &Limits::default()).unwrap();
    let found: BTreeSet<&str> = inventory.components.iter().map(|component| component.purl.as_str()).collect();
    for purl in [
        "pkg:maven/org.springframework/spring-core@5.3.18",
        "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
        "pkg:maven/org.apache.tomcat.embed/tomcat-embed-core@9.0.58",
    ] {
        assert!(found.contains(purl), "{purl}: {found:#?}");
    }
}
