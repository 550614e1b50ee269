//! Files that the tools themselves wrote, and what the tools say of them (`recorded/README.md`).

mod support;

use std::collections::BTreeSet;

use stella_inventory::sbom::{self, RelationKind, SbomFormat};
use stella_inventory::{Component, Inventory, Limits};
use support::*;

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("recorded/", $name)).as_slice()
    };
}

macro_rules! said {
    ($name:literal) => {
        include_str!(concat!("recorded/", $name))
    };
}

fn image(files: &[(&str, &[u8])]) -> Inventory {
    let layer = files.iter().fold(Layer::new(), |layer, (path, content)| layer.file(path, content));
    scan(&docker_archive(&[layer.build()])).unwrap()
}

/// `NAME VERSION` of every package; nothing may have gone wrong.
fn found(files: &[(&str, &[u8])]) -> BTreeSet<String> {
    let inventory = image(files);
    assert_eq!(inventory.problems, []);
    let named = |component: &Component| format!("{} {}", component.package.name, component.package.version);
    inventory.components.iter().map(named).collect()
}

/// The same of what a tool printed, line by line.
fn told(text: &str, package: impl Fn(&str) -> Option<(&str, &str)>) -> BTreeSet<String> {
    let told: BTreeSet<String> =
        text.lines().filter_map(package).map(|(name, version)| format!("{name} {version}")).collect();
    assert!(!told.is_empty());
    told
}

/// `poetry show`: name, a mark where it is not installed, version, description.
fn poetry(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace().filter(|word| *word != "(!)");
    Some((words.next()?, words.next()?))
}

fn two_words(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?))
}

#[test]
fn poetry_2_lists_what_is_in_its_lock() {
    let mut listed = told(said!("poetry-2/show.txt"), poetry);
    // Needed on Windows alone, so that `poetry show` leaves it out elsewhere; the lock is that of every platform.
    listed.insert("colorama 0.4.6".to_owned());
    let lock = found(&[("app/poetry.lock", recorded!("poetry-2/poetry.lock"))]);
    assert_eq!(lock, listed);
    assert!(!lock.iter().any(|package| package.starts_with("iniconfig") || package.starts_with("pluggy")));
}

#[test]
fn poetry_1_lists_what_is_in_its_lock() {
    let listed = told(said!("poetry-1/show.txt"), poetry);
    assert_eq!(found(&[("app/poetry.lock", recorded!("poetry-1/poetry.lock"))]), listed);
}

#[test]
fn composer_lists_what_it_locked_and_installed() {
    // Composer shows tags as they are; 'v1.2.3' is version 1.2.3.
    let plain = |text: &str| told(text, |line| two_words(line).map(|(name, tag)| (name, tag.trim_start_matches('v'))));
    let locked = found(&[("app/composer.lock", recorded!("composer/composer.lock"))]);
    assert_eq!(locked, plain(said!("composer/show-locked.txt")));
    let place = "app/vendor/composer/installed.json";
    assert_eq!(found(&[(place, recorded!("composer/installed.json"))]), plain(said!("composer/show.txt")));
    let mut with_development = locked;
    with_development.insert("example/tester 3.1.0".to_owned());
    assert_eq!(found(&[(place, recorded!("composer/installed-with-dev.json"))]), with_development);
    let inventory = image(&[(place, recorded!("composer/installed.json"))]);
    let router = &named(&inventory, "example/router").package;
    assert_eq!(router.licences, ["MIT", "BSD-3-Clause"]);
    assert_eq!(router.files, ["app/vendor/example/router/"]);
}

/// `  * rack (2.2.22)`.
fn bundler(line: &str) -> Option<(&str, &str)> {
    line.trim().strip_prefix("* ")?.strip_suffix(')')?.split_once(" (")
}

const SPECIFICATIONS: [(&str, &[u8]); 7] = [
    ("gems/specifications/mustermann-3.0.0.gemspec", recorded!("bundler/specifications/mustermann-3.0.0.gemspec")),
    ("gems/specifications/rack-2.2.22.gemspec", recorded!("bundler/specifications/rack-2.2.22.gemspec")),
    (
        "gems/specifications/rack-protection-3.0.5.gemspec",
        recorded!("bundler/specifications/rack-protection-3.0.5.gemspec"),
    ),
    ("gems/specifications/rake-13.0.6.gemspec", recorded!("bundler/specifications/rake-13.0.6.gemspec")),
    (
        "gems/specifications/ruby2_keywords-0.0.5.gemspec",
        recorded!("bundler/specifications/ruby2_keywords-0.0.5.gemspec"),
    ),
    ("gems/specifications/sinatra-3.0.5.gemspec", recorded!("bundler/specifications/sinatra-3.0.5.gemspec")),
    ("gems/specifications/tilt-2.0.11.gemspec", recorded!("bundler/specifications/tilt-2.0.11.gemspec")),
];

