use std::io::Read as _;

use proptest::prelude::*;

use super::super::tests::parse as parse_text;
use super::*;

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A database that rpm 4.18 made: three packages of one module, documentation left out, and the key of a vendor.
fn made_by_rpm() -> Vec<u8> {
    unpacked(include_bytes!("testdata/rpmdb.sqlite.gz"))
}

/// The same headers as `db_load` of BerkeleyDB 5.3 keeps them.
fn made_by_berkeley_db() -> Vec<u8> {
    unpacked(include_bytes!("testdata/Packages.gz"))
}

/// The headers in it.
fn headers() -> Vec<Vec<u8>> {
    let mut headers = Vec::new();
    sqlite::read(&made_by_rpm(), &mut |blob| headers.push(blob.unwrap().bytes.into_owned())).unwrap();
    headers
}

fn parse(path: &str, bytes: &[u8]) -> (Findings, Result<(), ParseError>) {
    let mut findings = Findings::default();
    let parsed = parse_database(&SourceFile { path, bytes }, &mut findings);
    (findings, parsed)
}

/// The same headers in every form.
fn every_form() -> [(&'static str, Vec<u8>); 4] {
    let headers = headers();
    let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
    [
        ("var/lib/rpm/rpmdb.sqlite", made_by_rpm()),
        ("usr/lib/sysimage/rpm/Packages.db", ndb::tests::database(&headers)),
        ("var/lib/rpm/Packages", made_by_berkeley_db()),
        ("usr/share/rpm/Packages", bdb::tests::with_long_values(&headers)),
    ]
}

#[test]
fn every_form_gives_the_same_packages() {
    for (path, bytes) in every_form() {
        let (found, parsed) = parse(path, &bytes);
        parsed.unwrap();
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        let mut packages = found.packages;
        packages.sort();
        let shown: Vec<String> = packages
            .iter()
            .map(|p| {
                let source = p.source.as_ref().unwrap();
                format!("{} {} {} {}", p.name, p.version, source.name, source.version)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "demo-npm 9.1-3.module_el8.9.0+7 nodejs-demo 18.2.0-3.module_el8.9.0+7",
                "nodejs-demo 1:18.2.0-3.module_el8.9.0+7 nodejs-demo 1:18.2.0-3.module_el8.9.0+7",
                "python3-demo 1:18.2.0-3.module_el8.9.0+7 nodejs-demo 1:18.2.0-3.module_el8.9.0+7",
            ]
        );
        for package in &packages {
            let module = package.source.as_ref().unwrap().module.as_deref();
            assert_eq!(module, Some("nodejs:18:8090020231201152514:a75119d5"));
            assert_eq!((package.arch.as_deref(), package.path.as_str()), (Some("noarch"), path));
        }
        assert_eq!(packages[1].licences, ["MIT and ISC"]);
        assert_eq!(packages[1].files, ["usr/bin/demo", "usr/bin/démo"], "folders and what was left out are not there");
        assert_eq!(packages[0].files.last().unwrap(), "var/cache/demo/state", "made when it runs, and still its own");
    }
}

#[test]
fn near_misses_are_not_wanted() {
    for path in [
        "var/lib/rpm/Name",
        "var/lib/rpm/rpmdb.sqlite-shm",
        "var/lib/rpm/Index.db",
        "var/lib/rpm/x/Packages",
        "srv/var/lib/rpm/Packages",
        "Packages",
        "usr/lib/sysimage/rpm-ostree-base-db/rpmdb.sqlite",
    ] {
        assert!(!is_database(path) && !is_journal(path), "{path}");
    }
}

#[test]
fn changes_that_wait_in_the_journal_are_said() {
    let path = "var/lib/rpm/rpmdb.sqlite-wal";
    assert_eq!(parse_text(&JOURNAL, path, "").problems, Vec::<String>::new());
    assert_eq!(
        parse_text(&JOURNAL, path, "frames").problems,
        ["rpm: 6 bytes of changes wait here that rpmdb.sqlite does not contain yet, and they are not read"]
    );
}

#[test]
fn a_header_that_is_damaged_is_a_problem_with_its_place_and_the_rest_is_read() {
    let headers = headers();
    let mut absurd = headers[0].clone();
    absurd[..4].copy_from_slice(&[0xff; 4]);
    let database = ndb::tests::database(&[&absurd, &headers[1]]);
    let (found, parsed) = parse("var/lib/rpm/Packages.db", &database);
    parsed.unwrap();
    assert_eq!(found.packages.len(), 1);
    assert!(
        found.problems[0].starts_with("rpm: offset 4096: the header claims 4294967295 tags"),
        "{:?}",
        found.problems
    );
}

#[test]
fn problems_without_number_are_summed_up() {
    let empty = vec![&b""[..]; 100];
    let (found, parsed) = parse("var/lib/rpm/Packages.db", &ndb::tests::database(&empty));
    parsed.unwrap();
    assert_eq!(found.problems.len(), MAX_NAMED + 1);
    assert_eq!(found.problems.last().unwrap(), "rpm: 80 more packages cannot be read");
}

/// What every database must do with whatever it is given: end, keep within bounds, and name places.
fn check(path: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let (found, parsed) = parse(path, bytes);
    prop_assert!(found.problems.len() <= MAX_NAMED + 1);
    let held: usize = found.packages.iter().flat_map(|package| &package.files).map(String::len).sum();
    prop_assert!(held <= 256 << 20);
    if let Err(error) = parsed {
        let text = error.to_string();
        prop_assert!(text.contains(" database, page ") || text.contains(" database, offset "), "{text}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn damaged_databases_never_panic(
        form in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xff)]), 1..40),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (path, mut bytes) = every_form()[form].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check(path, &bytes)?;
    }

    /// Numbers in the first bytes of pages and headers matter most.
    #[test]
    fn damaged_structure_never_panics(
        form in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, any::<u32>()), 1..8),
    ) {
        let (path, mut bytes) = every_form()[form].clone();
        for (page, at, value) in changes {
            let at = page.index(bytes.len() / 512) * 512 + at;
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        check(path, &bytes)?;
    }

    #[test]
    fn damaged_headers_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut header = headers().swap_remove(1);
        for (at, value) in changes {
            // Most changes hit the index, where all lengths are.
            let at = at.index(header.len().min(1200));
            header[at] = value;
        }
        check("var/lib/rpm/Packages.db", &ndb::tests::database(&[&header]))?;
    }
}
