//! Real databases of rpm, each in an image as its distribution keeps it.

mod support;

use std::io::Read as _;

use proptest::prelude::*;

use stella_domain::Digest;
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

/// `NAME VERSION ARCH SOURCE FILES DIGEST`, the last of the sorted paths; rpm itself was asked for the same.
fn lines(inventory: &Inventory) -> Vec<String> {
    let mut lines: Vec<String> = inventory
        .components
        .iter()
        .map(|component| {
            let package = &component.package;
            let source = package.source.as_ref().map_or("", |source| &source.name);
            let arch = package.arch.as_deref().unwrap_or("");
            let digest = Digest::of(package.files.join("\n"));
            let files = package.files.len();
            format!("{} {} {arch} {source} {files} {}", package.name, package.version, &digest.hex()[..16])
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

/// Fedora and openSUSE keep it with the system's image, and a link where it was.
#[test]
fn a_database_behind_a_link_is_told_once() {
    let database = ndb(&[rpm_header("a", "1", "2", "/usr/bin/", "a")]);
    let layers = [
        Layer::new().symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm").build(),
        Layer::new().file("usr/lib/sysimage/rpm/Packages.db", &database).build(),
        Layer::new()
            .symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")
            .file("var/lib/rpm/Packages.db", &database)
            .build(),
    ];
    let inventory = scan(&docker_archive(&layers)).unwrap();
    assert_eq!(shown(&inventory), ["pkg:rpm/a@1-2 usr/lib/sysimage/rpm/Packages.db"]);
    assert_eq!(named(&inventory, "a").package.files, ["usr/bin/a"]);
    assert_eq!(named(&inventory, "a").layer, Some(Digest::of(&layers[1])));
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A database in which SQLite deleted one package and added another without writing that into the file yet.
fn with_log() -> [Vec<u8>; 2] {
    [
        unpacked(include_bytes!("../src/cataloger/rpm/testdata/wal/waiting.sqlite.gz")),
        unpacked(include_bytes!("../src/cataloger/rpm/testdata/wal/waiting.wal.gz")),
    ]
}

const DATABASE: &str = "var/lib/rpm/rpmdb.sqlite";
const LOG: &str = "var/lib/rpm/rpmdb.sqlite-wal";
const IN_FILE: [&str; 3] = ["demo-npm", "nodejs-demo", "python3-demo"];
const WITH_LOG: [&str; 3] = ["demo-new", "nodejs-demo", "python3-demo"];

fn names(inventory: &Inventory) -> Vec<&str> {
    inventory.components.iter().map(|component| &*component.package.name).collect()
}

#[test]
fn changes_in_the_log_beside_a_database_count_whichever_comes_first() {
    let [database, log] = with_log();
    let layers = [
        Layer::new().file(DATABASE, &database).file(LOG, &log).build(),
        Layer::new().file(LOG, &log).file("etc/x", "").file(DATABASE, &database).build(),
    ];
    for layer in layers {
        let inventory = scan(&docker_archive(&[layer])).unwrap();
        assert_eq!(inventory.problems, []);
        assert_eq!(names(&inventory), WITH_LOG);
    }
    let root = tempfile::tempdir().unwrap();
    for (path, content) in [(DATABASE, &database), (LOG, &log)] {
        std::fs::create_dir_all(root.path().join("var/lib/rpm")).unwrap();
        std::fs::write(root.path().join(path), content).unwrap();
    }
    let inventory = stella_inventory::rootfs(root.path(), &stella_inventory::Limits::default()).unwrap();
    assert_eq!((inventory.problems.len(), names(&inventory)), (0, WITH_LOG.to_vec()));
}

#[test]
fn an_empty_log_or_one_that_is_none_changes_nothing() {
    let [database, _] = with_log();
    let read =
        |log: &[u8]| scan(&docker_archive(&[Layer::new().file(DATABASE, &database).file(LOG, log).build()])).unwrap();
    let empty = read(b"");
    assert_eq!((empty.problems.len(), names(&empty)), (0, IN_FILE.to_vec()));
    let odd = read(b"no log");
    assert_eq!(names(&odd), IN_FILE);
    assert_eq!(odd.problems.len(), 1);
    assert_eq!(odd.problems[0].path, DATABASE);
    assert!(odd.problems[0].message.contains("changes in it are not read"), "{:?}", odd.problems);
}

#[test]
fn what_is_in_a_database_stays_where_the_log_beside_it_is_of_another() {
    let [_, log] = with_log();
    let small = unpacked(include_bytes!("../src/cataloger/rpm/testdata/wal/small.sqlite.gz"));
    let layer = Layer::new().file(DATABASE, &small).file(LOG, &log).build();
    let inventory = scan(&docker_archive(&[layer])).unwrap();
    assert_eq!(names(&inventory), IN_FILE);
    let told: Vec<(&str, &str)> = inventory.problems.iter().map(|it| (&*it.path, &*it.message)).collect();
    let why = "rpm: changes in the journal beside it are not read: sqlite database, page 30: the file ends before it";
    assert_eq!(told, [(DATABASE, why)]);
}

#[test]
fn a_log_in_another_layer_than_its_database_is_said() {
    let [database, log] = with_log();
    let base = Layer::new().file(DATABASE, &database).build();
    let inventory = scan(&docker_archive(&[base.clone(), Layer::new().file(LOG, &log).build()])).unwrap();
    assert_eq!(names(&inventory), IN_FILE);
    assert_eq!(inventory.problems.len(), 1);
    assert_eq!(inventory.problems[0].path, LOG);
    assert!(inventory.problems[0].message.contains("they are not read"), "{:?}", inventory.problems);

    let upper = Layer::new().file(DATABASE, &database).file(LOG, &log).build();
    let inventory = scan(&docker_archive(&[base, upper])).unwrap();
    assert_eq!(inventory.problems, []);
    assert_eq!(names(&inventory), WITH_LOG);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Never a panic, and what is lost is said.
    #[test]
    fn damaged_real_databases_still_give_an_inventory(
        form in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (file, path) = [
            ("cbl-mariner-2.0.rpmdb.sqlite.gz", "var/lib/rpm/rpmdb.sqlite"),
            ("sle15-bci.Packages.db.gz", "var/lib/rpm/Packages.db"),
            ("libuuid.Packages.gz", "var/lib/rpm/Packages"),
        ][form];
        let Some(mut bytes) = database(file) else { return Ok(()) };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let inventory = image(path, &bytes, "ID=x\n");
        prop_assert!(inventory.components.len() <= 129);
        let failed = inventory.problems.iter().any(|problem| problem.message.contains("the cataloger failed"));
        prop_assert!(!failed, "{:?}", inventory.problems);
        // What a single byte can hide is one page, and BerkeleyDB has its one package on one.
        prop_assert!(form == 2 || !inventory.components.is_empty() || !inventory.problems.is_empty());
    }
}
