//! Every file of the corpora is read, as a crash that was found once must not come back.

use std::collections::BTreeSet;
use std::path::Path;

use stella_fuzz::TARGETS;

#[test]
fn every_corpus_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut count = 0;
        for entry in std::fs::read_dir(folder.join(name)).unwrap_or_else(|e| panic!("corpus/{name}: {e}")) {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "corpus/{name} is empty");
    }
}

/// Whoever adds a target says what it is for.
#[test]
fn every_target_is_described() {
    let page = include_str!("../../docs/fuzzing.md");
    let (page, _) = page.split_once("\n## ").unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let described: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    let targets: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(described, targets, "docs/fuzzing.md has a row for each");
}
