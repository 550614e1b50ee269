//! Files in a layer, and SBOMs: package databases, documents, archives in archives.

use std::fmt::Write as _;

use stella_inventory::image::{ImageFile, ReadOptions};
use stella_inventory::{Limits, fold, sbom};

use crate::support::*;
use crate::{problem_of, problems, read};
#[test]
fn zips_in_zips() {
    let mut archive = b"PK\x05\x06".to_vec();
    archive.resize(22, 0);
    for _ in 0..12 {
        archive = stored("inner.jar", &archive);
    }
    let problem = problem_of("srv/outer.jar", &archive);
    assert!(problem.contains("archives in each other"), "{problem}");
}

/// A zip archive with one entry that is not compressed.
fn stored(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let size = (content.len() as u32).to_le_bytes();
    let shared =
        [&[0u8; 8][..], &crc.sum().to_le_bytes(), &size, &size, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
    let local = [&b"PK\x03\x04\x14\0"[..], &shared, name.as_bytes(), content].concat();
    let central = [&b"PK\x01\x02\x14\0\x14\0"[..], &shared, &[0; 14], name.as_bytes()].concat();
    let end = [
        &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
        &(central.len() as u32).to_le_bytes(),
        &(local.len() as u32).to_le_bytes(),
        &[0, 0],
    ];
    [&local[..], &central, &end.concat()].concat()
}

#[test]
fn json_without_bottom() {
    for (path, start) in [
        ("srv/package-lock.json", r#"{"packages":{"#),
        ("srv/node_modules/b/package.json", r#"{"name":"#),
        ("opt/conda/conda-meta/b.json", r#"{"name":"b","files":"#),
        ("srv/composer.lock", r#"{"packages":"#),
    ] {
        for open in ["[", r#"{"a":"#] {
            let problem = problem_of(path, format!("{start}{}", open.repeat(200_000)).as_bytes());
            assert!(problem.len() < 1000, "{path}: {problem}");
            assert!(problem.contains(" at line ") || problem.contains("recursion"), "{path}: {problem}");
        }
    }
}

#[test]
fn xml_with_entities() {
    let lol = r#"<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY x SYSTEM
        "file:///etc/passwd">]><project><dependencies><dependency><groupId>g</groupId><artifactId>&b;&x;</artifactId>
        <version>1</version></dependency></dependencies></project>"#;
    let inventory = read(&Layer::new().file("srv/pom.xml", lol).build());
    let told = problems(&inventory);
    assert!(
        told.len() == 1
            && told[0].starts_with("srv/pom.xml: ")
            && told[0].contains("an entity that is none of XML's own"),
        "{told:?}"
    );
    assert!(inventory.components.iter().all(|found| !found.purl.contains("aaaa") && !found.purl.contains("root")));
    let sbom = r#"<?xml version="1.0"?><!DOCTYPE bom [<!ENTITY x SYSTEM "file:///etc/passwd">]>
        <bom xmlns="http://cyclonedx.org/schema/bom/1.6"><components><component><name>&x;</name></component></components></bom>"#;
    let error = sbom::parse(sbom.as_bytes(), &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("document type"), "{error}");
}

#[test]
fn package_databases_with_absurd_lengths() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("var/lib/rpm/Packages.db", {
            let mut ndb = ndb(&[rpm_header("a", "1", "1", "/", "b")]);
            let size = 256 * 16 + 12;
            ndb[size..size + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            ndb
        }),
        ("var/lib/rpm/Packages.db", {
            let mut header = rpm_header("a", "1", "1", "/", "b");
            header[..4].copy_from_slice(&u32::MAX.to_be_bytes());
            ndb(&[header])
        }),
        ("var/lib/rpm/rpmdb.sqlite", {
            let mut file = b"SQLite format 3\0\x02\0\x01\x01\0\x40\x20\x20".to_vec();
            file.resize(100, 0);
            file.extend([0x0d, 0, 0, 0xff, 0xff, 0, 0, 0]);
            file.resize(512, 0xff);
            file
        }),
        ("var/lib/rpm/Packages", {
            let mut file = vec![0u8; 12];
            file.extend(0x0006_1561u32.to_le_bytes());
            file.extend(9u32.to_le_bytes());
            file.extend(u32::MAX.to_le_bytes());
            file.resize(512, 0);
            file
        }),
    ];
    for (path, bytes) in cases {
        let problem = problem_of(path, &bytes);
        assert!(
            problem.contains("rpm: ") && (problem.contains("page ") || problem.contains("offset ")),
            "{path}: {problem}"
        );
    }
}

#[test]
fn a_package_name_as_long_as_its_database() {
    let name = "x".repeat(8 << 20);
    let limits = Limits { max_inventory_bytes: 4 << 20, ..Limits::default() };
    for (path, content) in [
        ("var/lib/dpkg/status", format!("Package: {name}\nStatus: install ok installed\nVersion: 1\n\n")),
        ("lib/apk/db/installed", format!("P:{name}\nV:1-r0\nA:x86_64\n\n")),
    ] {
        let archive = docker_archive(&[Layer::new().file(path, content).build()]);
        let options = ReadOptions { limits, ..options() };
        let error = ImageFile::open(on_disk(&archive).path(), &options).and_then(|image| image.inventory());
        let error = error.unwrap_err().to_string();
        let says = format!("entry '{path}' exceeds the limit of 4194304 bytes of names, packages and lists of files");
        assert!(error.ends_with(&says), "{error}");
    }
}

#[test]
fn a_list_of_files_that_many_packages_share_is_not_multiplied_without_end() {
    let files: String = (0..20_000).map(|index| format!("/usr/share/doc/{index}/{}\n", "y".repeat(100))).collect();
    let packages: Vec<(String, String)> = (0..1000).map(|index| ("a".to_owned(), index.to_string())).collect();
    let packages: Vec<(&str, &str)> =
        packages.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
    let layer =
        Layer::new().file("var/lib/dpkg/status", dpkg(&packages)).file("var/lib/dpkg/info/a.list", files).build();
    let read = open(&docker_archive(&[layer])).unwrap().read_layers(&|_| true).unwrap();
    let inventory = fold(&[&read[0]]);
    let bytes: usize = inventory.components.iter().flat_map(|found| &found.package.files).map(String::len).sum();
    assert_eq!(inventory.components.len(), 1000);
    assert!((1 << 20..1 << 30).contains(&bytes), "{bytes}");
    let says = "not all files of its packages are known: they exceed 1073741824 bytes";
    assert_eq!(problems(&inventory), [format!("var/lib/dpkg/status: {says}")]);
}

#[test]
fn a_long_path_is_not_multiplied_by_the_packages_in_it() {
    let mut requirements = String::new();
    for index in 0..200_000 {
        writeln!(requirements, "a{index}==1").unwrap();
    }
    let path = format!("{}{}/requirements.txt", "x/".repeat(120), "y".repeat(3000));
    let layer = Layer::new().file(&path, requirements).build();
    let read = open(&docker_archive(&[layer])).unwrap().read_layers(&|_| true).unwrap();
    assert!((1000..100_000).contains(&read[0].packages.len()), "{}", read[0].packages.len());
    assert!(read[0].problems[0].message.contains("more packages than one file may"), "{:?}", read[0].problems);
}

#[test]
fn names_that_no_package_has() {
    let module = "module a.example/b\nrequire (\n\ta.example/c/ v1.0.0\n\ta.example/d v1.0.0\n)\n";
    let inventory = read(&Layer::new().file("srv/go.mod", module).build());
    assert_eq!(shown(&inventory), ["pkg:golang/a.example/d@v1.0.0 srv/go.mod"]);
    assert_eq!(problems(&inventory), ["srv/go.mod: the package 'a.example/c/' is left out: nothing can be called so"]);
}

#[test]
fn sboms_that_refer_to_themselves() {
    let cyclonedx = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"type":"library","bom-ref":"a","name":"a","purl":"pkg:npm/a@1"},
        {"type":"library","bom-ref":"b","name":"b","purl":"pkg:npm/b@1"}],
        "dependencies":[{"ref":"a","dependsOn":["b","a"]},{"ref":"b","dependsOn":["a","b","nothing"]}]}"#;
    let spdx = r#"{"spdxVersion":"SPDX-2.3","packages":[
        {"SPDXID":"a","name":"a","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]},
        {"SPDXID":"b","name":"b","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/b@1"}]}],
        "relationships":[{"spdxElementId":"a","relationshipType":"CONTAINS","relatedSpdxElement":"b"},
        {"spdxElementId":"b","relationshipType":"CONTAINS","relatedSpdxElement":"a"},
        {"spdxElementId":"a","relationshipType":"CONTAINS","relatedSpdxElement":"a"}]}"#;
    for document in [cyclonedx, spdx] {
        let document = sbom::parse(document.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(document.inventory.components.len(), 2);
    }
}

