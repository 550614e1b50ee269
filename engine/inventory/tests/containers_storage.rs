//! Images in the storage of Podman and CRI-O, written by skopeo as these write it, and by hand where they would not.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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

/// A storage in `folder` with the image `localhost/app:1` of these layers, beside what `options` name; `None`, and a word, when
/// skopeo or rights are missing.
fn stored(folder: &Path, driver: &str, options: &str, layers: &[Vec<u8>]) -> Option<()> {
    std::fs::create_dir_all(folder).unwrap();
    let archive = folder.join("image.tar");
    std::fs::write(&archive, docker_archive(layers)).unwrap();
    let to = format!("containers-storage:[{driver}@{0}/root+{0}/run{options}]localhost/app:1", folder.display());
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

fn storage(folder: &Path) -> Option<()> {
    stored(folder, "overlay", "", &layers())
}

#[test]
fn every_layer_is_verified_and_gives_what_the_archive_gives() {
    for driver in ["overlay", "vfs"] {
        let folder = tempfile::tempdir().unwrap();
        if stored(folder.path(), driver, "", &layers()).is_none() {
            continue;
        }
        let root = folder.path().join("root");
        let image = ImageFile::open_stored(&[&root], "localhost/app:1", &options()).unwrap();
        let diff_ids: Vec<Digest> = layers().iter().map(Digest::of).collect();
        assert_eq!(image.diff_ids(), diff_ids);
        assert!(!image.is_unpacked() && image.names() == ["localhost/app:1"]);
        assert_eq!(image.inventory().unwrap(), scan(&docker_archive(&layers())).unwrap(), "{driver}");
        let upper = image.read_layers(&|diff_id| *diff_id == diff_ids[1]).unwrap();
        assert_eq!(upper[0].whiteouts, ["var/lib/dpkg/status"]);

        let error = ImageFile::open_stored(&[&root], "localhost/other:1", &options()).unwrap_err().to_string();
        assert!(error.contains("image localhost/other:1 in"), "{error}");
    }
}

/// Layers that are there already in a storage that another one only reads need not be in that again.
#[test]
fn an_image_may_stand_on_layers_of_a_storage_beside_its_own() {
    for driver in ["overlay", "vfs"] {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (folder.path().join("own"), folder.path().join("other"));
        let beside = format!(":{driver}.imagestore={}/root", other.display());
        let base = &layers()[..1];
        if stored(&other, driver, "", base).is_none() || stored(&own, driver, &beside, &layers()).is_none() {
            continue;
        }
        let (own, other) = (own.join("root"), other.join("root"));
        let image = ImageFile::open_stored(&[&own, &other], "app:1", &options()).unwrap();
        assert_eq!(image.inventory().unwrap(), scan(&docker_archive(&layers())).unwrap(), "{driver}: its own first");
        let image = ImageFile::open_stored(&[&folder.path().join("none"), &other], "app:1", &options()).unwrap();
        assert_eq!(image.inventory().unwrap(), scan(&docker_archive(base)).unwrap(), "{driver}: that beside it");
    }
}

/// A storage by hand, with the image `localhost/app:1` of these layers: the files of all of them in each folder, which is enough
/// for what is written down of their bytes.
struct Made {
    root: PathBuf,
    driver: &'static str,
    ids: Vec<String>,
    config: String,
}

impl Made {
    fn new(root: &Path, driver: &'static str, layers: &[Vec<u8>]) -> Self {
        let ids: Vec<String> = (0..layers.len()).map(|index| Digest::of(index.to_string()).hex()).collect();
        let made = Self { root: root.to_owned(), driver, ids, config: config(layers) };
        let image = Digest::of(&made.config).hex();
        let key = STANDARD.encode(format!("sha256:{image}"));
        made.put(&format!("{driver}-images/{image}/={key}"), made.config.as_bytes());
        for (id, layer) in made.ids.iter().zip(layers) {
            let files = if driver == "vfs" { format!("vfs/dir/{id}") } else { format!("overlay/{id}/diff") };
            std::fs::create_dir_all(root.join(&files)).unwrap();
            made.put(&format!("{driver}-layers/{id}.tar-split.gz"), &gzip(made.split(layer, &files).as_bytes()));
        }
        made.list_layers(&made.ids, 0);
        made.list_image(&image, made.ids.last().unwrap());
        made
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes down a layer as its files in this folder and what is between them.
    fn split(&self, layer: &[u8], folder: &str) -> String {
        let segment = |bytes: &[u8]| format!("{{\"type\":2,\"payload\":\"{}\"}}\n", STANDARD.encode(bytes));
        let (mut lines, mut at) = (String::new(), 0);
        for entry in tar::Archive::new(layer).entries().unwrap() {
            let entry = entry.unwrap();
            let (start, size) = (entry.raw_file_position() as usize, entry.size() as usize);
            if size == 0 {
                continue;
            }
            let name = entry.path().unwrap().display().to_string();
            self.put(&format!("{folder}/{name}"), &layer[start..start + size]);
            lines += &segment(&layer[at..start]);
            lines += &format!("{{\"type\":1,\"name\":\"{name}\",\"size\":{size}}}\n");
            at = start + size;
        }
        lines + &segment(&layer[at..])
    }

    /// Lists these layers, the first of which is layer `from` of the image.
    fn list_layers(&self, ids: &[String], from: usize) {
        let parent = |index: usize| if index == 0 { "" } else { self.ids[index - 1].as_str() };
        let line = |(index, id): (usize, &String)| format!(r#"{{"id":"{id}","parent":"{}"}}"#, parent(from + index));
        let lines: Vec<String> = ids.iter().enumerate().map(line).collect();
        self.put(&format!("{}-layers/layers.json", self.driver), format!("[{}]", lines.join(",")).as_bytes());
    }

    fn list_image(&self, id: &str, top: &str) {
        let image = format!(r#"[{{"id":"{id}","names":["localhost/app:1"],"layer":"{top}"}}]"#);
        self.put(&format!("{}-images/images.json", self.driver), image.as_bytes());
    }

    fn open(&self) -> Result<ImageFile, ImageError> {
        ImageFile::open_stored(&[&self.root], "app:1", &options())
    }
}

fn simple_layers() -> Vec<Vec<u8>> {
    vec![
        Layer::new().file("etc/os-release", DEBIAN_12).file("var/lib/dpkg/status", dpkg(&[("a", "1")])).build(),
        Layer::new().file("app/node_modules/b/package.json", r#"{"name":"b","version":"1.0.0"}"#).build(),
    ]
}

#[test]
fn a_storage_by_hand_is_read_and_its_layers_may_be_elsewhere() {
    let expected = scan(&docker_archive(&simple_layers())).unwrap();
    for driver in ["overlay", "vfs"] {
        let folder = tempfile::tempdir().unwrap();
        let made = Made::new(&folder.path().join("own"), driver, &simple_layers());
        assert_eq!(made.open().unwrap().inventory().unwrap(), expected, "{driver}");

        // The base moves into another storage, which has no image of its own.
        let other = Made { root: folder.path().join("other"), ids: made.ids.clone(), config: String::new(), driver };
        let files = if driver == "vfs" { "vfs/dir" } else { "overlay" };
        other.list_layers(&made.ids[..1], 0);
        made.list_layers(&made.ids[1..], 1);
        for path in [format!("{files}/{}", made.ids[0]), format!("{driver}-layers/{}.tar-split.gz", made.ids[0])] {
            std::fs::create_dir_all(other.root.join(&path).parent().unwrap()).unwrap();
            std::fs::rename(made.root.join(&path), other.root.join(&path)).unwrap();
        }
        let alone = made.open().unwrap_err().to_string();
        assert!(alone.contains(&format!("layer {}", made.ids[0])), "{alone}");
        let both = ImageFile::open_stored(&[&made.root, &other.root], "app:1", &options()).unwrap();
        assert_eq!(both.inventory().unwrap(), expected, "{driver}");
    }
}

#[test]
fn a_storage_by_hand_that_lies_is_refused_with_the_place() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), dpkg(&[("secret", "1")])).unwrap();
    for driver in ["overlay", "vfs"] {
        let fresh = || {
            let folder = tempfile::tempdir().unwrap();
            let made = Made::new(folder.path(), driver, &simple_layers());
            (folder, made)
        };
        let says = |made: &Made, word: &str| {
            let error = made.open().and_then(|image| image.inventory()).unwrap_err().to_string();
            assert!(error.contains(word), "{driver} {word}: {error}");
        };
        let (_folder, made) = fresh();
        let image = Digest::of(&made.config).hex();
        made.list_image(&image, "../../../../etc");
        says(&made, "no id of a layer");
        made.list_image("../../../../etc", &made.ids[1]);
        says(&made, "is no id of an image");
        made.list_image(&image, &Digest::of("another").hex());
        says(&made, "which is missing");

        let (_folder, made) = fresh();
        made.put(&format!("{driver}-layers/layers.json"), b"[{\"id\":");
        says(&made, "malformed layers.json");
        made.put(&format!("{driver}-images/images.json"), b"{}");
        says(&made, "malformed images.json");

        // Neither a name nor a link leads out of the folder of the layer.
        let status = dpkg(&[("secret", "1")]);
        for name in
            [format!("../../../../../../../../{}", secret.path().display()), secret.path().display().to_string()]
        {
            let (_folder, made) = fresh();
            let line = format!("{{\"type\":1,\"name\":\"{name}\",\"size\":{}}}\n", status.len());
            made.put(&format!("{driver}-layers/{}.tar-split.gz", made.ids[0]), &gzip(line.as_bytes()));
            says(&made, "tar-split: the file '");
        }
        let (_folder, made) = fresh();
        let files =
            if driver == "vfs" { format!("vfs/dir/{}", made.ids[0]) } else { format!("overlay/{}/diff", made.ids[0]) };
        let file = made.root.join(files).join("var/lib/dpkg/status");
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(secret.path(), &file).unwrap();
        says(&made, "tar-split: the file 'var/lib/dpkg/status'");

        let (_folder, made) = fresh();
        let other = made.split(&simple_layers()[1], "elsewhere");
        made.put(&format!("{driver}-layers/{}.tar-split.gz", made.ids[0]), &gzip(other.as_bytes()));
        says(&made, "tar-split: the file 'app/node_modules/b/package.json'");
    }
}

/// Where layers cannot be put together, files that are called by their digests would give an image without packages.
#[test]
fn unpacked_files_without_their_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made::new(folder.path(), "overlay", &simple_layers());
    made.put(&format!("overlay/{}/composefs-data/composefs.blob", made.ids[0]), b"");
    assert!(made.open().is_ok(), "their names are not needed");
    std::fs::remove_file(folder.path().join(format!("overlay-layers/{}.tar-split.gz", made.ids[1]))).unwrap();
    let error = made.open().unwrap_err().to_string();
    assert!(error.contains("kept for composefs"), "{error}");
}

#[test]
fn a_file_that_was_changed_since_refuses_its_layer() {
    let folder = tempfile::tempdir().unwrap();
    if storage(folder.path()).is_none() {
        return;
    }
    let root = folder.path().join("root");
    let image = ImageFile::open_stored(&[&root], "app:1", &options()).unwrap();
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
    for driver in ["overlay", "vfs"] {
        let folder = tempfile::tempdir().unwrap();
        if stored(folder.path(), driver, "", &layers()).is_none() {
            continue;
        }
        let root = folder.path().join("root");
        for entry in std::fs::read_dir(root.join(format!("{driver}-layers"))).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().ends_with(".tar-split.gz") {
                std::fs::remove_file(path).unwrap();
            }
        }
        let image = ImageFile::open_stored(&[&root], "app:1", &options()).unwrap();
        assert!(image.is_unpacked());
        let (flat, whole) = (image.inventory().unwrap(), scan(&docker_archive(&layers())).unwrap());
        assert_eq!(flat.provenance, Provenance::Rootfs);
        assert!(flat.layers.is_empty());
        assert_eq!(shown(&flat), shown(&whole), "{driver}: the same packages, their layers unknown");
    }
}

#[test]
fn indexes_without_bottom_or_end() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("overlay-images");
    std::fs::create_dir_all(&images).unwrap();
    let open = |limits: Limits| {
        let options = stella_inventory::image::ReadOptions { limits, ..options() };
        ImageFile::open_stored(&[folder.path()], "a", &options).unwrap_err()
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
