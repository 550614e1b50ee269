//! Two installations that are given one place for blobs.

use std::path::Path;

use crate::running::{self, Operator};

/// The line in the log of an operator that does not start.
fn refusal(data: &Path, flags: &[&str]) -> String {
    let (code, log) = running::refusal(data, flags);
    assert_eq!(code, Some(2), "{log}");
    log
}

/// The name in the mark of a place.
fn owner(place: &Path) -> String {
    std::fs::read_to_string(place.join("owner")).expect("a mark").trim().to_owned()
}

#[test]
fn a_place_for_blobs_serves_one_installation_until_another_takes_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, place] = ["one", "two", "blobs"].map(|name| folder.path().join(name));
    let flags = ["--allow-anonymous", "--blobs", place.to_str().unwrap()];
    let start = |data: &Path, further: &[&str]| Operator::start(data, &[&flags[..], further].concat());

    start(&one, &[]).kill();
    let first = owner(&place);
    start(&one, &[]).kill();
    assert_eq!(owner(&place), first, "it comes back to its own");

    let said = refusal(&two, &flags);
    assert!(said.contains(&first) && said.contains(place.to_str().unwrap()), "{said}");
    assert!(said.contains(&format!("--take-blobs-from {first}")), "{said}");
    assert_eq!(owner(&place), first);
    let stranger = "0".repeat(32);
    refusal(&two, &[&flags[..], &["--take-blobs-from", &stranger]].concat());

    let taken = start(&two, &["--take-blobs-from", &first]);
    let second = owner(&place);
    assert!(second != first && said.contains(&second), "the refusal named both: {said}");
    assert!(taken.log().contains("taken over"), "{}", taken.log());
    taken.kill();
    start(&two, &["--take-blobs-from", &first]).kill();
    assert_eq!(owner(&place), second, "a flag that stays does nothing more");
    assert!(refusal(&one, &flags).contains(&second));
}
