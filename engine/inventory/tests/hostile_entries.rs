//! Archives with millions of entries, made while they are read: memory is bounded by what is kept, not by what passes.
//!
//! These tests look at the memory of the whole process, so nothing else may be in this program.

use std::io::{Read, Write as _};
use std::sync::Mutex;

use stella_domain::{Digest, Hasher};
use stella_inventory::image::{ImageFile, ReadOptions};
use stella_inventory::layer::{Budget, LayerDigests, LayerError, read_layer};
use stella_inventory::{LayerInventory, Limits};

/// One at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A tar archive of so many empty files in folders of a thousand.
struct Entries {
    next: u64,
    count: u64,
    block: Vec<u8>,
    at: usize,
}

impl Entries {
    fn new(count: u64) -> Self {
        Self { next: 0, count, block: Vec::new(), at: 0 }
    }

    fn refill(&mut self) {
        self.block.clear();
        self.at = 0;
        while self.next < self.count && self.block.len() < 64 << 10 {
            let mut header = tar::Header::new_ustar();
            header.set_path(format!("srv/{}/{}", self.next / 1000, self.next)).unwrap();
            header.set_size(0);
            header.set_cksum();
            self.block.extend(header.as_bytes());
            self.next += 1;
        }
    }
}

impl Read for Entries {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.block.len() {
            self.refill();
        }
        let count = out.len().min(self.block.len() - self.at);
        out[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn diff_id(count: u64) -> Digest {
    let mut hasher = Hasher::new();
    let mut entries = Entries::new(count);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match entries.read(&mut buffer).unwrap() {
            0 => return hasher.finish(),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn layer(count: u64, diff_id: Digest, limits: &Limits) -> Result<LayerInventory, LayerError> {
    let open = || -> std::io::Result<Box<dyn Read + Send>> { Ok(Box::new(Entries::new(count))) };
    read_layer(&open, LayerDigests { blob: None, diff_id }, limits, &Budget::new(limits))
}

/// The most memory this process had so far, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn ten_million_entries_are_refused_at_the_limit() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let lied = Digest::of("nobody reads so far");
    let error = layer(10_000_000, lied, &Limits::default()).unwrap_err().to_string();
    assert_eq!(error, format!("layer {lied}: entry 'srv/2000/2000000' exceeds the limit of 2000000 entries"));
    assert!(peak() < 150, "{} MiB", peak());
}

/// How many entries are read whole: a million, which takes seconds, or as many as `$STELLA_ENTRIES` says (ten million in `make soak`).
fn count() -> u64 {
    std::env::var("STELLA_ENTRIES").map_or(1_000_000, |count| count.parse().unwrap())
}

#[test]
fn a_million_entries_are_read() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let count = count();
    let limits = Limits { max_entries: 2 * count, ..Limits::default() };
    let read = layer(count, diff_id(count), &limits).unwrap();
    assert_eq!(read.entries.len() as u64, count + count / 1000 + 1, "files, their folders and the folder of those");
    eprintln!("{count} entries: {} MiB at most", peak());
    assert!(peak() < if count > 1_000_000 { 200 } else { 150 }, "{} MiB", peak());
}

#[test]
fn what_is_kept_of_a_million_entries_is_bounded() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let small = Limits { max_inventory_bytes: 1 << 20, ..Limits::default() };
    let error = layer(1_000_000, Digest::of("nobody reads so far"), &small).unwrap_err().to_string();
    assert!(error.ends_with("exceeds the limit of 1048576 bytes of names, packages and lists of files"), "{error}");
}

/// How an image in this archive is refused, where names and documents may take 16 MiB.
fn refused(archive: &std::path::Path) -> String {
    let limits = Limits { max_inventory_bytes: 16 << 20, ..Limits::default() };
    ImageFile::open(archive, &ReadOptions { limits, ..ReadOptions::default() }).unwrap_err().to_string()
}

const KEPT: &str = "exceeds the limit of 16777216 bytes of names, packages and lists of files";

#[test]
fn documents_that_nobody_asked_for_are_not_kept_without_end() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut packed =
        flate2::write::GzEncoder::new(tempfile::NamedTempFile::new().unwrap(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(&mut packed);
    // Random enough not to be a bomb by its ratio.
    let document: Vec<u8> = (0..1u64 << 20).map(|at| if at == 0 { b'{' } else { ((at * at) >> 7) as u8 }).collect();
    for at in 0..256 {
        let mut header = tar::Header::new_ustar();
        header.set_size(document.len() as u64);
        archive.append_data(&mut header, format!("{at}.json"), &document[..]).unwrap();
    }
    archive.finish().unwrap();
    drop(archive);
    let error = refused(packed.finish().unwrap().path());
    assert_eq!(error, format!("cannot read 15.json: {KEPT}"));
    assert!(peak() < 150, "{} MiB", peak());
}

#[test]
fn names_of_an_archive_are_not_kept_without_end() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut plain = tempfile::NamedTempFile::new().unwrap();
    let mut packed =
        flate2::write::GzEncoder::new(tempfile::NamedTempFile::new().unwrap(), flate2::Compression::fast());
    let mut entries = Entries::new(500_000);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = entries.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        plain.write_all(&buffer[..count]).unwrap();
        packed.write_all(&buffer[..count]).unwrap();
    }
    for archive in [plain, packed.finish().unwrap()] {
        let error = refused(archive.path());
        assert!(error.starts_with("cannot read srv/") && error.ends_with(KEPT), "{error}");
        assert!(peak() < 150, "{} MiB", peak());
    }
}
