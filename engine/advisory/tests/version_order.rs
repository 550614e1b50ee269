//! Every version list of the conformance folder, line by line.

mod public_data;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use public_data::public_data;
use stella_advisory::version::Scheme;

/// Lines where the list is wrong about its ecosystem, and who says so.
const EXCEPTIONS: [(&str, &str, &str); 8] = [
    ("maven-versions-generated.txt", "2.9.0-1 < 2.9.0.RC1", MAVEN),
    ("maven-versions-generated.txt", "6.1.12.rc5 < 6.1.12rc1", MAVEN),
    ("maven-versions-generated.txt", "1.1.46.sec10 < 1.1.46_noneautotype", MAVEN),
    ("maven-versions-generated.txt", "1.2.31.sec10 < 1.2.31_noneautotype", MAVEN),
    ("maven-versions-generated.txt", "1.2.48.sec10 < 1.2.48_noneautotype", MAVEN),
    ("maven-versions-generated.txt", "1.2.57.sec10 < 1.2.57_noneautotype", MAVEN),
    (
        "packagist-versions-generated.txt",
        "v1.9.0-BETA.1 < v1.9.0-ALPHA.2",
        "composer/semver 3.3.2, VersionParser::normalize: 1.9.0.0-beta1 and 1.9.0.0-alpha2",
    ),
    (
        "packagist-versions.txt",
        "1.2.3.# = 1.2.3.1",
        "PHP 8.2, version_compare: -1; composer/semver 3.3.2: no version. The list also has it equal to 1.2.3",
    ),
];
/// Zeros before a qualifier do not count, and a dot before a qualifier is as good as a hyphen.
const MAVEN: &str = "Maven 3.8.7, org.apache.maven.artifact.versioning.ComparableVersion: greater";

/// Lists are called by their ecosystem, in small letters, up to the first hyphen; these by another name than OSV's.
const NAMES: [(&str, &str); 4] =
    [("redhat", "Red Hat"), ("semver", "npm"), ("crates", "crates.io"), ("cargo", "crates.io")];
const ECOSYSTEMS: [&str; 16] = [
    "AlmaLinux",
    "Alpine",
    "Chainguard",
    "CRAN",
    "Debian",
    "Go",
    "Hackage",
    "Hex",
    "Maven",
    "npm",
    "NuGet",
    "Packagist",
    "Pub",
    "PyPI",
    "RubyGems",
    "Ubuntu",
];

/// The order of the list called `file`; `None` when none of ours is meant.
fn scheme_of(file: &str) -> Option<Scheme> {
    let word = file.split(['-', '.']).next().unwrap_or_default();
    let own = NAMES.iter().find(|(name, _)| *name == word).map(|(_, ecosystem)| *ecosystem);
    let same = || ECOSYSTEMS.into_iter().find(|ecosystem| ecosystem.eq_ignore_ascii_case(word));
    Scheme::of_ecosystem(own.or_else(same)?)
}

/// How many lines a list has, and those that our order contradicts.
fn contradictions(path: &Path, file: &str, scheme: Scheme) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(path).unwrap();
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
        let as_listed = order == expected && scheme.compare(b, a) == expected.reverse();
        let excepted = EXCEPTIONS.iter().any(|(of, excepted, _)| *of == file && *excepted == line);
        assert!(!(as_listed && excepted), "{file}: {line} needs no exception");
        if !as_listed && !excepted {
            wrong.push(format!("{line} (ours: {order:?})"));
        }
    }
    (lines, wrong)
}

#[test]
fn orders_agree_with_the_conformance_lists() {
    let Some(folder) = public_data("conformance/versions") else { return };
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut lists: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "txt")).collect();
    lists.sort();
    assert!(!lists.is_empty(), "there is no list in {}", folder.display());
    let mut failures = Vec::new();
    for path in lists {
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(scheme) = scheme_of(file) else {
            eprintln!("SKIPPED: {file} is of no ecosystem that has an order here");
            continue;
        };
        let (lines, wrong) = contradictions(&path, file, scheme);
        println!("{file}: {lines} lines, {} contradicted", wrong.len());
        assert!(lines > 0, "{file} has no line that compares");
        failures.extend(wrong.into_iter().take(20).map(|line| format!("{file}: {line}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn lists_are_known_by_their_names() {
    for (file, scheme) in [
        ("redhat-versions.txt", Some(Scheme::Rpm)),
        ("semver-versions.txt", Some(Scheme::Semver)),
        ("debian-versions-generated.txt", Some(Scheme::Deb)),
        ("cran.txt", Some(Scheme::Numbers)),
        ("pypi-versions.txt", Some(Scheme::Pep440)),
        ("vax-versions.txt", None),
    ] {
        assert_eq!(scheme_of(file), scheme, "{file}");
    }
}

/// What versions are made of, and some of what they are not.
fn versions() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[0-9]{1,3}",
        "[a-z]{1,2}",
        Just("alpha".to_owned()),
        Just("rc".to_owned()),
        Just("SNAPSHOT".to_owned()),
        Just("_p".to_owned()),
        Just("-r1".to_owned()),
        Just("00".to_owned()),
        Just("0".to_owned()),
        Just("é".to_owned()),
    ];
    let separator = prop_oneof![Just(""), Just("."), Just("-"), Just("+"), Just("~"), Just("^"), Just("_"), Just(":")];
    proptest::collection::vec((word, separator), 0..6)
        .prop_map(|parts| parts.into_iter().map(|(word, separator)| word + separator).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_order_is_total(a in versions(), b in versions(), c in versions()) {
        for scheme in Scheme::ALL {
            let compare = |a: &str, b: &str| scheme.compare(a, b);
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le(), "{scheme:?}: {a} <= {b} <= {c}");
            }
        }
    }

    #[test]
    fn a_key_never_continues_another(a in versions(), b in versions()) {
        for scheme in Scheme::ALL {
            let (a, b) = (scheme.key(&a), scheme.key(&b));
            let build_metadata = matches!(scheme, Scheme::SemverBuild);
            prop_assert!(a == b || build_metadata || !b.starts_with(&a), "{scheme:?}");
        }
    }

    #[test]
    fn any_text_has_a_key(text in ".{0,40}") {
        prop_assert!(Scheme::ALL.iter().all(|scheme| !scheme.key(&text).is_empty()));
    }

    #[test]
    fn numbers_order_by_value(a in 0u64..100_000, b in 0u64..100_000, c in 0u64..100) {
        for scheme in Scheme::ALL {
            prop_assert_eq!(scheme.compare(&format!("{c}.{a}.1"), &format!("{c}.{b}.1")), a.cmp(&b));
        }
    }
}
