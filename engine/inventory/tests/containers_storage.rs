//! Images in the storage of Podman and CRI-O, written by skopeo as these write it.

mod support;

use std::path::Path;
use std::process::Command;

use stella_domain::Digest;
use stella_inventory::image::{ImageError, ImageFile};
use stella_inventory::{Limits, Provenance};
use support::*;

/// Two layers, the upper one taking away and replacing what the lower one has.
fn layers() -> Vec<Vec<u8>> {
    let base = Layer::new()
        .file("etc/os-release", DEBIAN_12)
        .symlink("lib", "usr/lib")
        .file("lib/apk/db/installed", "P:musl\nV:1.2.4-r2\nA:x86_64\n\n")
        .file("var/lib/dpkg/status", dpkg(&[("gone", "1")]))
        .file("app/node_modules/a/package.json", r#"{"name":"a","version":"1.0.0"}"#)
        .hard_link("app/node_modules/b/package.json", "app/node_modules/a/package.json")
        .file(&format!("srv/{}/name", "long/".repeat(30)), vec![7; 3000])
        .build();
    let upper = Layer::new()
        .file("var/lib/dpkg/.wh.status", "")
        .file("app/node_modules/.wh..wh..opq", "")
        .file("app/node_modules/c/package.json", r#"{"name":"c","version":"3.0.0"}"#)
        .build();
    vec![base, upper]
}

/// A storage with the image `localhost/app:1`; `None`, and a word, when skopeo or rights are missing.
fn storage(folder: &Path) -> Option<()> {
    let archive = folder.join("image.tar");
    std::fs::write(&archive, docker_archive(&layers())).unwrap();
    let to = format!("containers-storage:[overlay@{0}/root+{0}/run]localhost/app:1", folder.display());
    let copied = Command::new("skopeo")
        .args(["copy", "--insecure-policy", "--quiet", &format!("docker-archive:{}", archive.display()), &to])
        .output();
    match copied {
        Ok(copied) if copied.status.success() => Some(()),
        other => {
            eprintln!("SKIPPED: skopeo cannot write a storage here: {other:?}");
            None
        }
    }
}

#[test]
fn every_layer_is_verified_and_gives_what_the_archive_gives() {
    let folder = tempfile::tempdir().unwrap();
    if storage(folder.path()).is_none() {
        return;
    }
    let root = folder.path().join("root");
    let image = ImageFile::open_stored(&root, "localhost/app:1", &options()).unwrap();
    let diff_ids: Vec<Digest> = layers().iter().map(Digest::of).collect();
    assert_eq!(image.diff_ids(), diff_ids);
    assert!(!image.is_unpacked() && image.names() == ["localhost/app:1"]);
    assert_eq!(image.inventory().unwrap(), scan(&docker_archive(&layers())).unwrap());
    let upper = image.read_layers(&|diff_id| *diff_id == diff_ids[1]).unwrap();
    assert_eq!(upper[0].whiteouts, ["var/lib/dpkg/status"]);

    let error = ImageFile::open_stored(&root, "localhost/other:1", &options()).unwrap_err().to_string();
    assert!(error.contains("image localhost/other:1 in"), "{error}");
}

#[test]
fn a_file_that_was_changed_since_refuses_its_layer() {
    let folder = tempfile::tempdir().unwrap();
    if storage(folder.path()).is_none() {
        return;
    }
    let root = folder.path().join("root");
    let image = ImageFile::open_stored(&root, "app:1", &options()).unwrap();
    let package = find(&root.join("overlay"), "a/package.json");
    let text = std::fs::read_to_string(&package).unwrap();
    std::fs::write(&package, text.replace("1.0.0", "1.0.1")).unwrap();
    let base = Digest::of(&layers()[0]);
    let error = image.inventory().unwrap_err().to_string();
    assert!(error.starts_with(&format!("layer {base}: its uncompressed bytes are ")), "{error}");
    std::fs::write(&package, "{}").unwrap();
    let error = image.inventory().unwrap_err().to_string();
    assert!(error.starts_with(&format!("layer {base}: ")) && error.contains("a/package.json'"), "{error}");
    assert!(error.contains("it has 2 bytes and had"), "{error}");
}

#[test]
fn without_the_lists_the_unpacked_folders_are_read() {
    let folder = tempfile::tempdir().unwrap();
    if storage(folder.path()).is_none() {
        return;
    }
    let root = folder.path().join("root");
    for entry in std::fs::read_dir(root.join("overlay-layers")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(".tar-split.gz") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let image = ImageFile::open_stored(&root, "app:1", &options()).unwrap();
    assert!(image.is_unpacked());
    let (flat, whole) = (image.inventory().unwrap(), scan(&docker_archive(&layers())).unwrap());
    assert_eq!(flat.provenance, Provenance::Rootfs);
    assert!(flat.layers.is_empty());
    assert_eq!(shown(&flat), shown(&whole), "the same packages, their layers unknown");
}

#[test]
fn indexes_without_bottom_or_end() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("overlay-images");
    std::fs::create_dir_all(&images).unwrap();
    let open = |limits: Limits| {
        let options = stella_inventory::image::ReadOptions { limits, ..options() };
        ImageFile::open_stored(folder.path(), "a", &options).unwrap_err()
    };
    std::fs::write(images.join("images.json"), "[".repeat(1 << 20)).unwrap();
    assert!(open(Limits::default()).to_string().contains("malformed images.json"));
    let small = Limits { max_metadata_bytes: 1000, ..Limits::default() };
    assert!(matches!(open(small), ImageError::TooLarge { max: 1000, .. }));
    std::fs::write(images.join("images.json"), r#"[{"id":"../../../etc/passwd","names":["a"],"layer":"b"}]"#).unwrap();
    assert!(open(Limits::default()).to_string().contains("is no id of an image"));
}

fn find(folder: &Path, ending: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                return path;
            }
        }
    }
    panic!("nothing ends in {ending}")
}