#[test]
fn bundler_lists_what_it_locked_and_what_is_installed() {
    let listed = told(said!("bundler/list.txt"), bundler);
    assert_eq!(found(&[("app/Gemfile.lock", recorded!("bundler/Gemfile.lock"))]), listed);
    assert_eq!(found(&SPECIFICATIONS), listed);
    let inventory = image(&SPECIFICATIONS);
    let rack = &named(&inventory, "rack").package;
    assert_eq!(rack.licences, ["MIT"]);
    assert_eq!(rack.files, ["gems/gems/rack-2.2.22/"]);
}

#[test]
fn a_gem_that_comes_with_ruby() {
    let place = "usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.1.gemspec";
    let content = recorded!("bundler/specifications/default/json-2.6.1.gemspec");
    assert_eq!(found(&[(place, content)]), BTreeSet::from(["json 2.6.1".to_owned()]));
}

#[test]
fn conda_records_what_it_installed() {
    let files = [
        ("opt/conda/conda-meta/example-data-1.2.13-0.json", recorded!("conda-meta/example-data-1.2.13-0.json")),
        ("opt/conda/conda-meta/example-tool-2!3.0_1-0.json", recorded!("conda-meta/example-tool-2!3.0_1-0.json")),
    ];
    assert_eq!(found(&files), told(said!("conda-meta/list.txt"), two_words));
    let inventory = image(&files);
    let tool = &named(&inventory, "example-tool").package;
    assert_eq!(tool.files, ["opt/conda/bin/example-tool", "opt/conda/etc/conda/activate.d/tool.sh"]);
    assert_eq!(tool.licences, ["Zlib"]);
}

/// `NAME[EXTRAS]==VERSION; MARKER`. A folder of the project itself has no version.
fn requirement(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once("==")?;
    Some((name.split('[').next()?, rest.split(';').next()?.trim()))
}

#[test]
fn pdm_exports_what_is_in_its_lock() {
    let lock = found(&[("app/pdm.lock", recorded!("pdm/pdm.lock"))]);
    assert_eq!(lock, told(said!("pdm/export.txt"), requirement));
    assert!(lock.contains("attrs 24.2.0") && lock.contains("six 1.17.0"), "an extra, and what two groups need");
    assert!(!lock.iter().any(|package| package.starts_with("own ") || package.starts_with("pluggy")));
}

fn set<const N: usize>(packages: [&str; N]) -> BTreeSet<String> {
    packages.map(str::to_owned).into()
}

#[test]
fn nuget_locks_packages_by_target() {
    assert_eq!(
        found(&[("app/packages.lock.json", recorded!("nuget/packages.lock.json"))]),
        set([
            "Example.Json 13.0.1",
            "Example.Json 13.0.3-beta.1",
            "Example.Log 2.0.0",
            "Example.Native 4.3.0",
            "Example.Platforms 1.1.0",
            "NETStandard.Library 2.0.3",
        ])
    );
    assert_eq!(
        found(&[("app/packages.lock.json", recorded!("nuget/packages.lock-3.json"))]),
        set(["Example.Json 13.0.3", "Example.Native 4.3.0", "Example.Window 1.0.0"])
    );
}

#[test]
fn nuget_restores_packages_and_projects_and_only_the_former_count() {
    assert_eq!(
        found(&[("app/obj/project.assets.json", recorded!("nuget/project.assets.json"))]),
        set(["Example.Json 13.0.1", "Example.Platforms 1.1.0"])
    );
}

#[test]
fn gradle_locks_a_project_its_plugins_and_its_settings() {
    let needed = set([
        "com.example:agent 0.8.14",
        "com.example:core 5.0.3",
        "com.example:core 5.1.0",
        "com.example:core-jvm 5.1.0",
        "com.example:sso 2.20.0-r.4",
    ]);
    assert_eq!(found(&[("app/gradle.lockfile", recorded!("gradle/gradle.lockfile"))]), needed);
    assert_eq!(
        found(&[("app/buildscript-gradle.lockfile", recorded!("gradle/buildscript-gradle.lockfile"))]),
        set(["com.example.plugin:com.example.plugin.gradle.plugin 6.3.1.5724", "com.example.plugin:plugin 6.3.1.5724"])
    );
    assert_eq!(
        found(&[("app/settings-gradle.lockfile", recorded!("gradle/settings-gradle.lockfile"))]),
        BTreeSet::new()
    );
}

