//! Every version list of the conformance folder that has a scheme here, line by line.

use std::cmp::Ordering;
use std::path::PathBuf;

use stella_advisory::version::Scheme;

fn data() -> PathBuf {
    std::env::var_os("STELLA_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from)
}

/// Lines of `file` that our order contradicts.
fn contradictions(file: &str, ecosystem: &str) -> Option<(usize, Vec<String>)> {
    let path = data().join("conformance/versions").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED {file}: {} cannot be read; set STELLA_TEST_DATA", path.display());
        return None;
    };
    let scheme = Scheme::of_ecosystem(ecosystem).unwrap();
    let mut lines = 0;
    let mut wrong = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [a, sign @ ("<" | "=" | ">"), b] = words[..] else { continue };
        let expected = match sign {
            "<" => Ordering::Less,
            ">" => Ordering::Greater,
            _ => Ordering::Equal,
        };
        lines += 1;
        let order = scheme.compare(a, b);
        if order != expected || scheme.compare(b, a) != expected.reverse() {
            wrong.push(format!("{line} (ours: {order:?})"));
        }
    }
    Some((lines, wrong))
}

#[test]
fn orders_agree_with_the_conformance_lists() {
    let lists = [
        ("debian-versions.txt", "Debian"),
        ("debian-versions-generated.txt", "Debian"),
        ("alpine-versions.txt", "Alpine"),
        ("alpine-versions-generated.txt", "Alpine"),
        ("pypi-versions.txt", "PyPI"),
        ("pypi-versions-generated.txt", "PyPI"),
        ("semver-versions.txt", "npm"),
        ("redhat-versions.txt", "Red Hat"),
    ];
    let mut failures = Vec::new();
    for (file, ecosystem) in lists {
        if let Some((lines, wrong)) = contradictions(file, ecosystem) {
            println!("{file}: {lines} lines, {} contradicted", wrong.len());
            failures.extend(wrong.into_iter().take(20).map(|line| format!("{file}: {line}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
