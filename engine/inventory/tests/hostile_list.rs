//! What people build to harm who reads images, one test a case. Each is refused or said to be a problem, with the layer
//! and the file named.

mod support;

use std::fmt::Write as _;
use std::io::Write as _;

use stella_domain::Digest;
use stella_inventory::image::{ImageFile, ReadOptions};
use stella_inventory::{Inventory, Limits, fold, sbom};
use support::*;

/// How an image with `layer` in it is refused; the layer is named.
fn refused(layer: &[u8]) -> String {
    let error = scan(&docker_archive(&[layer.to_vec()])).expect_err("it should be refused").to_string();
    assert!(error.contains(&Digest::of(layer).to_string()), "the layer is not named: {error}");
    error
}

/// What is said about an image with `layer` in it: `PATH: MESSAGE`.
fn problems(inventory: &Inventory) -> Vec<String> {
    inventory.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

fn read(layer: &[u8]) -> Inventory {
    scan(&docker_archive(&[layer.to_vec()])).expect("it should be read")
}

fn problem_of(path: &str, content: &[u8]) -> String {
    let layer = Layer::new().file(path, content).file("app/node_modules/a/package.json", PACKAGE).build();
    let inventory = read(&layer);
    assert!(inventory.components.iter().any(|found| found.package.name == "a"), "the rest of the layer is read");
    let problems = problems(&inventory);
    assert!(problems.iter().all(|problem| problem.starts_with(&format!("{path}: "))), "{problems:?}");
    problems.join("\n")
}

const PACKAGE: &str = r#"{"name":"a","version":"1.0.0"}"#;

#[test]
fn path_traversal() {
    let error = refused(&Layer::new().raw(b"srv/../../etc/shadow", tar::EntryType::Regular, b"").build());
    assert!(error.ends_with("entry 'srv/../../etc/shadow' leads out of the root"), "{error}");
}

#[test]
fn path_traversal_by_a_hard_link() {
    let error = refused(&Layer::new().raw(b"srv/x", tar::EntryType::Link, b"../etc/shadow").build());
    assert!(error.contains("after entry 'srv/x': hard link to '../etc/shadow', out of the root"), "{error}");
}

#[test]
fn path_traversal_by_a_whiteout() {
    let error = refused(&Layer::new().raw(b"srv/.wh...", tar::EntryType::Regular, b"").build());
    assert!(error.contains("'srv/.wh...': a whiteout that leads out of its folder"), "{error}");
}

#[test]
fn absolute_links_lead_to_the_image_itself() {
    let layer = Layer::new()
        .symlink("lib", "/usr/lib")
        .symlink("out", "../../../../../usr/lib")
        .file("lib/os-release", DEBIAN_12)
        .file("out/apk/db/installed", "P:a\nV:1-r0\n\n")
        .build();
    let inventory = read(&layer);
    assert_eq!(inventory.os.as_ref().map(|os| os.version.as_str()), Some("12"));
    assert_eq!(inventory.components[0].package.path, "usr/lib/apk/db/installed");
}

#[test]
fn looping_links_end() {
    let layer = Layer::new()
        .symlink("a", "b")
        .symlink("b", "a")
        .symlink("self", "self/self")
        .symlink("lib", "/lib")
        .file("a/node_modules/a/package.json", PACKAGE)
        .file("self/node_modules/a/package.json", PACKAGE)
        .file("lib/node_modules/a/package.json", PACKAGE)
        .build();
    let mut paths: Vec<String> = read(&layer).components.iter().map(|found| found.package.path.clone()).collect();
    paths.sort_unstable();
    let name = "node_modules/a/package.json";
    assert_eq!(paths, [format!("a/{name}"), format!("lib/{name}"), format!("self/{name}")]);
}

#[test]
fn a_chain_of_links_does_not_multiply_names() {
    let mut layer = Layer::new();
    for index in 0..39 {
        layer = layer.symlink(&format!("l{index}"), &format!("l{}/{}", index + 1, "x/".repeat(45)));
    }
    for index in 0..500 {
        layer = layer.file(&format!("l0/.wh.{index}"), "");
    }
    let layer = layer.build();
    let image = open(&docker_archive(std::slice::from_ref(&layer))).unwrap();
    let read = image.read_layers(&|_| true).unwrap();
    let bytes: usize = read[0].whiteouts.iter().map(String::len).sum();
    assert!(bytes < 3 * 1024 * 1024, "{bytes} bytes of names from {} of archive", layer.len());
}

#[test]
fn device_nodes_are_never_opened() {
    let layer = Layer::new()
        .special(tar::EntryType::Block, "etc/os-release", None)
        .special(tar::EntryType::Char, "app/node_modules/a/package.json", None)
        .special(tar::EntryType::Fifo, "var/lib/dpkg/status", None)
        .build();
    let inventory = read(&layer);
    assert!(inventory.components.is_empty() && inventory.os.is_none() && inventory.problems.is_empty());
}

#[test]
fn a_device_node_hides_the_file_below_it() {
    let base = Layer::new().file("var/lib/dpkg/status", dpkg(&[("a", "1")])).build();
    let upper = Layer::new().special(tar::EntryType::Char, "var/lib/dpkg/status", None).build();
    assert!(scan(&docker_archive(&[base, upper])).unwrap().components.is_empty());
}

#[test]
fn sparse_files_are_said_to_be_unread() {
    let layer = Layer::new().special(tar::EntryType::GNUSparse, "var/lib/dpkg/status", None).build();
    assert_eq!(problems(&read(&layer)), ["var/lib/dpkg/status: it is a sparse file"]);
    let pax =
        [pax(b"x", &[("GNU.sparse.major", "1"), ("GNU.sparse.name", "var/lib/dpkg/status")]), entry("x", b"0", b"")];
    assert_eq!(
        problems(&read(&[&pax.concat()[..], &[0; 1024]].concat())),
        ["var/lib/dpkg/status: it is a sparse file"]
    );
}

#[test]
fn maps_of_sparse_files_that_never_end() {
    let mut sparse = entry("hole", b"S", b"");
    sparse[482] = 1;
    sum(&mut sparse);
    let mut map = [0u8; 512];
    map[504] = 1;
    for _ in 0..3 {
        sparse.extend(map);
    }
    let error = refused(&sparse);
    assert!(error.contains("truncated"), "{error}");
}

#[test]
fn pax_records_that_lie_about_their_length() {
    for record in
        ["99999999999999999999 path=x\n", "400 path=x\n", "5 a\n\n\n", "-1 path=x\n", "0 path=x\n", "path=x\n"]
    {
        let layer = [
            entry("ok", b"0", b""),
            entry("PaxHeaders/x", b"x", record.as_bytes()),
            entry("x", b"0", b""),
            vec![0; 1024],
        ];
        let error = refused(&layer.concat());
        assert!(
            error.contains("bad tar header") && error.contains("'ok'") && error.contains("pax record"),
            "{record:?}: {error}"
        );
    }
}

#[test]
fn pax_sizes_that_no_archive_has() {
    let layer = [pax(b"x", &[("size", "18446744073709551615")]), entry("x", b"0", b""), vec![0; 1024]].concat();
    let error = refused(&layer);
    assert!(error.contains("'x'") && error.contains("bytes in a file"), "{error}");
    let layer = [pax(b"x", &[("size", "-5")]), entry("x", b"0", b""), vec![0; 1024]].concat();
    assert!(refused(&layer).contains("bad tar header"));
}

#[test]
fn long_names_of_gnu_without_end() {
    let mut name = entry("././@LongLink", b"L", b"");
    name[124..136].copy_from_slice(b"77777777777\0");
    sum(&mut name);
    let error = refused(&[entry("ok", b"0", b""), name, vec![b'a'; 4096]].concat());
    assert!(error.contains("'ok'") && error.contains("1048576 bytes in an extended header"), "{error}");
}

#[test]
fn a_long_name_that_its_header_cuts_off_after_a_slash_is_still_a_file() {
    let folder = format!("{}/", "n".repeat(86));
    for cut in [&folder[..], "d/"] {
        let path = format!("{}{cut}node_modules/a/package.json", "x/".repeat((100 - cut.len()) / 2));
        let padded = format!("{}{path}", if cut == folder { "y" } else { "" });
        let inventory = read(&Layer::new().file(&padded, PACKAGE).build());
        assert_eq!(inventory.components.len(), 1, "{padded}");
    }
}

#[test]
fn names_that_are_not_utf8() {
    let error = refused(&Layer::new().raw(b"srv/caf\xe9", tar::EntryType::Regular, b"").build());
    assert!(error.contains("not UTF-8") && error.contains("srv/caf"), "{error}");
}

#[test]
fn the_last_of_duplicate_entries_counts() {
    let layer = Layer::new()
        .file("app/node_modules/a/package.json", PACKAGE)
        .file("var/lib/dpkg/status", dpkg(&[("gone", "1")]))
        .file("./app//node_modules/a/package.json", r#"{"name":"a","version":"2.0.0"}"#)
        .file("var/lib/dpkg/status", dpkg(&[("b", "1")]))
        .build();
    let mut found: Vec<String> = read(&layer)
        .components
        .iter()
        .map(|found| format!("{} {}", found.package.name, found.package.version))
        .collect();
    found.sort_unstable();
    assert_eq!(found, ["a 2.0.0", "b 1"]);
}

#[test]
fn duplicate_documents_in_an_archive_do_not_pass_unverified() {
    // The last manifest counts, and what it names has to have the bytes it says.
    let layer = Layer::new().file("app/node_modules/a/package.json", PACKAGE).build();
    let other = Layer::new().file("app/node_modules/b/package.json", PACKAGE).build();
    let mut archive = docker_archive(std::slice::from_ref(&layer));
    archive.truncate(archive.len() - 1024);
    archive.extend(Layer::new().file("layer0/layer.tar", &other).build());
    let error = scan(&archive).unwrap_err().to_string();
    let (wanted, found) = (Digest::of(&layer), Digest::of(&other));
    assert_eq!(error, format!("layer {wanted}: its uncompressed bytes are {found}, so its diffID is wrong"));
}

#[test]
fn a_layer_whose_digest_lies() {
    let layer = Layer::new().file("app/node_modules/a/package.json", PACKAGE).build();
    let mut files = oci_files(std::slice::from_ref(&layer), &gzip);
    let blob = Digest::of(gzip(&layer));
    let other = gzip(&Layer::new().file("app/node_modules/b/package.json", PACKAGE).build());
    let place = files.iter_mut().find(|(path, _)| path.ends_with(&blob.hex())).unwrap();
    place.1.clone_from(&other);
    let error = scan(&archive_of(&files)).unwrap_err().to_string();
    let wanted = Digest::of(&layer);
    assert_eq!(error, format!("layer {wanted}: its blob should be {blob} and is {}", Digest::of(&other)));
}

#[test]
fn bombs_of_gzip_and_zstd() {
    let layer = zeros(64 << 20);
    for pack in [gzip_best as fn(&[u8]) -> Vec<u8>, zstd] {
        let error = scan(&archive_of(&oci_files(std::slice::from_ref(&layer), &pack))).unwrap_err().to_string();
        assert!(error.starts_with(&format!("layer {}", Digest::of(&layer))), "{error}");
        assert!(error.contains("200 uncompressed bytes for each compressed byte"), "{error}");
    }
}

fn gzip_best(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zeros(size: u64) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    layer.append_data(&mut header, "zeros", std::io::Read::take(std::io::repeat(0), size)).unwrap();
    layer.into_inner().unwrap()
}

#[test]
fn a_gzip_within_a_gzip_is_no_layer() {
    let error = refused(&gzip(&gzip(&zeros(1 << 20))));
    assert!(error.contains("bad tar header at byte 0"), "{error}");
}

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
            assert!(!problem.is_empty() && problem.len() < 1000, "{path}: {problem}");
        }
    }
}