#[test]
fn gradle_had_a_lock_for_each_configuration() {
    let lock = |configuration: &str, content: &[u8]| {
        found(&[(&format!("app/gradle/dependency-locks/{configuration}.lockfile"), content)])
    };
    let runtime = recorded!("gradle/dependency-locks/runtimeClasspath.lockfile");
    assert_eq!(lock("runtimeClasspath", runtime), set(["com.example:core 5.1.0"]));
    let test = recorded!("gradle/dependency-locks/testRuntimeClasspath.lockfile");
    assert_eq!(lock("testRuntimeClasspath", test), BTreeSet::new());
}

/// `   GROUP:ARTIFACT:jar:VERSION:SCOPE`.
fn maven(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.trim().split_once(":jar:")?;
    Some((name, rest.split(':').next()?))
}

#[test]
fn maven_lists_what_its_project_needs() {
    assert_eq!(found(&[("app/pom.xml", recorded!("maven/pom.xml"))]), told(said!("maven/list.txt"), maven));
}

/// The packages of the library, as the document says which of its entries are packages.
#[test]
fn dotnet_publishes_what_a_library_depends_on() {
    let document = recorded!("dotnet/Python.Runtime.deps.json");
    let json: serde_json::Value = serde_json::from_slice(document).unwrap();
    let libraries = json["libraries"].as_object().unwrap().iter();
    let packages =
        libraries.filter(|(_, library)| library["type"] == "package").map(|(name, _)| name.replace('/', " "));
    let packages: BTreeSet<String> = packages.collect();
    assert_eq!(packages.len(), 18);
    assert_eq!(found(&[("app/Python.Runtime.deps.json", document)]), packages);
    let inventory = image(&[("app/Python.Runtime.deps.json", document)]);
    assert_eq!(named(&inventory, "Microsoft.CSharp").package.files, ["app/Microsoft.CSharp.dll"]);
}

/// `├── NAME@VERSION`. An alias has the name that the project gave it, and what is no package of the registry no version.
fn bun(line: &str) -> Option<(&str, &str)> {
    let (name, version) = line.rsplit_once("── ")?.1.rsplit_once('@')?;
    let name = if name == "alias" { "ms" } else { name };
    version.starts_with(|c: char| c.is_ascii_digit()).then_some((name, version))
}

#[test]
fn bun_lists_what_is_in_its_binary_lock() {
    for (lock, listed) in [
        (recorded!("bun-0.6/bun.lockb"), said!("bun-0.6/ls.txt")),
        (recorded!("bun-1.1/bun.lockb"), said!("bun-1.1/ls.txt")),
    ] {
        let listed = told(listed, bun);
        assert_eq!(found(&[("app/bun.lockb", lock)]), listed);
        assert!(listed.contains("@babel/types 7.0.0-beta.4") && listed.contains("ms 2.0.0"));
    }
}

/// Every artifact that the document lists, and what it says of one of each kind.
#[test]
fn a_document_that_syft_wrote() {
    let bytes = recorded!("sbom/syft-1.18.json");
    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let text = |artifact: &serde_json::Value, field: &str| artifact[field].as_str().unwrap().to_owned();
    let artifacts = json["artifacts"].as_array().unwrap();
    let listed: BTreeSet<String> =
        artifacts.iter().map(|artifact| format!("{} {}", text(artifact, "name"), text(artifact, "version"))).collect();
    assert_eq!(listed.len(), 57);
    let document = sbom::parse(bytes, &Limits::default()).unwrap();
    assert_eq!(document.format, SbomFormat::Syft);
    assert_eq!(document.inventory.problems, []);
    let inventory = &document.inventory;
    let named_so = |component: &Component| format!("{} {}", component.package.name, component.package.version);
    assert_eq!(inventory.components.iter().map(named_so).collect::<BTreeSet<_>>(), listed);
    assert_eq!(document.subject.unwrap().name, "example");
    let bsdutils = named(inventory, "bsdutils");
    assert_eq!((&*bsdutils.ecosystem, &*bsdutils.package.path), ("Debian:12", "var/lib/dpkg/status"));
    let source = bsdutils.package.source.as_ref().unwrap();
    assert_eq!((&*source.name, &*source.version), ("util-linux", "2.38.1-5+deb12u3"));
    assert_eq!(named(inventory, "rack").purl, "pkg:gem/rack@2.2.22");
    assert_eq!(named(inventory, "@babel/highlight").package.path, "app/yarn.lock");
}

