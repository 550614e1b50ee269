//! What is small when it is sent and large when it is read: memory is bounded by what may be held whole, whatever is packed in it.
//!
//! The test looks at the memory of the whole process, so nothing else may be in this program.

#[path = "support/mod.rs"]
mod support;

use std::io::{Read, Write};

use stella_inventory::{Limits, sbom};
use support::{Layer, archive_of, docker_archive, oci_files, scan};

/// The most memory this process had so far, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// A zip archive with one entry of so many zeros.
fn zip_of_zeros(name: &str, size: u64) -> Vec<u8> {
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(0).take(size), &mut packed).unwrap();
    let packed = packed.finish().unwrap();
    let sizes = [packed.len() as u32, size as u32].map(u32::to_le_bytes).concat();
    let shared =
        [&[0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &sizes, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
    let local = [&b"PK\x03\x04\x14\0"[..], &shared, name.as_bytes(), &packed].concat();
    let central = [&b"PK\x01\x02\x14\0\x14\0"[..], &shared, &[0; 14], name.as_bytes()].concat();
    let places = [central.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
    [&local[..], &central, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &places, &[0, 0]].concat()
}

/// A layer of one file of so many zeros.
fn zeros(path: &str, size: u64) -> impl Read {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_size(size);
    header.set_cksum();
    std::io::Cursor::new(header.as_bytes().to_vec()).chain(std::io::repeat(0).take(size.next_multiple_of(512) + 1024))
}

/// An image of four layers that are read at the same time and are all packed as these bytes, whatever their diffIDs say.
fn many(packed: &[u8]) -> Vec<u8> {
    let layers: Vec<Vec<u8>> = (0..4).map(|at| Layer::new().file(&format!("srv/{at}"), "x").build()).collect();
    archive_of(&oci_files(&layers, &|_| packed.to_vec()))
}

/// A layer of one file of so many MiB, packed by zstd to a twentieth or so.
fn zstd_with_window(window_log: u32, mib: u64) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    let size = mib << 20;
    let mut header = zeros("srv/large", size).take(512);
    std::io::copy(&mut header, &mut encoder).unwrap();
    let mut block = [0; 512];
    let mut state = 1u64;
    for _ in 0..size / 512 {
        for byte in &mut block[..16] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        encoder.write_all(&block).unwrap();
    }
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bombs_take_no_more_memory_than_what_may_be_held() {
    // 1 GiB in a layer of some MB: refused by its ratio, long before it is read.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut zeros("srv/zeros", 1 << 30), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    let lied = Layer::new().file("srv/other", "x").build();
    let archive = archive_of(&oci_files(&[lied], &|_| bomb.clone()));
    assert!(archive.len() < 4 << 20);
    let error = scan(&archive).unwrap_err().to_string();
    assert!(error.contains("uncompressed bytes for each compressed byte"), "{error}");
    assert!(peak() < 100, "{} MiB", peak());

    // The archive itself, compressed as a whole.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut zeros("layer.tar", 1 << 30), &mut packed).unwrap();
    let error = scan(&packed.finish().unwrap()).unwrap_err().to_string();
    assert!(error.contains("uncompressed bytes for each compressed byte"), "{error}");
    assert!(peak() < 100, "{} MiB", peak());

    // Many layers with a window of zstd as large as libzstd would take; then with the largest that is read.
    let error = scan(&many(&zstd_with_window(27, 1))).unwrap_err().to_string();
    assert!(error.contains("bytes of zstd's window"), "{error}");
    assert!(peak() < 250, "{} MiB", peak());
    let error = scan(&many(&zstd_with_window(25, 48))).unwrap_err().to_string();
    assert!(error.contains("diffID is wrong"), "{error}");
    assert!(peak() < 300, "{} MiB", peak());

    // Many JARs at once, each with one in it that unpacks to 120 MiB: one after the other.
    let jar = zip_of_zeros("lib.jar", 120 << 20);
    let layers: Vec<Vec<u8>> = (0..8).map(|at| Layer::new().file(&format!("srv/{at}.jar"), &jar).build()).collect();
    let read = scan(&docker_archive(&layers)).unwrap();
    assert_eq!(read.components.len(), 8, "known by their SHA-1");
    assert!(read.problems.iter().any(|problem| problem.message.starts_with("lib.jar: ")), "{:?}", read.problems);
    assert!(peak() < 350, "{} MiB", peak());

    // 1 GiB of zeros in a JAR of 1 MB: an entry that lies about being one of Maven's.
    let jar = zip_of_zeros("META-INF/maven/a/b/pom.xml", 1 << 30);
    assert!(jar.len() < 2 << 20);
    let read = scan(&docker_archive(&[Layer::new().file("srv/a.jar", jar).build()])).unwrap();
    assert!(read.problems.iter().any(|problem| problem.path == "srv/a.jar"), "{:?}", read.problems);
    assert!(peak() < 350, "{} MiB", peak());

    // Deep JSON and XML as large as a file may be.
    for (path, text) in [("srv/package-lock.json", "["), ("srv/pom.xml", "<a>"), ("srv/conda-meta/a.json", r#"{"a":"#)]
    {
        let deep = text.repeat((60 << 20) / text.len());
        let layer = Layer::new().file(path, deep).build();
        let read = scan(&docker_archive(&[layer])).unwrap();
        let told: Vec<&str> = read.problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(told, [path], "{:?}", read.problems);
    }
    assert!(peak() < 600, "{} MiB", peak());

    // An SBOM that is nothing but the beginnings of lists.
    let document = format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","components":{}"#, "[".repeat(100 << 20));
    let error = sbom::parse(document.as_bytes(), &Limits::default()).unwrap_err().to_string();
    assert!(error.len() < 500, "{error}");
    assert!(peak() < 700, "{} MiB", peak());
}