#[test]
fn json_without_bottom_in_the_documents_of_an_image() {
    for name in ["manifest.json", "index.json", "repositories"] {
        let archive = Layer::new().file(name, "[".repeat(1 << 20)).build();
        let error = scan(&archive).unwrap_err().to_string();
        assert!(error.len() < 500 && !error.is_empty(), "{error}");
    }
}

#[test]
fn xml_with_entities() {
    let lol = r#"<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY x SYSTEM
        "file:///etc/passwd">]><project><dependencies><dependency><groupId>g</groupId><artifactId>&b;&x;</artifactId>
        <version>1</version></dependency></dependencies></project>"#;
    let inventory = read(&Layer::new().file("srv/pom.xml", lol).build());
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

/// A header block and its padded body.
fn entry(name: &str, kind: &[u8; 1], body: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
    block[156] = kind[0];
    block[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut block);
    block.extend(body);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn sum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    (&mut block[148..156]).write_all(format!("{sum:06o}\0 ").as_bytes()).unwrap();
}

/// An extended header with these records.
fn pax(kind: &[u8; 1], records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        let length = (1..).find(|length: &usize| length.to_string().len() + rest.len() == *length).unwrap();
        format!("{length}{rest}")
    };
    entry("PaxHeaders/x", kind, records.iter().map(record).collect::<String>().as_bytes())
}

/// A long folder and many short names: 2 MiB that would be 256 GiB of paths.
#[test]
fn a_long_folder_of_many_names_is_not_multiplied() {
    let folder = "f".repeat(1 << 20);
    let told = "it declares more packages than one file may; the rest is left out";
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