/// A long folder and many short names: 2 MiB that would be 256 GiB of paths.
#[test]
fn a_long_folder_of_many_names_is_not_multiplied() {
    let folder = "f".repeat(1 << 20);
    let told = "it lists more files than one file may; packages are kept without theirs";
    let apk = format!("P:a\nV:1\nF:{folder}\n{}\n", "R:x\n".repeat(1 << 18));
    let error = problem_of("lib/apk/db/installed", apk.as_bytes());
    assert_eq!(error, format!("lib/apk/db/installed: {told}"));

    // `RECORD` and Conda count from a folder that the archive names, which may be 4 kB long.
    let base = vec!["d".repeat(200); 19].join("/");
    let list = "a\n".repeat(1 << 17);
    let record = format!("{base}/a-1.dist-info/RECORD");
    assert_eq!(problem_of(&record, list.as_bytes()), format!("{record}: {told}"));
    let conda = format!("{base}/conda-meta/a-1-0.json");
    let files = format!(r#"{{"name":"a","version":"1","files":[{}"x"]}}"#, r#""a","#.repeat(1 << 17));
    assert_eq!(problem_of(&conda, files.as_bytes()), format!("{conda}: {told}"));
}

#[test]
fn a_database_of_nothing_but_errors_has_a_bounded_number_of_problems() {
    let errors = problem_of("lib/apk/db/installed", "no field\n".repeat(5000).as_bytes());
    assert!(errors.lines().count() <= 1000);
}
