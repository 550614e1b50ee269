//! One function for each kind of foreign bytes: whatever the bytes are, it returns, in bounded time and memory.
//!
//! ```text
//!   src/bin/fuzz.rs   libFuzzer invents bytes             make fuzz
//!   corpus/NAME/*     bytes that once were interesting    tests/corpus.rs, with every test run
//! ```
//!
//! Beyond not panicking, each function checks a law that has to hold for what could be read.
#![forbid(unsafe_code)]

mod files;
mod signed;
mod stack;
mod storage;

use std::cmp::Ordering;
use std::io::{Cursor, Read, Write as _};
use std::time::Duration;

use stella_advisory::osv::Record;
use stella_advisory::version::Scheme;
use stella_advisory::vex::{self, applicable};
use stella_domain::{Digest, Severity, Timestamp};
use stella_inventory::image::{ImageFile, ReadOptions};
use stella_inventory::layer::{Budget, LayerDigests, read_layer};
use stella_inventory::purl::Purl;
use stella_inventory::{Inventory, LayerInventory, Limits, fold, sbom};
use stella_policy::{
    Compiled, Context, Dialect, FindingInput, Format, Patterns, PolicyError, RegoError, RegoLimits, evaluate, lint,
    parse,
};

pub use files::PATHS;
pub use signed::{canonical, dsse, signature, stamp};
pub use storage::storage;

/// Reads bytes of one kind.
pub type Target = fn(&[u8]);

/// What reads a kind of bytes, by name.
pub const TARGETS: [(&str, Target); 26] = [
    ("apk", |bytes| package_file_at("lib/apk/db/installed", bytes)),
    ("bun_lock", |bytes| package_file_at("app/bun.lockb", bytes)),
    ("canonical", canonical),
    ("dpkg", |bytes| package_file_at("var/lib/dpkg/status", bytes)),
    ("dsse", dsse),
    ("executable", |bytes| package_file_at("usr/bin/program", bytes)),
    ("folding", folding),
    ("globs", globs),
    ("image", image),
    ("jar", |bytes| package_file_at("app/a.jar", bytes)),
    ("layer", layer),
    ("package_file", package_file),
    ("policy", policy),
    ("purl", purl),
    ("record", record),
    ("rego", rego),
    ("rpm_bdb", |bytes| package_file_at("var/lib/rpm/Packages", bytes)),
    ("rpm_ndb", |bytes| package_file_at("var/lib/rpm/Packages.db", bytes)),
    ("rpm_sqlite", |bytes| package_file_at("var/lib/rpm/rpmdb.sqlite", bytes)),
    ("rpm_sqlite_log", rpm_sqlite_log),
    ("sbom", sbom),
    ("signature", signature),
    ("stamp", stamp),
    ("storage", storage),
    ("version", version),
    ("vex", vex),
];

/// Small enough that a bomb is told from a slow program.
fn limits() -> Limits {
    const MIB: u64 = 1 << 20;
    Limits {
        max_layer_bytes: 16 * MIB,
        max_total_bytes: 16 * MIB,
        max_entries: 10_000,
        max_metadata_bytes: MIB,
        max_executable_bytes: MIB,
        max_document_bytes: MIB,
        ..Limits::default()
    }
}

/// An image archive. What could be read of it is the same when it is read again.
pub fn image(bytes: &[u8]) {
    let read = || {
        let mut file = tempfile::tempfile().ok()?;
        file.write_all(bytes).ok()?;
        let options = ReadOptions { limits: limits(), ..ReadOptions::default() };
        ImageFile::from_file(file, &options).ok()?.inventory().ok()
    };
    if let Some(inventory) = read() {
        assert_eq!(Some(inventory), read());
    }
}

/// A layer. On top of itself it adds nothing.
pub fn layer(bytes: &[u8]) {
    let Some(layer) = layer_of(bytes) else { return };
    let (once, twice) = (fold(&[&layer]), fold(&[&layer, &layer]));
    assert_eq!(once.components.len(), twice.components.len());
}

fn layer_of(bytes: &[u8]) -> Option<LayerInventory> {
    let limits = limits();
    // The digest of what is inside a compressed layer is not known here; such a layer is refused at its end, all of it read.
    let digests = LayerDigests { blob: None, diff_id: Digest::of(bytes) };
    let open = || -> std::io::Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(bytes.to_vec()))) };
    read_layer(&open, digests, &limits, &Budget::new(&limits)).ok()
}

/// Up to eight layers made of what the bytes say. The upper layer again changes nothing, and each component has a layer of the
/// stack.
pub fn folding(bytes: &[u8]) {
    let layers: Vec<LayerInventory> = stack::layers(bytes).iter().filter_map(|layer| layer_of(layer)).collect();
    let layers: Vec<&LayerInventory> = layers.iter().collect();
    let whole = fold(&layers);
    if let Some(upper) = layers.last() {
        let twice = fold(&[&layers[..], &[upper]].concat());
        assert_eq!(whole.components, twice.components, "the upper layer again");
    }
    for component in &whole.components {
        assert!(layers.iter().any(|layer| Some(layer.diff_id) == component.layer), "{}", component.purl);
    }
}

/// A file that a cataloger reads; the first byte says which. Every package found can be written as a package URL that is read back.
pub fn package_file(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else { return };
    package_file_at(PATHS[usize::from(*which) % PATHS.len()], content);
}

/// The same at one place.
fn package_file_at(path: &str, content: &[u8]) {
    packages_of(path, &files::archive(path, content));
}

