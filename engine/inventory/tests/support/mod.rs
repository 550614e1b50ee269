//! Small images made on the spot, and the way to the data that is kept elsewhere.
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::io::Write;
use std::path::PathBuf;

use stella_domain::Digest;
use stella_inventory::image::{ImageFile, Platform, ReadOptions};
use stella_inventory::{Component, Inventory};

/// One layer in the making.
pub struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        self.0.append_data(&mut header, path, content).unwrap();
        self
    }

    pub fn folder(self, path: &str) -> Self {
        self.special(tar::EntryType::Directory, &format!("{path}/"), None)
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.special(tar::EntryType::Symlink, path, Some(target))
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.special(tar::EntryType::Link, path, Some(target))
    }

    pub fn special(mut self, kind: tar::EntryType, path: &str, target: Option<&str>) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o755);
        match target {
            Some(target) => self.0.append_link(&mut header, path, target).unwrap(),
            None => self.0.append_data(&mut header, path, std::io::empty()).unwrap(),
        }
        self
    }

    /// A name that the builder would refuse to write.
    pub fn raw(mut self, name: &[u8], kind: tar::EntryType, link: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.0.append(&header, std::io::empty()).unwrap();
        self
    }

    pub fn build(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub fn dpkg(packages: &[(&str, &str)]) -> String {
    let stanza = |(name, version): &(&str, &str)| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n")
    };
    packages.iter().map(stanza).collect()
}

/// A header as rpm's databases keep it, of a package with one file.
pub fn rpm_header(name: &str, version: &str, release: &str, folder: &str, file: &str) -> Vec<u8> {
    let text = |text: &str| [text.as_bytes(), &[0]].concat();
    let (mut index, mut store) = (Vec::new(), vec![0; 4]);
    // Name, version, release, folders and files are texts; the file lies in folder 0, whose number is up front.
    for (tag, kind, value) in [
        (1000u32, 6u32, text(name)),
        (1001, 6, text(version)),
        (1002, 6, text(release)),
        (1118, 8, text(folder)),
        (1117, 8, text(file)),
    ] {
        index.extend([tag, kind, store.len() as u32, 1].map(u32::to_be_bytes).concat());
        store.extend(value);
    }
    index.extend([1116u32, 4, 0, 1].map(u32::to_be_bytes).concat());
    [&6u32.to_be_bytes()[..], &(store.len() as u32).to_be_bytes(), &index, &store].concat()
}

/// `Packages.db` with these headers.
pub fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
    let mut slots = [&b"RpmP"[..], &[0u32, 1, 1, 9, 0, 0, 0].map(u32::to_le_bytes).concat()].concat();
    let mut blobs = Vec::new();
    for (header, number) in headers.iter().zip(1u32..) {
        let blocks = (header.len() + 28).div_ceil(16);
        let block = 256 + blobs.len() as u32 / 16;
        slots.extend([&b"Slot"[..], &[number, block, blocks as u32].map(u32::to_le_bytes).concat()].concat());
        let length = header.len() as u32;
        let head = [&b"BlbS"[..], &[number, 1, length].map(u32::to_le_bytes).concat(), header].concat();
        let padding = vec![0; blocks * 16 - 12 - head.len()];
        blobs.extend([head, padding, [0, length].map(u32::to_le_bytes).concat(), b"BlbE".to_vec()].concat());
    }
    while slots.len() < 4096 {
        slots.extend([&b"Slot"[..], &[0; 12]].concat());
    }
    [slots, blobs].concat()
}

pub const DEBIAN_12: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub fn config(layers: &[Vec<u8>]) -> String {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", Digest::of(layer))).collect();
    format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"],"Entrypoint":null}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    )
}

/// An archive as `docker save` wrote it before version 25, the manifest last.
pub fn docker_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let config = config(layers);
    let name = format!("{}.json", Digest::of(&config).hex());
    let paths: Vec<String> = (0..layers.len()).map(|index| format!("layer{index}/layer.tar")).collect();
    let listed: Vec<String> = paths.iter().map(|path| format!("\"{path}\"")).collect();
    let manifest =
        format!(r#"[{{"Config":"{name}","RepoTags":["example.org/app:1"],"Layers":[{}]}}]"#, listed.join(","));
    let mut archive = Layer::new();
    for (index, (path, layer)) in paths.iter().zip(layers).enumerate() {
        archive = archive.file(&format!("layer{index}/VERSION"), "1.0").file(path, layer);
    }
    archive.file(&name, config).file("manifest.json", manifest).build()
}

/// The files of an OCI layout with one image for linux/amd64 below an index, and one for another platform.
pub fn oci_files(layers: &[Vec<u8>], pack: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec());
    let config = config(layers);
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| pack(layer)).collect();
    let descriptors: Vec<String> =
        packed.iter().map(|bytes| format!(r#"{{"digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":{}}},"layers":[{}]}}"#,
        Digest::of(&config),
        config.len(),
        descriptors.join(",")
    );
    let other = Digest::of("another platform");
    let inner = format!(
        r#"{{"manifests":[{{"digest":"{other}","platform":{{"os":"linux","architecture":"s390x"}}}},{{"digest":"{}","platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
        Digest::of(&manifest)
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"digest":"{}","annotations":{{"org.opencontainers.image.ref.name":"app:1"}}}}]}}"#,
        Digest::of(&inner)
    );
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.into_bytes()),
    ];
    files.extend(packed.iter().map(|bytes| blob(bytes)));
    files.extend([config, manifest, inner].map(|text| blob(text.as_bytes())));
    files
}

pub fn archive_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    files.iter().fold(Layer::new(), |archive, (path, bytes)| archive.file(path, bytes)).build()
}

pub fn on_disk(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn options() -> ReadOptions {
    ReadOptions { platform: "linux/amd64".parse::<Platform>().unwrap(), ..ReadOptions::default() }
}

pub fn open(bytes: &[u8]) -> Result<ImageFile, stella_inventory::image::ImageError> {
    ImageFile::open(on_disk(bytes).path(), &options())
}

pub fn scan(bytes: &[u8]) -> Result<Inventory, stella_inventory::image::ImageError> {
    open(bytes)?.inventory()
}

pub fn shown(inventory: &Inventory) -> Vec<String> {
    inventory.components.iter().map(|component| format!("{} {}", component.purl, component.package.path)).collect()
}

pub fn named<'i>(inventory: &'i Inventory, name: &str) -> &'i Component {
    inventory.components.iter().find(|component| component.package.name == name).unwrap()
}

#[path = "../../../advisory/tests/public_data/mod.rs"]
mod public_data;

/// Where `what` of the public data lies.
pub fn test_data(what: &str) -> Option<PathBuf> {
    public_data::public_data(what)
}
