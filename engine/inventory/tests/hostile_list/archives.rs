//! Layers and archives: names, links, headers, lengths, digests, bombs.

use std::io::Write as _;

use stella_domain::Digest;

use crate::support::*;
use crate::{PACKAGE, problems, read, refused};
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

/// Programs that are read in a second look too: what stands first does not hide what is there in the end, nor stays.
#[test]
fn the_last_of_duplicate_programs_counts() {
    const PATH: &str = "usr/bin/tool";
    let names = |layer: Vec<u8>| {
        let inventory = read(&layer);
        assert_eq!(problems(&inventory), Vec::<String>::new());
        inventory.components.into_iter().map(|found| found.package.name).collect::<Vec<_>>()
    };
    let (old, new) = (rust_program("old", "1.0.0"), rust_program("new", "2.0.0"));
    assert_eq!(names(Layer::new().file(PATH, &old).file(PATH, &new).build()), ["new", "tool"]);
    assert_eq!(names(Layer::new().file(PATH, "#!/bin/sh\n").file(PATH, &new).build()), ["new", "tool"]);
    assert_eq!(names(Layer::new().file(PATH, &old).file(PATH, "#!/bin/sh\n").build()), Vec::<String>::new());
}

/// A hard link is of the file that its target was by then, and is gone where a file takes its name.
#[test]
fn a_hard_link_is_of_what_is_there_in_the_end() {
    const NAME: &str = "app/node_modules/a/package.json";
    const TARGET: &str = "store/a";
    let names = |layer: Layer| {
        let inventory = read(&layer.build());
        let names = inventory.components.iter().map(|found| found.package.name.clone()).collect::<Vec<_>>();
        (names, problems(&inventory))
    };
    let package = |name: &str| format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
    let (old, new) = (package("old"), package("new"));
    let of = |name: &str| (vec![name.to_owned()], Vec::new());
    let twice = Layer::new().file(TARGET, &old).file(TARGET, &new);
    assert_eq!(names(twice.hard_link(NAME, TARGET)), of("new"));
    let later = Layer::new().file(TARGET, &new).hard_link(NAME, TARGET).file(TARGET, &old);
    assert_eq!(names(later), of("new"));
    let replaced = Layer::new().file(TARGET, &old).hard_link(NAME, TARGET).file(NAME, &new);
    assert_eq!(names(replaced), of("new"));
    let before = Layer::new().hard_link(NAME, TARGET).file(TARGET, &old);
    let (found, told) = names(before);
    assert_eq!((found.len(), told.len()), (0, 1), "{told:?}");
    let often = (0..9).fold(Layer::new(), |layer, _| layer.file(TARGET, &old));
    let (found, told) = names(often.hard_link(NAME, TARGET));
    assert_eq!(found.len(), 0);
    assert!(told[0].contains("more than 8 times"), "{told:?}");
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
fn json_without_bottom_in_the_documents_of_an_image() {
    for name in ["manifest.json", "index.json", "repositories"] {
        let archive = Layer::new().file(name, "[".repeat(1 << 20)).build();
        let error = scan(&archive).unwrap_err().to_string();
        let what = if name == "index.json" { "manifest" } else { name };
        assert!(error.len() < 500 && error.starts_with(&format!("malformed {what}: ")), "{error}");
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
