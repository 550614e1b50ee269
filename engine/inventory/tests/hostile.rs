//! Archives built to harm: each is refused with the layer named, or loses its sting.

mod support;

use std::io::Write as _;

use stella_domain::Digest;
use stella_inventory::Limits;
use stella_inventory::image::{ImageError, ImageFile, ReadOptions};
use support::*;

fn refusal(layer: &[u8]) -> String {
    refusal_with(layer, Limits::default())
}

fn refusal_with(layer: &[u8], limits: Limits) -> String {
    let archive = docker_archive(&[layer.to_vec()]);
    let options = ReadOptions { limits, ..options() };
    let result = ImageFile::open(on_disk(&archive).path(), &options).and_then(|image| image.inventory());
    let error = result.expect_err("it should be refused").to_string();
    assert!(error.contains(&Digest::of(layer).to_string()), "the layer is not named: {error}");
    error
}

#[test]
fn names_that_lead_out_of_the_root() {
    for name in [&b"../../etc/passwd"[..], b"usr/../../etc/passwd", b"/../x"] {
        let error = refusal(&Layer::new().raw(name, tar::EntryType::Regular, b"").build());
        assert!(error.contains("leads out of the root"), "{error}");
    }
    let error = refusal(&Layer::new().raw(b"x/.wh...", tar::EntryType::Regular, b"").build());
    assert!(error.contains("whiteout"), "{error}");
    let error = refusal(&Layer::new().raw(b"x", tar::EntryType::Link, b"../../etc/passwd").build());
    assert!(error.contains("out of the root"), "{error}");
}

#[test]
fn absolute_names_and_links_out_of_the_root_stay_inside() {
    let layer = Layer::new()
        .raw(b"/etc/", tar::EntryType::Directory, b"")
        .symlink("lib", "../../../../usr/lib")
        .symlink("var/lib/dpkg/info", "/../../../srv/info")
        .file("lib/os-release", DEBIAN_12)
        .file("var/lib/dpkg/status", dpkg(&[("a", "1")]))
        .file("srv/info/keep", "")
        .build();
    let inventory = scan(&docker_archive(&[layer])).unwrap();
    assert_eq!(inventory.os.as_ref().unwrap().version, "12", "the link leads to usr/lib within the image");
    assert_eq!(inventory.components.len(), 1);
}

#[test]
fn devices_and_pipes_are_passed_over() {
    let layer = Layer::new()
        .special(tar::EntryType::Char, "dev/null", None)
        .special(tar::EntryType::Fifo, "var/lib/dpkg/status", None)
        .special(tar::EntryType::Block, "etc/os-release", None)
        .build();
    let inventory = scan(&docker_archive(&[layer])).unwrap();
    assert!(inventory.components.is_empty() && inventory.os.is_none());
}

#[test]
fn names_that_are_not_utf8() {
    let layer = Layer::new()
        .raw(b"srv/caf\xe9", tar::EntryType::Regular, b"")
        .file("var/lib/dpkg/status", dpkg(&[("a", "1")]))
        .build();
    assert!(refusal(&layer).contains("not UTF-8"));
    let lenient = ReadOptions { limits: Limits { refuse_non_utf8: false, ..Limits::default() }, ..options() };
    let archive = docker_archive(&[layer]);
    let image = ImageFile::open(on_disk(&archive).path(), &lenient).unwrap();
    assert_eq!(image.inventory().unwrap().components.len(), 1);
}

#[test]
fn truncated_layers() {
    let layer = Layer::new().file("a", vec![1; 5000]).build();
    let error = refusal(&layer[..2048]);
    assert!(error.contains("truncated") && error.contains("'a'"), "{error}");
    let error = refusal(&gzip_prefix(&layer));
    assert!(error.contains("truncated"), "{error}");
}

/// A layer whose gzip stream ends early, kept under the digest of what is there.
fn gzip_prefix(layer: &[u8]) -> Vec<u8> {
    let packed = gzip(layer);
    packed[..packed.len() / 2].to_vec()
}