/// Every package that the report lists, but those for development.
#[test]
fn a_report_of_trivy() {
    let bytes = recorded!("trivy/report.json");
    let document = sbom::parse(bytes, &Limits::default()).unwrap();
    assert_eq!(document.format, SbomFormat::Trivy);
    let inventory = &document.inventory;
    assert_eq!(inventory.problems, []);
    let named_so = |component: &Component| format!("{} {}", component.package.name, component.package.version);
    assert_eq!(
        inventory.components.iter().map(named_so).collect::<BTreeSet<_>>(),
        set([
            "@example/core 7.12.11",
            "example/psr7 1.8.3",
            "example/router 7.4.4",
            "nodejs 1:18.19.0-1.module_el8.9.0+3700+1a2b3c4d",
            "openssl-libs 1:1.1.1k-12.el8_9",
        ])
    );
    let layers: Vec<String> = inventory.layers.iter().map(|layer| layer.hex()[..4].to_owned()).collect();
    assert_eq!(layers, ["3333", "4444"]);
    let (nodejs, openssl) = (named(inventory, "nodejs"), named(inventory, "openssl-libs"));
    assert_eq!((nodejs.layer, openssl.layer), (Some(inventory.layers[1]), Some(inventory.layers[0])));
    assert_eq!(nodejs.ecosystem, "AlmaLinux:8");
    assert_eq!(nodejs.package.files, ["usr/bin/node"]);
    assert_eq!(nodejs.package.licences, ["MIT and ASL 2.0"]);
    let source = nodejs.package.source.as_ref().unwrap();
    assert_eq!(source.module.as_deref(), Some("nodejs:18:8090020240101000000:a75119d5"));
    let source = openssl.package.source.as_ref().unwrap();
    assert_eq!((&*source.name, &*source.version), ("openssl", "1:1.1.1k-12.el8_9"));
    assert_eq!(named(inventory, "example/psr7").package.path, "srv/app/composer.lock");
    assert_eq!(named(inventory, "@example/core").package.path, "srv/app/node_modules/@example/core/package.json");
    let needs = |from: &str, to: &str| {
        document
            .relations
            .iter()
            .any(|it| it.kind == RelationKind::DependsOn && it.from.as_deref() == Some(from) && &*it.to == to)
    };
    assert!(needs("pkg:composer/example/router@7.4.4", "pkg:composer/example/psr7@1.8.3"));
    assert!(needs(&nodejs.purl, &openssl.purl));
    let subject = document.subject.as_ref().unwrap();
    assert_eq!((&*subject.name, &subject.digest.unwrap().hex()[..4]), ("registry.example.org/shop/web:1.4", "5555"));
}

/// The same of SPDX 3.0, in which licences and what needs what are elements of their own.
#[test]
fn a_document_in_spdx_3_that_another_tool_wrote() {
    let document = sbom::parse(recorded!("sbom/lib4sbom.spdx3.json"), &Limits::default()).unwrap();
    assert_eq!(document.format, SbomFormat::Spdx3);
    assert_eq!(document.inventory.problems, []);
    let purls: Vec<&str> = document.inventory.components.iter().map(|component| &*component.purl).collect();
    assert_eq!(
        purls,
        [
            "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&distro=debian-12",
            "pkg:npm/%40babel/types@7.0.0-beta.4",
            "pkg:pypi/click@8.1.7",
            "pkg:pypi/flask@3.0.3",
        ]
    );
    assert_eq!(document.subject.unwrap().name, "service");
    assert_eq!(named(&document.inventory, "flask").package.licences, ["BSD-3-Clause"]);
    assert_eq!(named(&document.inventory, "openssl").ecosystem, "Debian:12");
    let needs = |relation: &sbom::Relation| {
        relation.kind == RelationKind::DependsOn
            && relation.from.as_deref() == Some("pkg:pypi/flask@3.0.3")
            && &*relation.to == "pkg:pypi/click@8.1.7"
    };
    assert!(document.relations.iter().any(needs), "{:?}", document.relations);
    let checksum = document.checksums["pkg:pypi/click@8.1.7"].first().unwrap();
    assert_eq!(checksum.value, format!("{:064x}", 1));
}
