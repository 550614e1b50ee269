//! Archives that are built to write: whatever they name, nothing is written but the cache.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Work, command};

/// A layer with one entry of each kind that leads somewhere else.
fn layer() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &[u8], kind: tar::EntryType, link: &[u8], content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o4755);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    };
    add(b"srv/up", tar::EntryType::Symlink, b"../../..", b"");
    add(b"srv/up/over.txt", tar::EntryType::Regular, b"", b"through a link");
    add(b"srv/root", tar::EntryType::Symlink, b"/", b"");
    add(b"srv/root/tmp/stella-hostile.txt", tar::EntryType::Regular, b"", b"through an absolute link");
    add(b"dev/disk", tar::EntryType::Block, b"", b"");
    add(b"/stella-hostile.txt", tar::EntryType::Regular, b"", b"absolute");
    add(b"site/django-2.2.0.dist-info/METADATA", tar::EntryType::Regular, b"", b"Name: django\nVersion: 2.2.0\n");
    builder.into_inner().unwrap()
}

fn archive(layer: &[u8]) -> Vec<u8> {
    let diff_id = stella_domain::Digest::of(layer);
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
    let manifest = r#"[{"Config":"config.json","RepoTags":["a:1"],"Layers":["layer.tar"]}]"#;
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in
        [("layer.tar", layer), ("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Every file below `folder` with its content, but for the cache.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("cache") => {}
                true => folders.push(path),
                false => drop(found.insert(path.display().to_string(), std::fs::read(&path).unwrap())),
            }
        }
    }
    found
}

#[test]
fn nothing_is_written_but_the_cache() {
    let work = Work::new();
    let layer = layer();
    let mut out_of_the_root = layer.clone();
    let at = out_of_the_root.windows(15).position(|name| name == b"srv/up/over.txt").unwrap();
    out_of_the_root[at..at + 15].copy_from_slice(b"../../over.text");
    let header = &mut out_of_the_root[at..at + 512];
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    for (layer, code, said) in [(layer, 1, "CVE-2022-28346"), (out_of_the_root, 2, "leads out of the root")] {
        for packed in [false, true] {
            let plain = work.write("deep/down/image.tar", archive(&layer));
            if packed {
                let gzip = std::process::Command::new("gzip").arg("--stdout").arg(&plain).output().unwrap();
                work.write("deep/down/image.tar", gzip.stdout);
            }
            work.write("deep/down/temporary/keep", b"");
            let before = files(&work.path("."));
            let arguments =
                ["--local", "--feeds", &work.text("feeds"), "--cache-dir", &work.text("cache"), "image.tar"];
            let mut command = command(env!("CARGO_BIN_EXE_stella"), &arguments);
            command.current_dir(work.path("deep/down")).env("TMPDIR", work.path("deep/down/temporary"));
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(code), "{text}");
            assert!(text.contains(said), "{text}");
            assert_eq!(files(&work.path(".")), before);
            assert!(!Path::new("/stella-hostile.txt").exists() && !Path::new("/tmp/stella-hostile.txt").exists());
        }
    }
}