#[test]
fn truncated_archives() {
    let archive = docker_archive(&[Layer::new().file("a", vec![1; 5000]).build()]);
    for archive in [archive[..4000].to_vec(), gzip(&archive)[..100].to_vec()] {
        let error = scan(&archive).unwrap_err();
        assert!(matches!(error, ImageError::Archive(_) | ImageError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("truncated"), "{error}");
    }
}

#[test]
fn decompression_bombs() {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let size = 64 << 20;
    header.set_size(size);
    layer.append_data(&mut header, "zeros", std::io::Read::take(std::io::repeat(0), size)).unwrap();
    let layer = layer.into_inner().unwrap();
    for pack in [gzip_best, zstd] {
        let archive = archive_of(&oci_files(std::slice::from_ref(&layer), &pack));
        let error = scan(&archive).unwrap_err().to_string();
        assert!(error.contains("200 uncompressed bytes for each compressed byte"), "{error}");
        assert!(error.contains(&Digest::of(&layer).to_string()), "{error}");
        let small = Limits { max_layer_bytes: 1 << 20, ..Limits::default() };
        let error = refuse(&archive, small);
        assert!(error.contains("uncompressed bytes in a layer"), "{error}");
        let total = Limits { max_total_bytes: 1 << 20, ..Limits::default() };
        assert!(refuse(&archive, total).contains("limit of 1048576"));
    }
    // A bomb around the whole archive.
    let error = scan(&gzip_best(&docker_archive(&[layer]))).unwrap_err().to_string();
    assert!(error.contains("for each compressed byte"), "{error}");
}

fn gzip_best(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refuse(archive: &[u8], limits: Limits) -> String {
    let options = ReadOptions { limits, ..options() };
    let result = ImageFile::open(on_disk(archive).path(), &options).and_then(|image| image.inventory());
    result.unwrap_err().to_string()
}

#[test]
fn too_many_entries_too_deep_and_too_long() {
    let many = (0..20).fold(Layer::new(), |layer, index| layer.file(&format!("f{index}"), "")).build();
    let error = refusal_with(&many, Limits { max_entries: 10, ..Limits::default() });
    assert!(error.contains("10 entries") && error.contains("f10"), "{error}");
    let deep = Layer::new().file(&"d/".repeat(300), "").build();
    assert!(refusal(&deep).contains("components in a path"));
    let long = Layer::new().file(&"x".repeat(5000), "").build();
    assert!(refusal(&long).contains("bytes in a path"));
    let layers: Vec<Vec<u8>> = (0..5).map(|index| Layer::new().file(&format!("f{index}"), "").build()).collect();
    let error = refuse(&docker_archive(&layers), Limits { max_layers: 4, ..Limits::default() });
    assert_eq!(error, "the image has 5 layers, more than the limit of 4");
}

#[test]
fn a_header_that_promises_more_than_there_can_be() {
    let mut layer = Layer::new().file("var/lib/dpkg/status", "x").build();
    layer[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let sum: u32 =
        layer[..512].iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    (&mut layer[148..156]).write_all(format!("{sum:06o}\0 ").as_bytes()).unwrap();
    assert!(refusal(&layer).contains("bytes in a file"));
}

#[test]
fn one_broken_file_is_a_problem_and_no_refusal() {
    let layer = Layer::new()
        .file("app/node_modules/a/package.json", "{broken")
        .file("app/node_modules/b/package.json", r#"{"name":"b","version":"1.0.0"}"#)
        .file("etc/os-release", "NAME=x\n")
        .file(
            "var/lib/dpkg/status",
            "Package: x\nStatus: install ok installed\n\nPackage: y\nVersion: 1\nStatus: install ok installed\n",
        )
        .build();
    let inventory = scan(&docker_archive(&[layer])).unwrap();
    assert_eq!(inventory.components.len(), 2);
    let places: Vec<&str> = inventory.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(places, ["app/node_modules/a/package.json", "etc/os-release", "var/lib/dpkg/status"]);
}

#[test]
fn a_document_that_is_too_large_is_refused() {
    let layer = Layer::new().file("var/lib/dpkg/status", dpkg(&[("a", "1"), ("b", "1"), ("c", "1")])).build();
    let options = ReadOptions { limits: Limits { max_metadata_bytes: 150, ..Limits::default() }, ..options() };
    let files = archive_of(&oci_files(&[layer], &gzip));
    let error = ImageFile::open(on_disk(&files).path(), &options).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { max: 150, .. }), "{error}");
}

#[test]
fn an_index_that_contains_itself_ends() {
    let folder = tempfile::tempdir().unwrap();
    // Digests forbid a true circle, so a long chain stands for it.
    let mut below = format!(r#"{{"manifests":[{{"digest":"{}"}}]}}"#, Digest::of("nothing"));
    std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
    for _ in 0..60 {
        let digest = Digest::of(&below);
        std::fs::write(folder.path().join("blobs/sha256").join(digest.hex()), &below).unwrap();
        below = format!(r#"{{"manifests":[{{"digest":"{digest}"}}]}}"#);
    }
    std::fs::write(folder.path().join("index.json"), below).unwrap();
    let error = stella_inventory::image::read_image(folder.path(), &options()).unwrap_err();
    assert!(matches!(error, ImageError::Nesting { max: 32 }), "{error}");
}

proptest::proptest! {
    #[test]
    fn damaged_archives_never_panic(at in 0usize..20_000, value: u8, cut in 0usize..20_000) {
        let layer = Layer::new()
            .file("var/lib/dpkg/status", dpkg(&[("a", "1")]))
            .symlink("x", "y")
            .file(&"long/".repeat(40), "z")
            .build();
        let mut archive = docker_archive(&[layer]);
        let length = archive.len();
        archive[at % length] = value;
        archive.truncate(length - cut % length);
        let _ = scan(&archive);
        let _ = scan(&gzip(&archive));
    }
}
