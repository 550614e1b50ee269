//! The real feeds, from folder to findings.

mod public_data;

use std::path::PathBuf;

use public_data::public_data;
use stella_advisory::{Index, feed, index, match_inventory};
use stella_domain::Severity;
use stella_inventory::{Component, Inventory, Package, PackageKind, Provenance, SourcePackage};

fn feeds() -> Option<PathBuf> {
    public_data("feeds")
}

fn component(kind: PackageKind, ecosystem: &str, name: &str, version: &str, source: Option<(&str, &str)>) -> Component {
    let source = source.map(|(name, version)| SourcePackage::new(name, version));
    let package = Package { source, ..Package::new(kind, name, version, "some/where") };
    let purl = format!("pkg:{}/{name}@{version}", kind.purl_type());
    Component { package, purl, ecosystem: ecosystem.into(), layer: None }
}

#[test]
fn real_packages_get_their_findings() {
    let Some(folder) = feeds() else { return };
    let feeds = feed::read(&folder).unwrap();
    let bytes = index::build(&feeds).unwrap();
    assert_eq!(bytes, index::build(&feed::read(&folder).unwrap()).unwrap(), "the same feeds give the same bytes");
    println!("{} records, {} set aside, index {} bytes", feeds.records.len(), feeds.set_aside.len(), bytes.len());
    let index = Index::from_bytes(bytes).unwrap();
    let inventory = Inventory {
        provenance: Provenance::Rootfs,
        os: None,
        layers: Vec::new(),
        components: vec![
            component(PackageKind::Pypi, "PyPI", "cryptography", "38.0.0", None),
            component(PackageKind::Pypi, "PyPI", "cryptography", "99.0.0", None),
            component(PackageKind::Deb, "Debian:11", "libssl1.1", "1.1.1k-1", Some(("openssl", "1.1.1k-1"))),
            component(PackageKind::Apk, "Alpine:v3.11", "vte", "0.28.2-r11", None),
            component(PackageKind::Pypi, "PyPI", "aiohttp", "3.8.5", None),
            component(PackageKind::Cargo, "crates.io", "h2", "0.3.20", None),
        ],
        problems: Vec::new(),
    };
    let matches = match_inventory(&index, &inventory).unwrap();
    let of = |at: usize| matches.iter().filter(move |m| m.component == at);
    let known = of(0).find(|m| m.group.advisory_id == "CVE-2023-23931").expect("PYSEC-2023-11 applies");
    assert_eq!(known.fixed_in, ["39.0.1"]);
    assert_eq!(known.group.severity, Severity::Unknown, "no feed at hand rates it, and that is said");
    assert!(known.group.aliases.contains(&"GHSA-w7pp-m8wf-vj6r".to_owned()));
    assert_eq!(of(1).count(), 0, "a version after every fix has no findings");
    assert!(of(2).count() >= 3, "Debian bulletins match by source package");
    let rated = of(4).find(|m| m.group.advisory_id == "CVE-2023-47627").expect("PYSEC-2023-246 applies");
    assert_eq!((rated.group.severity, rated.group.cvss.as_ref().unwrap().score), (Severity::High, 7.5));
    let flood = of(5).find(|m| m.group.aliases.contains(&"RUSTSEC-2024-0003".to_owned())).expect("it applies");
    assert!(!flood.group.aliases.contains(&"CVE-2019-9514".to_owned()), "related, and another one");
    assert!(of(3).any(|m| m.group.advisory_id == "CVE-2012-2738" && m.fixed_in == ["0.28.2-r12"]));
}

#[test]
fn a_broken_record_is_set_aside_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let pypi = folder.path().join("osv/PyPI");
    std::fs::create_dir_all(&pypi).unwrap();
    std::fs::write(pypi.join("BROKEN-1.json"), "{\"id\": 7").unwrap();
    let good = r#"{"id":"GOOD-1","modified":"2026-01-02T03:04:05Z","affected":[{"package":{"ecosystem":"PyPI","name":"A_b"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"}]}]}]}"#;
    std::fs::write(pypi.join("GOOD-1.json"), good).unwrap();
    let feeds = feed::read(folder.path()).unwrap();
    assert_eq!(feeds.set_aside.len(), 1);
    assert!(feeds.set_aside[0].place.ends_with("BROKEN-1.json"));
    let index = Index::from_bytes(index::build(&feeds).unwrap()).unwrap();
    assert_eq!(index.entries("PyPI", "a.B").unwrap().len(), 1);
    assert_eq!((index.info().feeds[0].advisories, index.info().feeds[0].set_aside), (1, 1));
}

#[test]
fn a_damaged_index_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("osv/npm")).unwrap();
    std::fs::write(folder.path().join("osv/npm/X-1.json"), r#"{"id":"X-1","affected":[]}"#).unwrap();
    let bytes = index::build(&feed::read(folder.path()).unwrap()).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Index::from_bytes(changed).is_err(), "byte {at}");
        assert!(Index::from_bytes(bytes[..at].to_vec()).is_err(), "cut at {at}");
    }
}