/// A database of rpm with its write-ahead log beside it; the first two bytes are the length of the database in pages of 512 bytes.
pub fn rpm_sqlite_log(bytes: &[u8]) {
    let Some((pages, rest)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes(*pages)) * 512;
    let (database, log) = rest.split_at(length.min(rest.len()));
    let path = "var/lib/rpm/rpmdb.sqlite";
    let entries = [files::entry(path, b'0', "", database), files::archive("var/lib/rpm/rpmdb.sqlite-wal", log)];
    packages_of(path, &entries.concat());
}

fn packages_of(path: &str, archive: &[u8]) {
    let Some(layer) = layer_of(archive) else { return };
    for component in fold(&[&layer]).components {
        assert!(component.purl.parse::<Purl>().is_ok(), "{path}: {}", component.purl);
    }
}

/// An SBOM. What was read can be written in both formats and read back with as many components.
pub fn sbom(bytes: &[u8]) {
    let Ok(document) = sbom::parse(bytes, &limits()) else { return };
    let Inventory { components, .. } = &document.inventory;
    let written = [sbom::write_cyclonedx(&document.inventory, None), sbom::write_spdx(&document.inventory, None)];
    for text in written.iter().filter(|text| text.len() as u64 <= limits().max_document_bytes) {
        let again = sbom::parse(text, &limits()).expect("what we write is an SBOM");
        assert_eq!(again.inventory.components.len(), components.len());
    }
}

/// A package URL. In its canonical form it is the same.
pub fn purl(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(purl) = text.parse::<Purl>() else { return };
    let canonical = purl.to_string();
    let again: Purl = canonical.parse().expect("a canonical package URL is one");
    assert_eq!(again.to_string(), canonical);
}

/// Three versions, a line each, of the order that the first byte says. They are ordered.
pub fn version(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let scheme = Scheme::ALL[usize::from(*which) % Scheme::ALL.len()];
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (a, b, c) = (next(), next(), next());
    assert_eq!(scheme.compare(a, a), Ordering::Equal, "{scheme:?} {a:?}");
    assert_eq!(scheme.compare(a, b), scheme.compare(b, a).reverse(), "{scheme:?} {a:?} {b:?}");
    if scheme.compare(a, b).is_le() && scheme.compare(b, c).is_le() {
        assert!(scheme.compare(a, c).is_le(), "{scheme:?} {a:?} {b:?} {c:?}");
    }
}

/// A record of a feed.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        for severity in &record.severity {
            let _ = stella_advisory::cvss::Cvss::parse(&severity.score);
        }
    }
}

/// A document of VEX statements. None of them speaks of a vulnerability that it does not name.
pub fn vex(bytes: &[u8]) {
    let Ok(document) = vex::read(bytes) else { return };
    let Ok(package) = "pkg:generic/nobody-speaks-of-this@0".parse::<Purl>() else { return };
    let named: Vec<String> = document.statements.iter().flat_map(|s| s.vulnerability.clone()).collect();
    for vulnerability in [&named[..], &[]] {
        let target = vex::Target {
            vulnerability,
            bulletins: &[],
            package: &package,
            within: &[],
            digests: &[],
            repository: None,
        };
        let found = applicable(&document.statements, &target);
        assert!(found.len() <= document.statements.len() && (!vulnerability.is_empty() || found.is_empty()));
    }
}

/// A policy. One that is read without errors can be compiled, says the same when it is written and read again, and every issue
/// of one that is not has a path.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for format in [Format::Yaml, Format::Json] {
        let parsed = parse(text, format);
        assert!(parsed.issues.iter().all(|issue| issue.path.starts_with('$')));
        let Ok(document) = parsed.accept() else { continue };
        let _ = lint(&document, Timestamp::from_millis(0));
        assert!(Compiled::new("default/fuzz", 0, &document).is_ok());
        let written = document.to_yaml().expect("a document can be written");
        assert_eq!(parse(&written, Format::Yaml).accept().as_ref(), Ok(&document), "{written}");
    }
}

/// A Rego source. What the check accepts can be compiled, and asked within its limits.
pub fn rego(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(document) = parse(text, Format::Rego).accept() else { return };
    let (short, long) = (Duration::from_millis(200), Duration::from_millis(500));
    let limits = RegoLimits {
        instructions: 10_000,
        memory_bytes: 1 << 20,
        time: short,
        total_time: long,
        ..RegoLimits::default()
    };
    let compiled = Compiled::within("default/fuzz", 0, &document, limits).expect("what the check accepts compiles");
    let findings = [FindingInput::new("a", Severity::High)];
    let evaluation =
        evaluate(&[compiled], &findings, &Context { now: Timestamp::from_millis(0), ..Context::default() });
    for failure in evaluation.failures {
        assert!(!matches!(failure.error, PolicyError::Rego(RegoError::Time { .. })), "{}", failure.error);
        assert!(!failure.error.to_string().contains("the machine broke"), "{}", failure.error);
    }
}

/// A glob and a text, a line each. Alone and in a list it matches the same, and a path never crosses more than a text.
pub fn globs(bytes: &[u8]) {
    let Some((glob, text)) = std::str::from_utf8(bytes).ok().and_then(|lines| lines.split_once('\n')) else { return };
    let matches = |globs: &[String], dialect| Patterns::new(globs, dialect).ok().map(|patterns| patterns.matches(text));
    let alone = [glob.to_owned()];
    let listed = [glob.to_owned(), "no such name".to_owned(), "[x]no such name".to_owned()];
    for dialect in [Dialect::Path, Dialect::Text] {
        let matched = matches(&alone, dialect);
        if text != "no such name" && text != "xno such name" {
            assert_eq!(matched, matches(&listed, dialect), "{glob:?} {text:?}");
        }
    }
    if matches(&alone, Dialect::Path) == Some(true) {
        assert_eq!(matches(&alone, Dialect::Text), Some(true), "{glob:?} {text:?}");
    }
}
