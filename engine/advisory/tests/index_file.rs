//! The index as a file: what changed between two, and what a damaged or foreign one does.

use proptest::prelude::*;
use serde_json::json;
use stella_advisory::feed::Feeds;
use stella_advisory::naming::package_key;
use stella_advisory::osv::Record;
use stella_advisory::{Index, index};
use stella_domain::{Digest, Severity};

/// Feeds with a record for each name, fixed in this version.
fn feeds(packages: &[(&str, &str)]) -> Feeds {
    let record = |(name, fix): &(&str, &str)| {
        let record = json!({"id": format!("R-{name}"), "modified": "2026-01-01T00:00:00Z", "affected": [{
            "package": {"ecosystem": "PyPI", "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fix}]}]}]});
        ("PyPI".to_owned(), serde_json::from_value::<Record>(record).unwrap().into())
    };
    Feeds { records: packages.iter().map(record).collect(), ..Feeds::default() }
}

fn index_of(packages: &[(&str, &str)]) -> Index {
    Index::from_bytes(index::build(&feeds(packages)).unwrap()).unwrap()
}

#[test]
fn the_keys_that_changed_are_those_with_another_content() {
    let old = index_of(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let new = index_of(&[("0-new", "1"), ("a", "1"), ("b", "2"), ("d", "1")]);
    let keys = |names: &[&str]| names.iter().map(|name| package_key("PyPI", name)).collect::<Vec<_>>();
    assert_eq!(index::changed_keys(&old, &new).unwrap(), keys(&["0-new", "b", "c", "d"]));
    assert_eq!(index::changed_keys(&new, &new).unwrap(), keys(&[]), "groups are numbered anew, which changes nothing");
    assert_eq!(index::changed_keys(&index_of(&[]), &old).unwrap(), keys(&["a", "b", "c"]));
}

#[test]
fn a_severity_that_changes_is_a_change() {
    let plain = feeds(&[("a", "1"), ("b", "1")]);
    let mut rated = feeds(&[("a", "1"), ("b", "1")]);
    rated.records[1].1.level = Some(Severity::High);
    let open = |feeds| Index::from_bytes(index::build(feeds).unwrap()).unwrap();
    let changed = index::changed_keys(&open(&plain), &open(&rated)).unwrap();
    assert_eq!(changed, [package_key("PyPI", "b")]);
}

#[test]
fn a_file_of_another_length_is_refused_at_opening_whatever_its_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.idx");
    let names: Vec<String> = (0..2000).map(|number| format!("package-{number}")).collect();
    let packages: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1.2.3")).collect();
    index::write(&feeds(&packages), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(Index::open(&path).is_ok_and(|index| index.info().packages == 2000));
    for (at, changed) in [
        bytes[..bytes.len() - 1].to_vec(),
        [bytes.as_slice(), b"x"].concat(),
        bytes[..100].to_vec(),
        Vec::new(),
        b"another file".repeat(10),
    ]
    .into_iter()
    .enumerate()
    {
        let other = folder.path().join(format!("other-{at}"));
        std::fs::write(&other, changed).unwrap();
        assert!(Index::open(&other).is_err(), "{at}");
    }
}

#[test]
fn a_damaged_block_is_noticed_when_it_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.idx");
    let names: Vec<String> = (0..2000).map(|number| format!("package-{number}")).collect();
    let packages: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1.2.3")).collect();
    let mut bytes = index::build(&feeds(&packages)).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let index = Index::open(&path).expect("the head is sound");
    assert_eq!(index.entries("PyPI", "package-7").unwrap().len(), 1, "another block");
    assert!(index.group(1999).is_err(), "the last group lies in the damaged block");
    assert!(index.verify().is_err());
}

/// The same file with other content and sums that fit it, as somebody who wants to be believed would make it.
fn forged(bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    const BLOCK: usize = 16 * 1024;
    let mut bytes = bytes.to_vec();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let start = 48 + number(&bytes[40..48]);
    let sums = 48 + 4 + number(&bytes[48..52]);
    change(&mut bytes[start..]);
    let new: Vec<u8> = bytes[start..].chunks(BLOCK).flat_map(|b| Digest::of(b).as_bytes()[..16].to_vec()).collect();
    bytes[sums..start].copy_from_slice(&new);
    let digest = Digest::of(&bytes[48..start]);
    bytes[8..40].copy_from_slice(digest.as_bytes());
    bytes
}

#[test]
fn a_forgery_that_changes_nothing_is_the_same_file() {
    let bytes = index::build(&feeds(&[("a", "1"), ("b", "2")])).unwrap();
    assert_eq!(forged(&bytes, |_| {}), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_index_is_refused(changes in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4)) {
        let bytes = index::build(&feeds(&[("a", "1"), ("b", "2"), ("c", "3")])).unwrap();
        let mut changed = bytes.clone();
        for (at, by) in &changes {
            changed[at.index(bytes.len())] ^= by;
        }
        prop_assert!(changed == bytes || Index::from_bytes(changed).is_err());
    }

    #[test]
    fn any_bytes_are_no_index(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Index::from_bytes([b"STLAIDX2".as_slice(), &bytes].concat()).is_err());
        prop_assert!(Index::from_bytes(bytes).is_err());
    }

    #[test]
    fn a_forged_index_answers_or_refuses(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let names = ["a", "b", "c", "d", "e"];
        let bytes = index::build(&feeds(&names.map(|name| (name, "1.5")))).unwrap();
        let forged = forged(&bytes, |body| changes.iter().for_each(|(at, to)| body[at.index(body.len())] = *to));
        if let Ok(index) = Index::from_bytes(forged) {
            for name in names {
                for entry in index.entries("PyPI", name).unwrap_or_default() {
                    let _ = entry.affects(&mut index::Versions::new("1.0"));
                    let _ = entry.fixes(&mut index::Versions::new("1.0"));
                    let _ = (entry.ranges(), index.source(&entry).is_ok(), index.group(entry.group).is_ok());
                }
            }
            let _ = index::changed_keys(&index, &index_of(&[("a", "1")]));
        }
    }
}

#[test]
fn a_file_that_another_one_is_building_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.idx");
    let others = folder.path().join(format!("a.partial-{}-0", std::process::id()));
    std::fs::write(&others, "of another").unwrap();
    index::write(&feeds(&[("a", "1")]), &path).unwrap();
    Index::open(&path).unwrap().verify().unwrap();
    assert_eq!(std::fs::read(&others).unwrap(), b"of another");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "its own is gone");
}
