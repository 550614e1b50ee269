//! Images of every form give the same inventory.

mod support;

use std::io;
use std::path::Path;

use stella_domain::Digest;
use stella_inventory::image::{
    BlobSource, ImageError, ManifestOrIndex, parse_config, parse_manifest_or_index, read_layers,
};
use stella_inventory::{Inventory, Limits, fold};
use support::*;

fn layers() -> Vec<Vec<u8>> {
    let base = Layer::new()
        .folder("usr")
        .folder("usr/lib")
        .symlink("lib", "usr/lib")
        .file("usr/lib/os-release", DEBIAN_12)
        .symlink("etc/os-release", "../usr/lib/os-release")
        .file(
            "var/lib/dpkg/status",
            dpkg(&[("libssl3", "3.0.11-1"), ("zlib1g", "1:1.2.13"), ("python3-six", "1.16.0-4")]),
        )
        .file("var/lib/dpkg/info/libssl3:amd64.list", "/.\n/lib\n/lib/libssl.so.3\n")
        .file("var/lib/dpkg/info/python3-six.list", "/usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA\n")
        .file("usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA", "Name: six\nVersion: 1.16.0\n")
        .file("app/node_modules/left-pad/package.json", r#"{"name":"left-pad","version":"1.3.0"}"#)
        .file("app/node_modules/gone/package.json", r#"{"name":"gone","version":"1.0.0"}"#);
    let upper = Layer::new()
        .file(
            "var/lib/dpkg/status",
            dpkg(&[("libssl3", "3.0.11-1"), ("zlib1g", "1:1.2.14"), ("python3-six", "1.16.0-4")]),
        )
        .file("app/node_modules/.wh.gone", "")
        .file("usr/lib/python3/dist-packages/Django-3.2.10.dist-info/METADATA", "Name: Django\nVersion: 3.2.10\n")
        .file("usr/lib/python3/dist-packages/Django-3.2.10.dist-info/RECORD", "django/__init__.py,,\n");
    vec![base.build(), upper.build()]
}

fn check(inventory: &Inventory) {
    assert_eq!(
        shown(inventory),
        [
            "pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&distro=debian-12 var/lib/dpkg/status",
            "pkg:deb/debian/python3-six@1.16.0-4?arch=amd64&distro=debian-12 var/lib/dpkg/status",
            "pkg:deb/debian/zlib1g@1:1.2.14?arch=amd64&distro=debian-12 var/lib/dpkg/status",
            "pkg:npm/left-pad@1.3.0 app/node_modules/left-pad/package.json",
            "pkg:pypi/django@3.2.10 usr/lib/python3/dist-packages/Django-3.2.10.dist-info/METADATA",
        ]
    );
    let layers = layers();
    let [base, upper] = [Digest::of(&layers[0]), Digest::of(&layers[1])];
    assert_eq!(inventory.layers, [base, upper]);
    assert_eq!(named(inventory, "libssl3").layer, Some(base), "unchanged since the base");
    assert_eq!(named(inventory, "zlib1g").layer, Some(upper));
    assert_eq!(named(inventory, "libssl3").package.files, ["usr/lib/libssl.so.3"], "by way of the link");
    assert_eq!(named(inventory, "django").package.files, ["usr/lib/python3/dist-packages/django/__init__.py"]);
    assert_eq!(named(inventory, "libssl3").ecosystem, "Debian:12");
    assert!(inventory.problems.is_empty());
}

#[test]
fn docker_archives_plain_and_compressed() {
    let archive = docker_archive(&layers());
    let image = open(&archive).unwrap();
    assert_eq!(image.names(), ["example.org/app:1"]);
    assert_eq!(image.digest(), Digest::of(config(&layers())));
    assert_eq!(image.config().config.as_ref().unwrap().cmd.as_deref(), Some(&["sh".to_owned()][..]));
    let plain = image.inventory().unwrap();
    check(&plain);
    for packed in [gzip(&archive), zstd(&archive)] {
        assert_eq!(scan(&packed).unwrap(), plain);
    }
}

#[test]
fn oci_archives_and_layouts_with_every_compression() {
    for pack in [&gzip as &dyn Fn(&[u8]) -> Vec<u8>, &zstd, &<[u8]>::to_vec] {
        let files = oci_files(&layers(), pack);
        let archive = archive_of(&files);
        check(&scan(&archive).unwrap());
        check(&scan(&gzip(&archive)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), &files);
        let inventory = stella_inventory::image::read_image(folder.path(), &options()).unwrap();
        check(&inventory);
    }
}

fn write_files(folder: &Path, files: &[(String, Vec<u8>)]) {
    for (path, bytes) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn an_archive_without_the_platform_names_those_it_has() {
    let archive = archive_of(&oci_files(&layers(), &gzip));
    let other = stella_inventory::image::ReadOptions { platform: "linux/riscv64".parse().unwrap(), ..options() };
    let error = stella_inventory::image::read_image(on_disk(&archive).path(), &other).unwrap_err().to_string();
    assert_eq!(error, "no image for linux/riscv64; there are: linux/s390x, linux/amd64");
}

struct Blobs(Vec<(String, Vec<u8>)>);

impl BlobSource for Blobs {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn io::Read + Send>> {
        let path = format!("blobs/sha256/{}", digest.hex());
        let found = self.0.iter().find(|(name, _)| *name == path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(found.1.clone())))
    }
}

#[test]
fn any_source_of_blobs_will_do_and_only_wanted_layers_are_read() {
    let files = oci_files(&layers(), &zstd);
    let documents: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let manifest = documents
        .iter()
        .find_map(|bytes| match parse_manifest_or_index(bytes) {
            Ok(ManifestOrIndex::Manifest(manifest)) => Some(manifest),
            _ => None,
        })
        .unwrap();
    let config = documents.iter().find_map(|bytes| parse_config(bytes).ok()).unwrap();
    let source = Blobs(files.clone());
    let all = read_layers(&source, &manifest, &config, &|_| true, &Limits::default()).unwrap();
    check(&fold(&all.iter().collect::<Vec<_>>()));
    let second = config.rootfs.diff_ids[1];
    let one = read_layers(&source, &manifest, &config, &|layer| *layer == second, &Limits::default()).unwrap();
    assert_eq!(one, all[1..]);
}

#[test]
fn a_flipped_byte_in_a_layer_refuses_the_image() {
    let layers = layers();
    let mut damaged = layers.clone();
    let at = damaged[0].windows(6).position(|window| window == b"1.16.0").unwrap();
    damaged[0][at] ^= 1;
    let archive = docker_archive(&layers);
    let at = archive.windows(512).position(|window| window == &layers[0][..512]).unwrap();
    let mut archive = archive;
    archive[at..at + layers[0].len()].copy_from_slice(&damaged[0]);
    for archive in [archive.clone(), gzip(&archive)] {
        let error = scan(&archive).unwrap_err();
        assert!(error.to_string().contains(&Digest::of(&layers[0]).to_string()), "{error}");
        assert!(matches!(error, ImageError::Layer(_)), "{error}");
    }
}

#[test]
fn a_layer_that_claims_the_diff_id_of_another_is_refused() {
    let layers = layers();
    let mut files = oci_files(&layers, &gzip);
    let innocent = Digest::of("the layer of somebody else").to_string();
    let (config, manifest) = (config(&layers), Digest::of(&layers[0]).to_string());
    let forged = config.replace(&manifest, &innocent);
    for (path, bytes) in &mut files {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if text == config {
            *bytes = forged.clone().into_bytes();
            *path = format!("blobs/sha256/{}", Digest::of(&forged).hex());
        } else if text.contains(&Digest::of(&config).to_string()) {
            text = text.replace(&Digest::of(&config).to_string(), &Digest::of(&forged).to_string());
            *bytes = text.into_bytes();
        }
    }
    relink(&mut files);
    let error = scan(&archive_of(&files)).unwrap_err().to_string();
    assert!(error.contains(&innocent) && error.contains("diffID is wrong"), "{error}");
}

/// Changes one byte in the file that has `from`, and gives its path and what it was and is.
fn change(files: &mut [(String, Vec<u8>)], from: &str, to: &str) -> (String, Digest, Digest) {
    let has = |bytes: &[u8]| bytes.windows(from.len()).any(|window| window == from.as_bytes());
    let (path, bytes) = files.iter_mut().find(|(_, bytes)| has(bytes)).unwrap();
    let before = Digest::of(&*bytes);
    *bytes = String::from_utf8(bytes.clone()).unwrap().replace(from, to).into_bytes();
    (path.clone(), before, Digest::of(&*bytes))
}

fn assert_refused(error: &ImageError, (path, before, after): &(String, Digest, Digest)) {
    let ImageError::Digest { what, expected, found } = error else { panic!("{path}: {error}") };
    assert_eq!((what, expected, found), (path, before, after), "{error}");
    assert!(error.to_string().contains(path.as_str()), "{error}");
}

#[test]
fn a_changed_byte_in_a_document_of_a_layout_refuses_the_image() {
    let whole = oci_files(&layers(), &gzip);
    for (from, to) in [
        (r#""schemaVersion":2,"config""#, r#""schemaVersion":3,"config""#),
        (r#"{"architecture":"amd64""#, r#"{"architecture":"amd65""#),
        (r#""architecture":"s390x""#, r#""architecture":"s390y""#),
    ] {
        let mut files = whole.clone();
        let changed = change(&mut files, from, to);
        assert!(changed.0.starts_with("blobs/sha256/"), "{changed:?}");
        let archive = archive_of(&files);
        for archive in [archive.clone(), gzip(&archive), zstd(&archive)] {
            assert_refused(&scan(&archive).unwrap_err(), &changed);
        }
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), &files);
        let error = stella_inventory::image::read_image(folder.path(), &options()).unwrap_err();
        assert_refused(&error, &changed);
    }
}

#[test]
fn a_changed_byte_in_the_configuration_of_a_docker_archive_refuses_the_image() {
    let layers = layers();
    let config = config(&layers);
    let changed = config.replace(r#""Cmd":["sh"]"#, r#""Cmd":["su"]"#);
    assert_eq!(changed.len(), config.len());
    let mut archive = docker_archive(&layers);
    let at = archive.windows(config.len()).position(|window| window == config.as_bytes()).unwrap();
    archive[at..at + config.len()].copy_from_slice(changed.as_bytes());
    let name = format!("{}.json", Digest::of(&config).hex());
    for archive in [archive.clone(), gzip(&archive), zstd(&archive)] {
        let told = (name.clone(), Digest::of(&config), Digest::of(&changed));
        assert_refused(&scan(&archive).unwrap_err(), &told);
    }
}

/// Brings the names of manifest and indexes in line with their bytes again.
fn relink(files: &mut [(String, Vec<u8>)]) {
    for _ in 0..3 {
        for at in 0..files.len() {
            let (path, bytes) = files[at].clone();
            let Some(old) = path.strip_prefix("blobs/sha256/").map(str::to_owned) else { continue };
            let new = Digest::of(&bytes).hex();
            if old == new {
                continue;
            }
            files[at].0 = format!("blobs/sha256/{new}");
            for (_, bytes) in files.iter_mut().filter(|(_, bytes)| bytes.starts_with(b"{")) {
                *bytes = String::from_utf8_lossy(bytes).replace(&old, &new).into_bytes();
            }
        }
    }
}

#[test]
fn a_layer_that_an_old_archive_links_to_is_found() {
    let base = Layer::new().file("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 1\n").build();
    let config = config(&[base.clone(), base.clone()]);
    let name = format!("{}.json", Digest::of(&config).hex());
    let manifest = format!(r#"[{{"Config":"{name}","Layers":["a/layer.tar","b/layer.tar"]}}]"#);
    let archive = Layer::new()
        .file("manifest.json", manifest)
        .symlink("a/layer.tar", "../b/layer.tar")
        .file("b/layer.tar", &base)
        .file(&name, &config)
        .build();
    for archive in [archive.clone(), zstd(&archive)] {
        let inventory = scan(&archive).unwrap();
        assert_eq!(inventory.components.len(), 1);
        assert_eq!(inventory.layers.len(), 2);
    }
}

/// An archive from before manifests: ids are names only, and the topmost layer comes first.
fn legacy_archive(layers: &[Vec<u8>], extra: &[(&str, &str)]) -> Vec<u8> {
    let id = |at: usize| format!("{at:064x}");
    let top = id(layers.len() - 1);
    let mut archive = Layer::new();
    for (at, layer) in layers.iter().enumerate().rev() {
        let parent = if at == 0 { String::new() } else { format!(r#""parent":"{}","#, id(at - 1)) };
        let json =
            format!(r#"{{"id":"{}",{parent}"os":"linux","architecture":"amd64","config":{{"Cmd":["sh"]}}}}"#, id(at));
        archive = archive
            .file(&format!("{}/VERSION", id(at)), "1.0")
            .file(&format!("{}/layer.tar", id(at)), layer)
            .file(&format!("{}/json", id(at)), json);
    }
    for (path, content) in extra {
        archive = archive.file(path, content);
    }
    let repositories = format!(r#"{{"example.org/app":{{"2":"{top}","1":"{top}"}}}}"#);
    archive.file("repositories", repositories).build()
}

#[test]
fn an_archive_from_before_manifests_is_put_together_by_its_parents() {
    let archive = legacy_archive(&layers(), &[]);
    let image = open(&archive).unwrap();
    assert_eq!(image.names(), ["example.org/app:1", "example.org/app:2"]);
    assert_eq!(image.config().config.as_ref().unwrap().cmd.as_deref(), Some(&["sh".to_owned()][..]));
    let plain = image.inventory().unwrap();
    check(&plain);
    for packed in [gzip(&archive), zstd(&archive)] {
        let packed = open(&packed).unwrap();
        assert_eq!(packed.digest(), image.digest());
        assert_eq!(packed.inventory().unwrap(), plain);
    }
    // The same ids around other bytes are another image.
    let mut other = layers();
    other[0] = Layer::new().file("etc/x", "y").build();
    assert_ne!(open(&legacy_archive(&other, &[])).unwrap().digest(), image.digest());
}

#[test]
fn a_manifest_goes_before_the_repositories_wherever_it_stands() {
    let (old, new) = (layers(), [layers()[0].clone()]);
    let config = config(&new);
    let name = format!("{}.json", Digest::of(&config).hex());
    let manifest = format!(r#"[{{"Config":"{name}","RepoTags":["new:1"],"Layers":["{:064x}/layer.tar"]}}]"#, 0);
    let archive = legacy_archive(&old, &[("manifest.json", &manifest), (&name, &config)]);
    for archive in [archive.clone(), gzip(&archive)] {
        let image = open(&archive).unwrap();
        assert_eq!(image.names(), ["new:1"]);
        assert_eq!(image.diff_ids(), [Digest::of(&new[0])]);
    }
}

#[test]
fn parents_without_end_without_a_layer_or_outside_are_refused() {
    let id = format!("{:064x}", 1);
    let archive = |json: &str, layer: bool| {
        let archive = Layer::new().file("repositories", format!(r#"{{"a":{{"1":"{id}"}}}}"#));
        let archive = archive.file(&format!("{id}/json"), json);
        if layer { archive.file(&format!("{id}/layer.tar"), &layers()[0]) } else { archive }.build()
    };
    for (archive, word) in [
        (archive(&format!(r#"{{"parent":"{id}"}}"#), true), "more than the limit of 512"),
        (archive(r#"{"parent":"../../etc"}"#, true), "not the id of a layer"),
        (archive("{}", false), "layer.tar, which is missing"),
        (archive(r#"{"parent":"ab"}"#, true), "ab/json, which is missing"),
        (Layer::new().file("repositories", "{}").build(), "without an image"),
        (Layer::new().file("repositories", "[]").build(), "malformed repositories"),
    ] {
        for archive in [archive.clone(), gzip(&archive)] {
            let error = scan(&archive).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}

#[test]
fn several_images_are_named_and_none_is_read() {
    let id = |at: u8| format!("{at:064x}");
    let image = |config: &str, name: &str| format!(r#"{{"Config":"{config}.json","RepoTags":["{name}"],"Layers":[]}}"#);
    let saved = |images: &[String]| Layer::new().file("manifest.json", format!("[{}]", images.join(","))).build();
    let entry = |at: u8, more: &str| format!(r#"{{"digest":"sha256:{}"{more}}}"#, id(at));
    let platform = r#","platform":{"os":"linux","architecture":"amd64"}"#;
    let named = format!(r#"{platform},"annotations":{{"org.opencontainers.image.ref.name":"two:1"}}"#);
    let index = format!(r#"{{"manifests":[{},{}]}}"#, entry(1, platform), entry(2, &named));
    let many: Vec<String> = (0..9).map(|at| image(&at.to_string(), &format!("app:{at}"))).collect();
    for (archive, told) in [
        (saved(&[image("a", "one:1"), image("b", "two:1")]), "2 images in it, and one is read: one:1, two:1"),
        (saved(&many), "9 images in it, and one is read: app:0, app:1, app:2, app:3, app:4, ..."),
        (Layer::new().file("index.json", index).build(), &format!("one is read: sha256:{}, two:1", id(1))),
        (
            Layer::new().file("repositories", format!(r#"{{"a":{{"2":"{}","1":"{}"}}}}"#, id(2), id(1))).build(),
            "2 images in it, and one is read: a:1, a:2",
        ),
    ] {
        for archive in [archive.clone(), gzip(&archive)] {
            let error = scan(&archive).unwrap_err().to_string();
            assert!(error.ends_with(told), "{error}");
        }
    }
}

#[test]
fn one_image_under_several_names_is_one() {
    let layers = layers();
    let config = config(&layers);
    let entry = |name: &str| {
        let paths: Vec<String> = (0..layers.len()).map(|at| format!("\"{at}.tar\"")).collect();
        format!(r#"{{"Config":"config.json","RepoTags":["{name}"],"Layers":[{}]}}"#, paths.join(","))
    };
    let mut archive = Layer::new().file("config.json", config);
    for (at, layer) in layers.iter().enumerate() {
        archive = archive.file(&format!("{at}.tar"), layer);
    }
    let archive = archive.file("manifest.json", format!("[{},{}]", entry("one:1"), entry("two:1"))).build();
    let image = open(&archive).unwrap();
    assert_eq!(image.names(), ["one:1", "two:1"]);
    check(&image.inventory().unwrap());
}

#[test]
fn signatures_beside_an_image_are_no_images() {
    let signature = |kind: &str, layer: &str| {
        let layer = format!(r#"{{"mediaType":"{layer}","digest":"{}"}}"#, Digest::of("payload"));
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{kind}","digest":"{}"}},"layers":[{layer}]}}"#,
            Digest::of("config")
        )
    };
    let config = "application/vnd.oci.image.config.v1+json";
    let beside = [
        signature(config, "application/vnd.dev.cosign.simplesigning.v1+json"),
        signature("application/vnd.oci.empty.v1+json", "application/vnd.dev.sigstore.bundle.v0.3+json"),
    ];
    let mut files = oci_files(&layers(), &gzip);
    let index: &mut Vec<u8> = &mut files.iter_mut().find(|(path, _)| path == "index.json").unwrap().1;
    let entries = beside.iter().map(|artifact| format!(r#"{{"digest":"{}"}},"#, Digest::of(artifact)));
    let list = String::from_utf8(index.clone()).unwrap();
    *index = list.replace("\"manifests\":[", &format!("\"manifests\":[{}", entries.collect::<String>())).into_bytes();
    files.extend(
        beside.iter().map(|text| (format!("blobs/sha256/{}", Digest::of(text).hex()), text.clone().into_bytes())),
    );
    let archive = archive_of(&files);
    for archive in [archive.clone(), gzip(&archive)] {
        let image = open(&archive).unwrap();
        assert_eq!(image.names(), ["app:1"]);
        check(&image.inventory().unwrap());
    }
}

/// As stargz-snapshotter packs a layer: a member for each piece, the table of contents in the tar's last entry, and an
/// empty member at the end whose extra field says where that is.
fn estargz(tar: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut table = 0;
    for piece in tar.chunks(700) {
        table = packed.len();
        packed.extend(gzip(piece));
    }
    let mut extra = b"SG\x16\0".to_vec();
    extra.extend(format!("{table:016x}STARGZ").into_bytes());
    let footer = flate2::GzBuilder::new().extra(extra).write(Vec::new(), flate2::Compression::none());
    packed.extend(footer.finish().unwrap());
    packed
}

/// As containers/storage packs a layer: a frame for each piece, and the table of contents and the footer in frames
/// that decoders skip.
fn zstd_chunked(tar: &[u8]) -> Vec<u8> {
    let skippable = |content: &[u8]| {
        let mut frame = 0x184d_2a50_u32.to_le_bytes().to_vec();
        frame.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        frame.extend(content);
        frame
    };
    let mut packed: Vec<u8> = tar.chunks(700).flat_map(zstd).collect();
    packed.extend(skippable(&zstd(b"{\"version\":1,\"entries\":[]}")));
    packed.extend(skippable(&[0; 64]));
    packed
}

#[test]
fn layers_that_can_be_read_in_pieces_are_read_whole() {
    let table = r#"{"version":1,"entries":[{"name":"x","type":"reg"}]}"#;
    let mut indexed = layers();
    for (at, layer) in indexed.iter_mut().enumerate() {
        // The table is an entry of the tar itself, so it belongs to the diffID.
        let end = Layer::new().file(".no.prefetch.landmark", "\x0f").file("stargz.index.json", table).build();
        layer.truncate(layer.len() - 1024);
        layer.extend(end);
        assert_ne!(*layer, layers()[at]);
    }
    let expected = scan(&docker_archive(&indexed)).unwrap();
    assert_eq!(shown(&expected), shown(&scan(&docker_archive(&layers())).unwrap()));
    for pack in [&estargz as &dyn Fn(&[u8]) -> Vec<u8>, &zstd_chunked] {
        let inventory = scan(&archive_of(&oci_files(&indexed, pack))).unwrap();
        assert_eq!(inventory, expected);
        assert!(inventory.problems.is_empty());
    }
    check(&scan(&archive_of(&oci_files(&layers(), &zstd_chunked))).unwrap());
}

#[test]
fn metadata_behind_a_hard_link_is_read() {
    let layer = Layer::new()
        .file("store/3f/a1", r#"{"name":"is-odd","version":"3.0.1"}"#)
        .hard_link("app/node_modules/is-odd/package.json", "store/3f/a1")
        .hard_link("app/node_modules/lost/package.json", "not/here")
        .build();
    let archive = docker_archive(&[layer]);
    for archive in [archive.clone(), gzip(&archive)] {
        let inventory = scan(&archive).unwrap();
        assert_eq!(shown(&inventory), ["pkg:npm/is-odd@3.0.1 app/node_modules/is-odd/package.json"]);
        assert_eq!(inventory.problems.len(), 1);
    }
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    for (bytes, word) in [
        (Vec::new(), "empty"),
        (b"{\"a\":1}".to_vec(), "JSON"),
        (Layer::new().file("x", "y").build(), "neither manifest.json"),
        (gzip(&Layer::new().file("x", "y").build()), "neither manifest.json"),
        (vec![7; 4096], "bad tar header"),
    ] {
        let error = scan(&bytes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
