//! Language packages of whole images: locks that the tools themselves wrote, archives, and who wins over whom.

mod support;

use std::collections::BTreeSet;

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

#[test]
fn an_application_does_not_silence_the_lock_of_another() {
    let lock = |name: &str, version: &str| {
        format!(r#"{{"lockfileVersion":3,"packages":{{"node_modules/{name}":{{"version":"{version}"}}}}}}"#)
    };
    let (a, b) = (lock("minimist", "1.2.8"), lock("minimist", "0.0.8"));
    let installed = br#"{"name":"minimist","version":"1.2.8"}"#;
    let inventory = image(&[
        ("srv/a/package-lock.json", a.as_bytes()),
        ("srv/a/node_modules/minimist/package.json", installed),
        ("srv/b/package-lock.json", b.as_bytes()),
    ]);
    assert_eq!(
        shown(&inventory),
        [
            "pkg:npm/minimist@0.0.8 srv/b/package-lock.json",
            "pkg:npm/minimist@1.2.8 srv/a/node_modules/minimist/package.json"
        ]
    );

    let composer = br#"{"packages":[{"name":"twig/twig","version":"v1.0.0"}]}"#;
    let vendor = br#"{"packages":[{"name":"twig/twig","version":"v3.0.0"}]}"#;
    let inventory = image(&[
        ("srv/a/composer.lock", composer),
        ("srv/a/vendor/composer/installed.json", vendor),
        ("srv/b/composer.lock", composer),
    ]);
    let places: Vec<&str> = inventory.components.iter().map(|component| component.package.path.as_str()).collect();
    assert_eq!(places, ["srv/b/composer.lock", "srv/a/vendor/composer/installed.json"]);
}

#[test]
fn packages_of_dotnet_count_in_the_folder_of_their_lock_and_below() {
    let assets = br#"{"version":3,"libraries":{"Newtonsoft.Json/9.0.1":{"type":"package"}}}"#;
    let published = br#"{"libraries":{"Newtonsoft.Json/13.0.1":{"type":"package"}}}"#;
    let found = |lock: &str, other: &str| {
        let inventory = image(&[(lock, assets), (other, published)]);
        inventory.components.iter().filter(|component| component.purl.starts_with("pkg:nuget")).count()
    };
    assert_eq!(found("srv/a/project.assets.json", "srv/a/App.deps.json"), 1);
    assert_eq!(found("srv/a/project.assets.json", "srv/a/bin/App.deps.json"), 1);
    assert_eq!(found("srv/a/obj/project.assets.json", "srv/a/bin/App.deps.json"), 1);
    assert_eq!(found("srv/a/project.assets.json", "srv/b/App.deps.json"), 2);
    assert_eq!(found("srv/a/xobj/project.assets.json", "srv/a/App.deps.json"), 2);
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
    let (named, unnamed): (Vec<String>, Vec<String>) =
        shown(&inventory).into_iter().partition(|shown| shown.starts_with("pkg:maven/"));
    assert_eq!(named, [format!("pkg:maven/org.example/lib@2.0 {path}")]);
    let [war] = &unnamed[..] else { panic!("{unnamed:?}") };
    assert!(war.starts_with("pkg:generic/app.war?checksum=sha1:") && war.ends_with(" srv/app.war"), "{war}");
}

#[test]
fn an_archive_that_becomes_a_folder_is_gone_and_one_in_a_folder_of_its_name_stays() {
    let inner = "srv/app.war/WEB-INF/lib/lib.jar";
    let base = Layer::new().file("srv/lib.jar", library("0.1")).file(inner, library("1.0")).build();
    let upper = Layer::new().folder("srv/lib.jar").file("srv/app.war/index.html", "").build();
    let inventory = scan(&docker_archive(&[base, upper])).unwrap();
    let path = format!("{inner}/META-INF/maven/org.example/lib/pom.properties");
    assert_eq!(shown(&inventory), [format!("pkg:maven/org.example/lib@1.0 {path}")]);
}

#[test]
fn an_executable_is_there_under_all_its_names() {
    for (program, packages) in [(go_program("example.org/tool", "v1.0.0"), 3), (rust_program("itoa", "1.0.0"), 2)] {
        let base = Layer::new().file("usr/bin/tool", &program).hard_link("usr/bin/other", "usr/bin/tool").build();
        let upper = Layer::new().file("usr/bin/.wh.tool", "").build();
        let paths = |layers: &[Vec<u8>]| {
            let inventory = scan(&docker_archive(layers)).unwrap();
            assert_eq!(inventory.problems, []);
            let all = inventory.components.into_iter().map(|component| component.package);
            let all: Vec<String> = all.inspect(|it| assert_eq!(it.files, [&*it.path])).map(|it| it.path).collect();
            ["usr/bin/other", "usr/bin/tool"].map(|path| all.iter().filter(|found| *found == path).count())
        };
        assert_eq!(paths(std::slice::from_ref(&base)), [packages, packages]);
        assert_eq!(paths(&[base, upper]), [packages, 0]);
    }
}

/// An interpreter tells its version by its name, which another name of the same file does not have.
#[test]
fn an_interpreter_is_one_by_its_own_name_alone() {
    let mut python = go_program("example.org/tool", "v1.0.0");
    python.truncate(4096);
    python.extend(b"\x003.11.4\0");
    let layer = |first: &str, second: &str| {
        let layer = Layer::new().file(first, &python).hard_link(second, first).build();
        shown(&scan(&docker_archive(&[layer])).unwrap())
    };
    let expected = ["pkg:generic/python@3.11.4 usr/bin/python3.11"];
    assert_eq!(layer("usr/bin/python3.11", "usr/bin/tool"), expected);
    assert_eq!(layer("usr/bin/tool", "usr/bin/python3.11"), expected);
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
