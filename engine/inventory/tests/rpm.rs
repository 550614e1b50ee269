//! Real databases of rpm, each in an image as its distribution keeps it.

mod support;

use std::io::Read as _;

use stella_inventory::{Inventory, PackageKind};
use support::*;

/// A database that public test data has, or `None` with a word.
fn database(name: &str) -> Option<Vec<u8>> {
    let file = std::fs::File::open(test_data(&format!("conformance/rpmdb/{name}"))?).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

fn image(path: &str, database: &[u8], os_release: &str) -> Inventory {
    let layer = Layer::new().file("usr/lib/os-release", os_release).file(path, database).build();
    scan(&docker_archive(&[layer])).unwrap()
}

/// `NAME VERSION ARCH SOURCE FILES`, as `rpm -qa` was asked for them.
fn lines(inventory: &Inventory) -> Vec<String> {
    let mut lines: Vec<String> = inventory
        .components
        .iter()
        .map(|component| {
            let package = &component.package;
            let source = package.source.as_ref().map_or("", |source| &source.name);
            let arch = package.arch.as_deref().unwrap_or("");
            format!("{} {} {arch} {source} {}", package.name, package.version, package.files.len())
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn mariner_keeps_sqlite() {
    let Some(bytes) = database("cbl-mariner-2.0.rpmdb.sqlite.gz") else { return };
    let inventory = image("var/lib/rpm/rpmdb.sqlite", &bytes, "ID=mariner\nVERSION_ID=\"2.0\"\n");
    assert!(inventory.problems.is_empty(), "{:?}", inventory.problems);
    assert!(inventory.components.iter().all(|component| component.package.kind == PackageKind::Rpm));
    assert_eq!(lines(&inventory), include_str!("rpm/cbl-mariner-2.0.txt").lines().collect::<Vec<_>>());
}

#[test]
fn sles_keeps_ndb() {
    let Some(bytes) = database("sle15-bci.Packages.db.gz") else { return };
    let inventory = image("usr/lib/sysimage/rpm/Packages.db", &bytes, "ID=\"sles\"\nVERSION_ID=\"15.4\"\n");
    assert!(inventory.problems.is_empty(), "{:?}", inventory.problems);
    assert_eq!(lines(&inventory), include_str!("rpm/sle15-bci.txt").lines().collect::<Vec<_>>());
}

#[test]
fn older_red_hat_keeps_a_berkeley_db() {
    let Some(bytes) = database("libuuid.Packages.gz") else { return };
    let inventory = image("var/lib/rpm/Packages", &bytes, "ID=\"rhel\"\nVERSION_ID=\"8.8\"\n");
    assert!(inventory.problems.is_empty(), "{:?}", inventory.problems);
    assert_eq!(lines(&inventory), include_str!("rpm/libuuid.txt").lines().collect::<Vec<_>>());
}
