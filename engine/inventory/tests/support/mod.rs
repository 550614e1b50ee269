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

/// `rpmdb.sqlite` with these headers, each in a row that fits on its page (sqlite.org, "Database File Format").
pub fn sqlite(headers: &[Vec<u8>]) -> Vec<u8> {
    const PAGE: usize = 4096;
    let varint = |number: usize| match number {
        0..128 => vec![number as u8],
        _ => vec![0x80 | (number >> 7) as u8, (number & 0x7f) as u8],
    };
    let leaf = |start: usize, rows: &[Vec<u8>]| {
        let (mut page, mut end) = (vec![0; PAGE], PAGE);
        for (index, row) in rows.iter().enumerate() {
            let cell = [varint(row.len()), varint(index + 1), row.clone()].concat();
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(&cell);
            page[start + 8 + 2 * index..][..2].copy_from_slice(&(end as u16).to_be_bytes());
        }
        page[start] = 13;
        page[start + 3..][..2].copy_from_slice(&(rows.len() as u16).to_be_bytes());
        page[start + 5..][..2].copy_from_slice(&(end as u16).to_be_bytes());
        page
    };
    // Type, name, table, the page of its root, and no text of its definition; then number (that of the row) and blob.
    let schema = [&[6u8, 23, 29, 29, 1, 13][..], b"tablePackagesPackages", &[2]].concat();
    let rows: Vec<Vec<u8>> = headers
        .iter()
        .map(|header| {
            let kind = varint(12 + 2 * header.len());
            [vec![2 + kind.len() as u8, 0], kind, header.clone()].concat()
        })
        .collect();
    let mut first = leaf(100, &[schema]);
    first[..16].copy_from_slice(b"SQLite format 3\0");
    first[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    [first, leaf(0, &rows)].concat()
}

/// `Packages` of BerkeleyDB with these headers, each on an overflow page of its own (Oracle Berkeley DB, `dbinc/db_page.h`).
pub fn berkeley_db(headers: &[Vec<u8>]) -> Vec<u8> {
    const PAGE: usize = 512;
    let page = |number: u32, items: u16, free: u16, kind: u8| {
        let numbers = [number, 0, 0].map(u32::to_le_bytes).concat();
        [&[0u8; 8][..], &numbers, &[items, free].map(u16::to_le_bytes).concat(), &[0, kind]].concat()
    };
    let key = |number: u32| [&[1u8][..], &number.to_le_bytes()].concat();
    let count = headers.len() as u32;
    let mut meta = [&[0u8; 8][..], &[0, 0x0006_1561, 9, PAGE as u32].map(u32::to_le_bytes).concat()].concat();
    meta.extend([0, 8, 0, 0, 0, 0, 0, 0]);
    meta.extend((count + 1).to_le_bytes());
    meta.resize(PAGE, 0);
    // Under zero it counts the packages.
    let (mut items, mut values) = (vec![key(0), key(count)], Vec::new());
    for (header, number) in headers.iter().zip(1u32..) {
        let place = [number + 1, header.len() as u32].map(u32::to_le_bytes).concat();
        items.extend([key(number), [&[3u8, 0, 0, 0][..], &place].concat()]);
        let mut value = [page(number + 1, 1, header.len() as u16, 7), header.clone()].concat();
        assert!(value.len() <= PAGE, "the header needs more than a page");
        value.resize(PAGE, 0);
        values.extend(value);
    }
    let mut table = page(1, items.len() as u16, 0, 13);
    let mut end = PAGE;
    for item in &items {
        end -= item.len();
        table.extend((end as u16).to_le_bytes());
    }
    table.resize(end, 0);
    items.iter().rev().for_each(|item| table.extend(item));
    [meta, table, values].concat()
}

/// An archive with these files.
pub fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A 64-bit executable with one segment, which holds `data` behind a page of headers (System V ABI).
fn executable(flags: u8, data: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 4096];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    for (at, value) in [(16, 2), (32, 64), (54, 56), (56, 1), (64, 1), (68, flags)] {
        file[at] = value;
    }
    file[72..80].copy_from_slice(&4096u64.to_le_bytes());
    file[96..104].copy_from_slice(&(data.len() as u64).to_le_bytes());
    file.extend(data);
    file
}

/// A program of Go that was built from version `version` of `module` and of a library (Go `debug/buildinfo`).
pub fn go_program(module: &str, version: &str) -> Vec<u8> {
    let lines = format!("path\t{module}\nmod\t{module}\t{version}\t\ndep\texample.org/lib\t{version}\th1:x=\n");
    let modules = [b"0123456789abcdef", lines.as_bytes(), b"fedcba9876543210"].concat();
    let mut data = b"\xff Go buildinf:\x08\x02".to_vec();
    data.resize(32, 0);
    data.push(8);
    data.extend(b"go1.22.1");
    data.extend([0x80 | (modules.len() & 0x7f) as u8, (modules.len() >> 7) as u8]);
    data.extend(modules);
    executable(6, &data)
}

/// A program that `cargo auditable` built from version `version` of `name` ("cargo-auditable", format of version 0).
pub fn rust_program(name: &str, version: &str) -> Vec<u8> {
    let list = format!(
        r#"{{"packages":[{{"name":"{name}","version":"{version}","source":"crates.io"}},
           {{"name":"tool","version":"{version}","source":"crates.io","dependencies":[0],"root":true}}]}}"#
    );
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(list.as_bytes()).unwrap();
    let section = encoder.finish().unwrap();
    let mut file = executable(4, &section);
    let (texts, names) = (file.len(), b"\0.dep-v0\0.shstrtab\0");
    file.extend(names);
    let table = file.len();
    for (name, offset, size) in [(0u32, 0, 0), (1, 4096, section.len()), (9, texts, names.len())] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        file.extend(header);
    }
    file[40..48].copy_from_slice(&(table as u64).to_le_bytes());
    for (at, value) in [(58, 64), (60, 3), (62, 2)] {
        file[at] = value;
    }
    file
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
