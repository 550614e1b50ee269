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
    assert_eq!(database_of(path), Some("var/lib/rpm/rpmdb.sqlite"));
    assert_eq!(database_of("srv/rpmdb.sqlite-wal"), None);
}

/// A database and the log beside it, as SQLite left them (`testdata/make_wal.py`).
fn made_by_sqlite(name: &str) -> (Vec<u8>, Vec<u8>) {
    let (database, log): (&[u8], &[u8]) = match name {
        "waiting" => (include_bytes!("testdata/wal/waiting.sqlite.gz"), include_bytes!("testdata/wal/waiting.wal.gz")),
        "stale" => (include_bytes!("testdata/wal/stale.sqlite.gz"), include_bytes!("testdata/wal/stale.wal.gz")),
        _ => (include_bytes!("testdata/wal/fresh.sqlite.gz"), include_bytes!("testdata/wal/fresh.wal.gz")),
    };
    (unpacked(database), unpacked(log))
}

/// What is found in both together, sorted, and why they cannot be read so.
fn names_with(database: &[u8], log: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut findings = Findings::default();
    let file = SourceFile { path: "var/lib/rpm/rpmdb.sqlite", bytes: database };
    let parsed = parse_with_journal(&file, log, &mut findings);
    let mut names: Vec<String> = findings.packages.into_iter().map(|package| package.name).collect();
    names.sort();
    (names, findings.problems.into_iter().chain(parsed.err().map(|error| error.to_string())).collect())
}

#[test]
fn committed_changes_in_the_log_count_and_others_do_not() {
    for (name, packages) in [
        ("waiting", &["demo-new", "nodejs-demo", "python3-demo"][..]),
        ("stale", &["nodejs-demo", "python3-demo"]),
        ("fresh", &["demo-npm", "nodejs-demo", "python3-demo"]),
    ] {
        let (database, log) = made_by_sqlite(name);
        let (names, problems) = names_with(&database, &log);
        assert_eq!(names, packages, "{name}");
        assert_eq!(problems, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_log_counts_up_to_the_first_frame_that_is_not_sound() {
    const FRAME: usize = 24 + 4096;
    let (database, log) = made_by_sqlite("waiting");
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let (old, first) = (named(&["demo-npm", "nodejs-demo", "python3-demo"]), named(&["nodejs-demo", "python3-demo"]));
    let second = named(&["demo-new", "nodejs-demo", "python3-demo"]);
    // The first commit is five frames long, the second four.
    for (length, packages) in [
        (32, &old),
        (32 + 5 * FRAME - 1, &old),
        (32 + 5 * FRAME, &first),
        (32 + 9 * FRAME - 1, &first),
        (32 + 9 * FRAME, &second),
    ] {
        let (names, problems) = names_with(&database, &log[..length]);
        assert_eq!((&names, problems.len()), (packages, 0), "{length}");
    }
    let mut damaged = log.clone();
    damaged[32 + 7 * FRAME + 2000] ^= 1;
    assert_eq!(names_with(&database, &damaged).0, ["nodejs-demo", "python3-demo"]);
}

#[test]
fn a_log_that_is_none_or_of_another_database_is_said() {
    let (database, log) = made_by_sqlite("waiting");
    let mut salted = log.clone();
    salted[20] ^= 1;
    for log in [&b"frames"[..], &salted] {
        let (names, problems) = names_with(&database, log);
        assert_eq!(names, Vec::<String>::new());
        assert_eq!(problems, ["the journal beside it is damaged or none of SQLite's, and changes in it are not read"]);
    }
    let small = unpacked(include_bytes!("testdata/wal/small.sqlite.gz"));
    // Page 1 of the log counts, so that the pages of the file behind it are of another size and not where they should be.
    let why = "sqlite database, page 30: the file ends before it";
    assert_eq!(names_with(&small, &log), not_read(why));
}

/// Nothing, where the log beside a database is not read; that the database alone counts then is the collector's (`tests/rpm.rs`).
fn not_read(why: &str) -> (Vec<String>, Vec<String>) {
    (Vec::new(), vec![format!("changes in the journal beside it are not read: {why}")])
}

/// A log that has an empty page 2 alone.
fn log_with_page_2(page_size: u32) -> Vec<u8> {
    let be = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let mut sums = [0u32; 2];
    let mut add = |bytes: &[u8]| {
        for [a, b, c, d, e, f, g, h] in bytes.as_chunks::<8>().0 {
            sums[0] = sums[0].wrapping_add(u32::from_le_bytes([*a, *b, *c, *d])).wrapping_add(sums[1]);
            sums[1] = sums[1].wrapping_add(u32::from_le_bytes([*e, *f, *g, *h])).wrapping_add(sums[0]);
        }
        be(&sums)
    };
    let (header, head, salts) = (be(&[0x377f_0682, 3_007_000, page_size, 0, 1, 2]), be(&[2, 57]), be(&[1, 2]));
    let page = vec![0; page_size as usize];
    let of_header = add(&header);
    add(&head);
    let of_page = add(&page);
    [header, of_header, head, salts, of_page, page].concat()
}

#[test]
fn nothing_is_found_where_a_log_leads_nowhere() {
    let (database, _) = made_by_sqlite("waiting");
    let size = "sqlite database, page 1: the log beside the file has pages of another size";
    assert_eq!(names_with(&database, &log_with_page_2(512)), not_read(size));
    let root = "sqlite database, page 2: it is no page of a table";
    assert_eq!(names_with(&database, &log_with_page_2(4096)), not_read(root));
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
